"""The files that settings name: found, read and checked before a step runs."""

from __future__ import annotations

import dataclasses
import pathlib

from components.face_models import NAMES, load_face_model
from facemodel.config import ConfigError
from pipeline.config import PipelineConfig

KEYWORDS = {"data.face_model": NAMES, "trainer.init": ("shipped", "none")}
"""Fields that may name a file, and what else they may say."""


def named_file(config: PipelineConfig, field: str) -> pathlib.Path | None:
    """The file that a field names; None if it has one of its keywords.

    Raises:
      ConfigError: if there is no such file.
    """
    section, name = field.split(".")
    value = getattr(getattr(config, section), name)
    if value in KEYWORDS[field]:
        return None
    if not pathlib.Path(value).is_file():
        words = ", ".join(KEYWORDS[field])
        raise ConfigError(field, f"should be {words} or a file, there is no file {value!r}")
    return pathlib.Path(value)


def checked(config: PipelineConfig) -> PipelineConfig:
    """Reads the files that a configuration names.

    Returns:
      The same configuration with absolute paths, for steps that run in another folder.

    Raises:
      ConfigError: naming the field whose file is missing, broken or for another face model.
    """
    for field in KEYWORDS:
        if path := named_file(config, field):
            section, name = field.split(".")
            changed = dataclasses.replace(getattr(config, section), **{name: str(path.resolve())})
            config = dataclasses.replace(config, **{section: changed})
    levels = {config.trainer.level, config.export.level, 0, 1}
    try:
        *_, model = (load_face_model(config.data.face_model, level) for level in sorted(levels))
    except ValueError as error:
        raise ConfigError("data.face_model", str(error)) from None
    if config.trainer.init != "none":
        _check_weights(config, model)
    return config


def _check_weights(config: PipelineConfig, model) -> None:
    from facemodel.network.pretrained import read_weights_for

    weights, model_path = (named_file(config, f) for f in ("trainer.init", "data.face_model"))
    try:
        read_weights_for(model, weights=weights, model_path=model_path)
    except ValueError as error:
        raise ConfigError("trainer.init", f"{error} (none starts untrained)") from None
