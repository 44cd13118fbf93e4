"""What a path of TensorFlow Serving's REST interface asks for."""

from __future__ import annotations

import dataclasses
import re

from tensorflow_serving.apis.model_pb2 import ModelSpec

from serving.server.status import invalid

_LARGEST_INT64 = 2**63 - 1
_TARGET = re.compile(
    r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
    r"(?::(?P<verb>classify|regress|predict)|/(?P<metadata>metadata))?",
    re.IGNORECASE,
)


@dataclasses.dataclass(frozen=True)
class Target:
    """A model and what is to be done with it.

    Attributes:
      spec: Name, and version or label.
      verb: Such as "predict", in small letters; empty for none.
      metadata: Whether its signatures are asked for.
    """

    spec: ModelSpec
    verb: str
    metadata: bool


def find_target(method: str, path: str) -> Target:
    """Reads a path under /v1/models/.

    Raises:
      ServingError: INVALID_ARGUMENT if it means nothing, or its version is no number.
    """
    found = _TARGET.fullmatch(path)
    if not found or (method == "POST") != bool(found["verb"]):
        raise invalid(f"Malformed request: {method} {path}")
    verb = (found["verb"] or "").lower()
    return Target(_model_spec(found), verb, bool(found["metadata"]))


def _model_spec(found: re.Match[str]) -> ModelSpec:
    spec = ModelSpec(name=found["name"])
    if found["label"]:
        spec.version_label = found["label"]
    elif found["version"]:
        number = int(found["version"]) if len(found["version"]) < 20 else _LARGEST_INT64 + 1
        if number > _LARGEST_INT64:
            raise invalid(f"Failed to convert version: {found['version']} to numeric.")
        spec.version.value = number
    return spec
