"""The closest places on a mesh, as triangles and barycentric coordinates."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

_NEAREST_TRIANGLES = 48


def embed(
    points: np.ndarray, vertices: np.ndarray, triangles: np.ndarray, allowed: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the closest places on a mesh.

    Args:
      points: [L, 3] mm.
      vertices: [V, 3] mm.
      triangles: [T, 3].
      allowed: [T] bool, which triangles may be used.

    Returns:
      [L] int32 triangle and [L, 3] float32 barycentric coordinates, not negative, summing to 1.
    """
    usable = np.flatnonzero(allowed)
    corners = vertices[triangles[usable]]
    count = min(_NEAREST_TRIANGLES, len(usable))
    _, near = cKDTree(corners.mean(1)).query(points, k=count)
    near = near.reshape(len(points), count)
    places = closest_barycentric(points[:, None], corners[near])
    met = (corners[near] * places[..., None]).sum(-2)
    best = np.linalg.norm(met - points[:, None], axis=-1).argmin(1)
    rows = np.arange(len(points))
    chosen = usable[near[rows, best]].astype(np.int32)
    return chosen, places[rows, best].astype(np.float32)


def closest_barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Barycentric coordinates of the closest point of a triangle.

    Args:
      points: [..., 3].
      corners: [..., 3, 3] corner, then axis.

    Returns:
      [..., 3], not negative, summing to 1.
    """
    a, b, c = (corners[..., corner, :] for corner in range(3))
    inner = _plane_barycentric(points - a, b - a, c - a)
    candidates = [np.where((inner >= 0).all(-1, keepdims=True), inner, np.nan)]
    for first, second in ((0, 1), (1, 2), (2, 0)):
        start, stop = corners[..., first, :], corners[..., second, :]
        along = ((points - start) * (stop - start)).sum(-1) / ((stop - start) ** 2).sum(-1)
        along = along.clip(0, 1)
        edge = np.zeros(inner.shape)
        edge[..., first], edge[..., second] = 1 - along, along
        candidates.append(edge)
    options = np.stack(candidates, axis=-2)
    met = np.einsum("...ok,...kd->...od", options, np.broadcast_to(corners, (*inner.shape, 3)))
    distance = np.linalg.norm(met - points[..., None, :], axis=-1)
    best = np.where(np.isnan(distance), np.inf, distance).argmin(-1)
    return np.take_along_axis(options, best[..., None, None], axis=-2)[..., 0, :]


def _plane_barycentric(offset: np.ndarray, side: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Weights of a triangle's corners at the foot of the perpendicular from a point."""
    aa, ab, bb = (side * side).sum(-1), (side * other).sum(-1), (other * other).sum(-1)
    pa, pb = (offset * side).sum(-1), (offset * other).sum(-1)
    area = np.maximum(aa * bb - ab * ab, 1e-12)
    second, third = (bb * pa - ab * pb) / area, (aa * pb - ab * pa) / area
    return np.stack([1 - second - third, second, third], axis=-1)
