"""FLAME (.pkl without chumpy, or .npz): identity and expression; of the pose only the open jaw."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from facemodel.morphable.mesh import ModelError
from facemodel.morphable.readers.array_pickle import load_arrays
from facemodel.morphable.readers.foreign import (
    SD_PER_WEIGHT,
    ForeignModel,
    foreign_model,
    naming,
    pca_names,
)

TERMS = "FLAME licence: by version, non-commercial research or CC BY 4.0 (see its page)"
IDENTITY_COUNT = 300
"""The first vectors of shapedirs; those after them are expressions."""
JAW, JAW_OPEN_RAD = 2, 0.35
"""The joint of the jaw, and its turn at weight 1 of jawOpen."""
REGIONS = ("skin", "eye_l", "eye_r")
_METRE_MM = 1000.0


def read(path: str | os.PathLike[str]) -> ForeignModel:
    """Reads the linear part, and the jaw's turn as one more expression.

    Raises:
      ModelError: naming the file and what is wrong with it.
    """
    path = pathlib.Path(path)
    with naming(path, "a FLAME model"):
        content = _npz(path) if path.suffix == ".npz" else load_arrays(path)
        mean = np.asarray(content["v_template"], np.float64)
        shapes = np.asarray(content["shapedirs"], np.float64)
        if mean.shape != (len(mean), 3) or shapes.shape[:2] != mean.shape:
            raise ModelError(f"v_template {mean.shape} and shapedirs {shapes.shape} do not fit")
        vectors = np.moveaxis(shapes, -1, 0) * _METRE_MM
        identity, expression = vectors[:IDENTITY_COUNT], vectors[IDENTITY_COUNT:] * SD_PER_WEIGHT
        names = pca_names(len(expression))
        opened = _jaw_open(content, mean)
        if opened is not None:
            expression = np.concatenate([expression, opened[None] * _METRE_MM])
            names = (*names, "arkit/jawOpen")
        triangles = np.asarray(content["f"]).astype(np.int64)
        return foreign_model(
            name="FLAME",
            terms=TERMS,
            mean=mean * _METRE_MM,
            identity=identity,
            expression=expression,
            expression_names=names,
            triangles=triangles,
            regions=_regions(mean, triangles),
            region_names=REGIONS,
        )


def _npz(path: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz; those that are pickled inside are left out."""
    content = {}
    with np.load(path, allow_pickle=False) as archive:
        for name in ("v_template", "shapedirs", "f", "posedirs", "weights", "J_regressor", "J"):
            try:
                content[name] = archive[name]
            except (KeyError, ValueError):
                if name in ("v_template", "shapedirs", "f"):
                    raise
    return content


def _jaw_open(content: dict[str, Any], mean: np.ndarray) -> np.ndarray | None:
    """[V, 3] m that the mean face moves when the jaw turns; None without joints.

    Linear blend skinning of one joint, with the corrections of its pose.
    """
    if "weights" not in content or not {"J_regressor", "J"} & set(content):
        return None
    if "J_regressor" in content:
        joints = np.asarray(content["J_regressor"] @ mean)
    else:
        joints = np.asarray(content["J"], np.float64)
    weights = np.asarray(content["weights"], np.float64)
    if len(joints) <= JAW or weights.shape != (len(mean), len(joints)):
        raise ModelError(f"weights {weights.shape} and {len(joints)} joints do not fit")
    cos, sin = np.cos(JAW_OPEN_RAD), np.sin(JAW_OPEN_RAD)
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    shaped = mean.copy()
    if "posedirs" in content:
        corrections = np.asarray(content["posedirs"], np.float64)[..., 9 * (JAW - 1) : 9 * JAW]
        shaped += corrections.reshape(*mean.shape, 9) @ (turn - np.eye(3)).ravel()
    around = shaped - joints[JAW]
    moved = weights[:, JAW, None] * (around @ turn.T - around)
    return shaped + moved - mean


def _regions(mean: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[V] the eyeballs are the parts that the head's surface is not connected to."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]]])
    if edges.size and not 0 <= edges.min() <= edges.max() < len(mean):
        raise ModelError(f"f should lie in [0, {len(mean)})")
    graph = sparse.csr_matrix((np.ones(len(edges)), edges.T), shape=(len(mean), len(mean)))
    _, part = csgraph.connected_components(graph, directed=False)
    head = np.bincount(part).argmax()
    left = mean[:, 0] > mean[part == head, 0].mean()
    return np.where(part == head, 0, np.where(left, 1, 2)).astype(np.uint8)
