"""The shipped network weights, checked against the face model that they were trained for."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np

from facemodel.files import file_digest
from facemodel.morphable.geometry import FaceGeometry
from facemodel.morphable.model import DEFAULT_MODEL, MorphableModel
from facemodel.network.heads import LoopHeads
from facemodel.network.regressor import IterativeRegressor, build_network
from facemodel.network.training_config import ITERATIONS, STEP_DECAY
from facemodel.network.weights import DEFAULT_WEIGHTS, WeightsError, put_weights, read_weights


def load_pretrained(
    model: MorphableModel,
    *,
    weights: str | os.PathLike[str] | None = None,
    model_path: str | os.PathLike[str] | None = None,
    iterations: int = ITERATIONS,
    step_decay: float = STEP_DECAY,
    precision: str = "float32",
) -> IterativeRegressor:
    """Builds the regressor for a face model and fills in trained weights.

    Args:
      model: at any level; the weights do not depend on it.
      weights: .npz written by weights.save_weights; the shipped one if None.
      model_path: the file that model was read from, whose bytes are compared with those that the
        weights were trained for; the default model's if None.
      iterations: K of the loop.
      step_decay: Of the loop; 1 to go on with training.
      precision: Dtype policy of the network, see regressor.build_network.

    Raises:
      WeightsError: if the file is missing or broken, or was trained for another face model.
    """
    network, heads = _read_network(model, weights or DEFAULT_WEIGHTS, model_path, precision)
    geometry = FaceGeometry.create(model)
    return IterativeRegressor(
        geometry, network, iterations=iterations, step_decay=step_decay, heads=heads
    )


def create_regressor(
    model: MorphableModel,
    *,
    weights: str | os.PathLike[str] | None,
    model_path: str | os.PathLike[str] | None = None,
    iterations: int = ITERATIONS,
    step_decay: float = 1.0,
    precision: str = "float32",
    geometry: FaceGeometry | None = None,
) -> IterativeRegressor:
    """Builds the regressor for a face model to be trained: anew, or on from weights.

    Heads in a weights file belong to its network as it is, so they are left out.

    Args:
      model: Face model.
      weights: File of the initial weights, .npz; untrained if None.
      model_path: File of the face model; the default model's if None.
      iterations: K of the loop.
      step_decay: Of the loop.
      precision: Precision of the network, see build_network.
      geometry: Tensors of the face model, where they exist already; made if None.

    Raises:
      WeightsError: as load_pretrained.
    """
    if weights:
        network, _ = _read_network(model, weights, model_path, precision)
    else:
        network = build_network(model.coefficient_count, precision=precision)
    geometry = geometry or FaceGeometry.create(model)
    return IterativeRegressor(geometry, network, iterations=iterations, step_decay=step_decay)


def _read_network(model: MorphableModel, weights, model_path, precision: str):
    """The network with its weights, and the heads beside them; None if there are none."""
    arrays = read_weights_for(model, weights=weights, model_path=model_path)
    network = build_network(model.coefficient_count, precision=precision)
    put_weights(network, arrays, weights)
    return network, LoopHeads.from_arrays(arrays)


def read_weights_for(
    model: MorphableModel,
    *,
    weights: str | os.PathLike[str] | None = None,
    model_path: str | os.PathLike[str] | None = None,
) -> dict[str, np.ndarray]:
    """Reads the arrays of weights; raises WeightsError unless they are for a face model.

    Arguments and errors are those of load_pretrained.
    """
    path = pathlib.Path(weights or DEFAULT_WEIGHTS)
    arrays, meta = read_weights(path)
    _check_model(meta, model, pathlib.Path(model_path or DEFAULT_MODEL), path)
    return arrays


def weights_meta(
    model: MorphableModel,
    model_path: str | os.PathLike[str] | None = None,
    *,
    iterations: int = ITERATIONS,
    provenance: str,
) -> dict[str, Any]:
    """What a weights file says of itself, and load_pretrained checks.

    Args:
      model: Face model that the weights are for.
      model_path: the file that model was read from; the default model's if None.
      iterations: K of the loop in training.
      provenance: Origin of the weights, in words.
    """
    return {
        "model_name": model.name,
        "model_version": model.version,
        "model_sha256": file_digest(model_path or DEFAULT_MODEL),
        "coefficient_count": model.coefficient_count,
        "iterations": iterations,
        "provenance": provenance,
    }


def _check_model(
    meta: dict, model: MorphableModel, model_path: pathlib.Path, path: pathlib.Path
) -> None:
    """Compares what the weights say about their face model with the one at hand."""
    if "model_name" not in meta:
        raise WeightsError(f"{path}: not a weights file of this project (it names no face model)")
    trained_for = (meta.get("model_name"), meta.get("model_version"))
    if trained_for != (model.name, model.version):
        wanted = " ".join(str(part) for part in trained_for)
        raise WeightsError(
            f"{path}: trained for face model {wanted}, not for {model.name} {model.version}"
        )
    digest = meta.get("model_sha256")
    if digest and model_path.is_file() and digest != file_digest(model_path):
        raise WeightsError(
            f"{path}: trained for {model.name} {model.version} with sha256 {digest[:12]}, "
            f"but {model_path} has {file_digest(model_path)[:12]}"
        )
