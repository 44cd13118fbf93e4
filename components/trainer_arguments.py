"""What the pipeline tells the Trainer, and what a training run is known by."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib

from components.settings import TrainerSettings
from facemodel.files import file_digest
from facemodel.network.weights import DEFAULT_WEIGHTS


@dataclasses.dataclass(frozen=True)
class TrainerArguments:
    """What the pipeline tells the Trainer, as its custom_config.

    Attributes:
      data, trainer, export: sections of the configuration as JSON.
      code: digest of the code that runs.
      checkpoint_dir: under which checkpoints are kept, outside the step's own folder.
      model_name: under which the model will be served.
    """

    data: str
    trainer: str
    export: str
    code: str
    checkpoint_dir: str
    model_name: str


def run_key(arguments: TrainerArguments, data_digest: str) -> str:
    """Names a training run: the same for the same records, settings and code, wherever they lie."""
    values = dataclasses.asdict(arguments) | {"checkpoint_dir": "", "export": "", "model_name": ""}
    text = json.dumps([values, data_digest], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def initial_weights(settings: TrainerSettings) -> pathlib.Path:
    """The weights file that training starts from."""
    return DEFAULT_WEIGHTS if settings.init == "shipped" else pathlib.Path(settings.init)


def origin(arguments: TrainerArguments, data_digest: str) -> dict:
    """Says which data, settings, code and parent made a model, for `facerelief lineage`."""
    settings = TrainerSettings.from_json(arguments.trainer)
    parent = {"init": settings.init}
    if settings.init != "none":
        parent["sha256"] = file_digest(initial_weights(settings))
    return {
        "run_key": run_key(arguments, data_digest),
        "data": json.loads(arguments.data),
        "data_digest": data_digest,
        "trainer": dataclasses.asdict(settings),
        "export": json.loads(arguments.export),
        "code": arguments.code,
        "parent": parent,
    }
