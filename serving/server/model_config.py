"""Which models are served: TensorFlow Serving's ModelServerConfig, checked."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from serving.server.status import ServingError, invalid
from serving.server.text_protos import ConfigFileError, read_text_proto

if TYPE_CHECKING:  # it loads TensorFlow
    from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelServerConfig

PLATFORM = "tensorflow"


@dataclasses.dataclass(frozen=True)
class VersionPolicy:
    """Which of a model's versions are served.

    Attributes:
      most: How many, the newest first; None for any number.
      only: The versions that may be served; None for any.
    """

    most: int | None = 1
    only: frozenset[int] | None = None

    def candidates(self, numbers: Iterable[int]) -> list[int]:
        """Those of some versions that may be served, the newest first."""
        return sorted((n for n in numbers if self.only is None or n in self.only), reverse=True)


NEWEST = VersionPolicy()


@dataclasses.dataclass(frozen=True)
class ModelEntry:
    """One model of a configuration.

    Attributes:
      name: Name in requests.
      folder: Folder of its versions.
      policy: Which of them are served.
      labels: Version numbers by label.
    """

    name: str
    folder: pathlib.Path
    policy: VersionPolicy = NEWEST
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)


def read_model_config(path: str | os.PathLike[str]) -> list[ModelEntry]:
    """Reads a file such as TensorFlow Serving's models.config.

    Raises:
      ConfigFileError: if it cannot be read, or does not describe models that can be served.
    """
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    config = ModelServerConfig()
    read_text_proto(path, config)
    try:
        return model_entries(config)
    except ServingError as error:
        raise ConfigFileError(f"{os.fspath(path)}: {error.message}") from None


def model_entries(config: ModelServerConfig) -> list[ModelEntry]:
    """Checks a configuration and gives its models.

    Raises:
      ServingError: INVALID_ARGUMENT if it lists no models, one twice, or one that has no name, no
        absolute base_path or another platform than tensorflow.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid(
            "ServerModelConfig type not supported by HandleReloadConfigRequest. Only "
            "ModelConfigList is currently supported"
        )
    models = config.model_config_list.config
    names = [model.name for model in models]
    for k, name in enumerate(names):
        if name in names[:k]:
            raise invalid(f"Illegal to list model {name} multiple times in config list")
    return [_entry(model) for model in models]


def _entry(model: ModelConfig) -> ModelEntry:
    folder = pathlib.PurePosixPath(model.base_path)
    if not model.name:
        raise invalid(f"A model has no name; got base_path()={model.base_path}")
    if not folder.is_absolute():
        raise invalid(
            f"Expected model {model.name} to have an absolute path or URI; got "
            f"base_path()={model.base_path}"
        )
    tensorflow = type(model).DESCRIPTOR.fields_by_name["model_type"].enum_type
    old = tensorflow.values_by_number[model.model_type].name == "TENSORFLOW"
    if not (model.model_platform == PLATFORM or (old and not model.model_platform)):
        raise invalid(
            f"Model {model.name} requests unsupported platform {model.model_platform!r}; "
            f"should be {PLATFORM!r}"
        )
    return ModelEntry(
        model.name,
        pathlib.Path(folder),
        _policy(model),
        dict(model.version_labels),
    )


def _policy(model: ModelConfig) -> VersionPolicy:
    policy = model.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy(most=None)
    if choice == "specific":
        numbers: Sequence[int] = policy.specific.versions
        return VersionPolicy(most=None, only=frozenset(numbers))
    return VersionPolicy(most=max(1, policy.latest.num_versions))
