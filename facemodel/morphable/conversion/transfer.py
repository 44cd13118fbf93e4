"""What a foreign model lacks, taken from the default model: colours, expressions, landmarks.

The default mean face is bent onto the foreign one by the landmarks that both have; what belongs to
the nearest of its vertices, with a normal that points the same way, is then the foreign vertex's.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree

from facemodel.morphable.landmarks import IBUG_68, INNER_51, embedded_points
from facemodel.morphable.mesh import vertex_normals
from facemodel.morphable.model import MorphableModel

_SMOOTHING_MM = 1.0
_NORMAL_MM = 6.0
"""A normal turned by a radian counts as such a distance: lips lie upon each other."""
_NEIGHBOURS = 4
_NEAR_MM = 0.5


def landmark_points(model: MorphableModel) -> np.ndarray:
    """[478, 3] mm, the landmarks on a model's mean face."""
    at = (model.triangles, model.landmark_triangles, model.landmark_barycentric)
    return embedded_points(model.mean, *at)


def listed_points(mean: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """A list of vertices [68] as [478, 3] mm at the places of MediaPipe's order, else NaN.

    Args:
      mean: [V, 3] mm.
      landmarks: [68] vertices, -1 where unknown.
    """
    points = np.full((478, 3), np.nan)
    known = landmarks >= 0
    points[np.asarray(IBUG_68)[known]] = mean[landmarks[known]]
    return points


def bend(points: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Moves points as landmarks move, smoothly in between.

    Args:
      points: [N, 3] mm.
      source: [478, 3] mm, the landmarks of the face that the points belong to.
      target: [478, 3] mm, where they should be; NaN where unknown. Of the jaw's, which slide along
        the outline, only the chin counts.
    """
    used = np.array([*INNER_51, IBUG_68[8]])
    used = used[np.isfinite(target[used]).all(-1)]
    warp = RBFInterpolator(
        source[used], target[used] - source[used], kernel="linear", degree=1,
        smoothing=_SMOOTHING_MM,
    )  # fmt: skip
    return points + warp(points)


def completed_landmarks(points: np.ndarray, default: MorphableModel) -> np.ndarray:
    """[478, 3] mm with NaN -> all of them, the unknown ones as the default model's lie."""
    own = landmark_points(default)
    return np.where(np.isfinite(points), points, bend(own, own, points))


def colour_operator(
    default: MorphableModel,
    points: np.ndarray,
    mean: np.ndarray,
    triangles: np.ndarray,
    in_region: np.ndarray,
) -> sparse.csr_matrix:
    """[V, Vd] from values at the default model's vertices to a foreign model's, rows summing to 1.

    Args:
      default: the default model.
      points: [478, 3] mm, the foreign model's landmarks, aligned; NaN where unknown.
      mean: [V, 3] mm, aligned.
      triangles: [T, 3].
      in_region: [V] index into the default model's region names.
    """
    bent = bend(default.mean, landmark_points(default), points)
    source = _features(bent, default.triangles)
    target = _features(mean, triangles)
    rows, columns, weights = [], [], []
    for region in np.unique(in_region):
        own = np.flatnonzero(in_region == region)
        other = np.flatnonzero(np.isin(default.regions, _sources(region, in_region, default)))
        distance, near = cKDTree(source[other]).query(target[own], k=_NEIGHBOURS)
        share = 1 / (distance + _NEAR_MM) ** 2
        rows.append(np.repeat(own, _NEIGHBOURS))
        columns.append(other[near].ravel())
        weights.append((share / share.sum(1, keepdims=True)).ravel())
    entries = (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_matrix(entries, shape=(len(mean), len(default.mean)))


def _sources(region: int, in_region: np.ndarray, default: MorphableModel) -> list[int]:
    """The default model's regions that a region takes values from.

    The region of that name; skin also takes from the eyes where a model has no eyes of its own.
    """
    names = default.region_names
    eyes = [number for number, name in enumerate(names) if name in ("eye_l", "eye_r")]
    return [region, *eyes] if region == 0 and not np.isin(eyes, in_region).any() else [region]


def _features(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    return np.concatenate([vertices, _NORMAL_MM * vertex_normals(vertices, triangles)], 1)


def default_regions(regions: np.ndarray, names: tuple[str, ...], default: MorphableModel):
    """[V] the default model's numbers of a foreign model's regions; skin where it has none."""
    numbers = {name: number for number, name in enumerate(default.region_names)}
    return np.array([numbers.get(name, 0) for name in names])[regions]


def carried(operator: sparse.csr_matrix, values: np.ndarray) -> np.ndarray:
    """Applies [V, Vd] to values [..., Vd, 3] -> [..., V, 3] float32."""
    columns = np.moveaxis(values, -2, 0)
    result = operator @ columns.reshape(len(columns), -1)
    return np.ascontiguousarray(
        np.moveaxis(result.reshape(-1, *columns.shape[1:]), 0, -2), np.float32
    )
