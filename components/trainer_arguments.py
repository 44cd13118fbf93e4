"""The Trainer's arguments, and the key of a training run."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import pathlib

from components.settings import DataSettings, ExportSettings, TrainerSettings
from facemodel.files import file_digest
from facemodel.network.weights import DEFAULT_WEIGHTS


@dataclasses.dataclass(frozen=True)
class TrainerArguments:
    """Arguments of the Trainer, as its custom_config.

    Attributes:
      data, trainer, export: sections of the configuration as JSON.
      code: digest of the code that runs.
      checkpoint_dir: Folder of the checkpoints, outside the step's own folder.
      model_name: Name under which the model will be served.
    """

    data: str
    trainer: str
    export: str
    code: str
    checkpoint_dir: str
    model_name: str

    @functools.cached_property
    def data_settings(self) -> DataSettings:
        """The section data."""
        return DataSettings.from_json(self.data)

    @functools.cached_property
    def trainer_settings(self) -> TrainerSettings:
        """The section trainer."""
        return TrainerSettings.from_json(self.trainer)

    @functools.cached_property
    def export_settings(self) -> ExportSettings:
        """The section export."""
        return ExportSettings.from_json(self.export)


def run_key(arguments: TrainerArguments, data_digest: str) -> str:
    """Names a training run: the same for the same records, settings and code, wherever they lie."""
    values = dataclasses.asdict(arguments) | {"checkpoint_dir": "", "export": "", "model_name": ""}
    text = json.dumps([values, data_digest], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def initial_weights(settings: TrainerSettings) -> pathlib.Path | None:
    """The weights file that training starts from; None if it starts untrained."""
    files = {"none": None, "shipped": DEFAULT_WEIGHTS}
    return files.get(settings.init, pathlib.Path(settings.init))


def origin(arguments: TrainerArguments, data_digest: str) -> dict:
    """Says which data, settings, code and parent made a model, for `facerelief lineage`."""
    settings = arguments.trainer_settings
    parent = {"init": settings.init}
    if weights := initial_weights(settings):
        parent["sha256"] = file_digest(weights)
    return {
        "run_key": run_key(arguments, data_digest),
        "data": json.loads(arguments.data),
        "data_digest": data_digest,
        "trainer": dataclasses.asdict(settings),
        "export": json.loads(arguments.export),
        "code": arguments.code,
        "parent": parent,
    }
