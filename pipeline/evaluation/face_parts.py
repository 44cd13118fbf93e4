"""Errors of a face by its parts and along its axes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facemodel.evaluation.face_regions import ELSEWHERE, REGIONS, mean_face_regions
from facemodel.evaluation.similarity import fit_similarity
from facemodel.morphable.landmarks import IBUG_68, embedded_points
from facemodel.morphable.model import MorphableModel

PARTS = ("brows", "eyes", "nose", "mouth", "cheeks", "jaw", "forehead")
AXES = ("x", "y", "z")
_BROWS = slice(17, 27)
_BROW_HALF_MM = 7.0
_MOUTH_CORNERS = (48, 54)


class PartErrors(NamedTuple):
    """Errors in mm after similarity alignment.

    Attributes:
      mean: over the inner face.
      parts: [7] mean distance by PARTS.
      axes: [3] mean absolute error along the true face's axes: its left, up, forwards.
    """

    mean: float
    parts: np.ndarray
    axes: np.ndarray


def part_of(model: MorphableModel) -> np.ndarray:
    """Number in PARTS of each vertex of the inner face, int8 [V]."""
    chosen = list(IBUG_68)
    points = embedded_points(
        model.mean, model.triangles, model.landmark_triangles[chosen],
        model.landmark_barycentric[chosen],
    )  # fmt: skip
    vertices = model.mean[model.inner_face]
    regions = mean_face_regions(vertices, points)
    names = {"nose": "nose", "mouth": "mouth", "forehead": "forehead", "cheek": "cheeks"}
    table = np.array([PARTS.index(names[name]) for name in REGIONS])
    parts = np.where(regions == ELSEWHERE, PARTS.index("eyes"), table[regions])
    corners = points[list(_MOUTH_CORNERS), 1].mean()
    below = (parts == PARTS.index("cheeks")) & (vertices[:, 1] < corners)
    parts = np.where(below, PARTS.index("jaw"), parts)
    near = np.linalg.norm(vertices[:, None, :2] - _dense(points[_BROWS, :2]), axis=-1).min(1)
    brow = (near < _BROW_HALF_MM) & np.isin(parts, [PARTS.index("forehead"), PARTS.index("eyes")])
    return np.where(brow, PARTS.index("brows"), parts).astype(np.int8)


def _dense(points: np.ndarray) -> np.ndarray:
    """Points along each of the two brows."""
    share = np.linspace(0, 4, 33)
    sides = [
        np.stack([np.interp(share, np.arange(5), side[:, k]) for k in range(2)], 1)
        for side in (points[:5], points[5:])
    ]
    return np.concatenate(sides)


def part_errors(estimate: np.ndarray, truth: np.ndarray, parts: np.ndarray) -> PartErrors:
    """Errors of a face.

    Args:
      estimate: [V, 3] mm, the inner face.
      truth: [V, 3] mm.
      parts: [V] as part_of gives them.
    """
    source = np.asarray(estimate, np.float64)
    apart = fit_similarity(source, truth).apply(source) - truth
    distance = np.linalg.norm(apart, axis=-1)
    count = np.bincount(parts, minlength=len(PARTS))
    by_part = np.bincount(parts, distance, len(PARTS)) / np.maximum(count, 1)
    return PartErrors(float(distance.mean()), by_part, np.abs(apart).mean(0))
