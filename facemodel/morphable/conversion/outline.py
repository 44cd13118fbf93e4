"""Which part of a whole head is the face, and which texture coordinates it has."""

from __future__ import annotations

import dataclasses

import numpy as np

from facemodel.morphable.mesh import ModelError
from facemodel.morphable.readers.foreign import ForeignModel

_MIDDLE_MM = np.array([0.0, -29.0, 26.0])
_RADIUS_MM, _HEIGHT_SHARE = 107.0, 0.92
_BACK_MM = -68.0
_INNER_MIDDLE_MM, _INNER_RADIUS_MM = np.array([0.0, -35.0, 30.0]), 95.0
_AXIS_MM = -40.0
"""Depth of the vertical axis of the cylinder that texture coordinates are taken from."""


def face_triangles(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[T] bool, the triangles within the outline that the default model has.

    Args:
      vertices: [V, 3] mm, aligned.
      triangles: [T, 3].
    """
    offset = (vertices[triangles].mean(1) - _MIDDLE_MM) * [1.0, _HEIGHT_SHARE, 1.0]
    near: np.ndarray = np.linalg.norm(offset, axis=1) < _RADIUS_MM
    return near & (offset[:, 2] + _MIDDLE_MM[2] > _BACK_MM)


def cut(model: ForeignModel, *, whole: bool = False) -> tuple[ForeignModel, np.ndarray]:
    """Leaves the face's vertices and triangles alone.

    Args:
      model: aligned.
      whole: keep all triangles; vertices without any go all the same.

    Returns:
      The smaller model, and [V] which of the old vertices the new ones are.

    Raises:
      ModelError: if nothing is left.
    """
    triangles = model.triangles
    if not whole:
        triangles = triangles[face_triangles(model.mean, triangles)]
    if not len(triangles):
        raise ModelError("none of its triangles is on the face")
    kept = np.unique(triangles)
    place = np.full(len(model.mean), -1)
    place[kept] = np.arange(len(kept))
    colours = {} if model.albedo_mean is None or model.albedo is None else {
        "albedo_mean": model.albedo_mean[kept], "albedo": model.albedo[:, kept],
    }  # fmt: skip
    smaller = dataclasses.replace(
        model,
        mean=model.mean[kept],
        identity=model.identity[:, kept],
        expression=model.expression[:, kept],
        triangles=place[triangles].astype(np.int32),
        landmarks=np.where(model.landmarks < 0, -1, place[model.landmarks]),
        regions=model.regions[kept],
        **colours,
    )
    return smaller, kept


def inner_face(vertices: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """[V] bool, the skin in front, where errors are measured; vertices [V, 3] mm, aligned."""
    near = np.linalg.norm(vertices - _INNER_MIDDLE_MM, axis=1) < _INNER_RADIUS_MM
    return near & (regions == 0)


def cylinder_uv(vertices: np.ndarray) -> np.ndarray:
    """Texture coordinates [V, 2] in [0, 1], v upwards: the face unrolled from a cylinder."""
    x, y, z = vertices.T
    unrolled = np.stack([np.arctan2(x, np.maximum(z - _AXIS_MM, 1.0)), y], -1)
    low, high = unrolled.min(0), unrolled.max(0)
    return ((unrolled - low) / np.maximum(high - low, 1e-6)).astype(np.float32)
