"""Basel face models of 2017 and 2019 (.h5 of scalismo): identity, expression and colour."""

from __future__ import annotations

import os
from typing import Any

import h5py
import numpy as np

from facemodel.morphable.mesh import ModelError
from facemodel.morphable.readers.foreign import (
    SD_PER_WEIGHT,
    ForeignModel,
    corners_as_rows,
    foreign_model,
    naming,
    scaled_basis,
)

TERMS = "Basel Face Model licence: non-commercial research, not to be passed on"


def read(path: str | os.PathLike[str]) -> ForeignModel:
    """Reads a model with any number of vertices, in mm.

    Raises:
      ModelError: naming the file and what is wrong with it.
    """
    with naming(path, "a Basel face model of 2017 or 2019"):
        with h5py.File(path, "r") as file:
            mean, identity = _linear(file, "shape", 1.0)
            colour: dict[str, Any] = {}
            if "color" in file:
                colour_mean, colours = _linear(file, "color", 1.0)
                colour = {"albedo_mean": colour_mean, "albedo": colours}
            expression = None
            if "expression" in file:
                offset, expression = _linear(file, "expression", SD_PER_WEIGHT)
                mean = mean + offset
            triangles = corners_as_rows(file["shape/representer/cells"][()])
        return foreign_model(
            name="Basel 2017/2019",
            terms=TERMS,
            mean=mean,
            identity=identity,
            expression=expression,
            triangles=triangles,
            **colour,
        )


def _linear(file: h5py.File, part: str, deviations: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean [V, 3] and basis [n, V, 3], each vector so many standard deviations long."""
    model = file[f"{part}/model"]
    mean, variance = model["mean"][()].astype(np.float64), model["pcaVariance"][()]
    if mean.size % 3 or (np.asarray(variance) < 0).any():
        raise ModelError(f"{part}: {mean.size} coordinates, or variances below 0")
    basis = scaled_basis(model["pcaBasis"][()], np.sqrt(variance), deviations)
    return mean.reshape(-1, 3), basis
