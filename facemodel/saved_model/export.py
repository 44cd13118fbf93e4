"""Writes the SavedModel that is served, atomically."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pathlib
import shutil
import tempfile

import numpy as np
import tensorflow as tf

import facemodel
from facemodel.morphable.model import MorphableModel
from facemodel.network.regressor import IterativeRegressor
from facemodel.saved_model.metadata import (
    ARRAY_FIELDS,
    ARRAYS,
    EXTRA,
    METADATA,
    ExportConfig,
    ExportError,
)
from facemodel.saved_model.signatures import FaceServer


def export_saved_model(
    model: MorphableModel,
    regressor: IterativeRegressor,
    directory: str | os.PathLike[str],
    *,
    config: ExportConfig | None = None,
    version: int = 1,
    facts: dict | None = None,
) -> pathlib.Path:
    """Writes directory/version/, a SavedModel with metadata.json and model.npz in assets.extra/.

    It is written atomically.

    Args:
      model: the face model, at the level of the vertices that are put out.
      regressor: Iterative regressor for that face model.
      directory: named as the served model, made if missing.
      config: Start of the loop, and how crops are sampled; ExportConfig() if None.
      version: Version of the served model, a positive number.
      facts: more for metadata.json, what JSON can hold.

    Returns:
      The version's directory.

    Raises:
      ExportError: if that version exists already.
    """
    config = config or ExportConfig()
    directory = pathlib.Path(directory)
    target = directory / str(version)
    if target.exists():
        raise ExportError(f"{target}: exists already")
    directory.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{version}-", dir=directory))
    try:
        description = _describe(model, regressor, config, facts or {})
        server = FaceServer(model, regressor, config, description=description)
        tf.saved_model.save(server, str(temporary), signatures=server.signatures())
        _write_extra(temporary, model, description)
        temporary.chmod(0o755)
        _rename(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def _rename(temporary: pathlib.Path, target: pathlib.Path) -> None:
    """Gives a folder its name, unless another process was faster."""
    try:
        os.rename(temporary, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            raise ExportError(f"{target}: exists already") from None
        raise


def _describe(model, regressor, config: ExportConfig, facts: dict) -> str:
    """Gives what is known about the SavedModel as JSON."""
    description = {
        "format": "facerelief-saved-model/1",
        "facerelief_version": facemodel.__version__,
        "model_name": model.name,
        "model_version": model.version,
        "units": "mm",
        "iterations": regressor.iterations,
        "step_decay": regressor.step_decay,
        **dataclasses.asdict(config),
        "coefficient_names": list(model.coefficient_names),
        "identity_count": model.identity_count,
        "vertex_count": model.vertex_count,
        **facts,
    }
    return json.dumps(description, indent=1, sort_keys=True) + "\n"


def _write_extra(path: pathlib.Path, model: MorphableModel, description: str) -> None:
    (path / EXTRA).mkdir()
    (path / METADATA).write_text(description)
    arrays = {field: getattr(model, field) for field in ARRAY_FIELDS}
    np.savez(path / ARRAYS, region_names=np.array(model.region_names), **arrays)
