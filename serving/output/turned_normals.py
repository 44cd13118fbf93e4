"""How expressions turn the normals of a mesh."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def turned_normals(
    vertices: np.ndarray, triangles: np.ndarray, moves: Iterable[np.ndarray]
) -> list[np.ndarray]:
    """Computes what moved vertices change of the normals (facemodel.morphable.mesh.vertex_normals).

    Only triangles that a move touches are computed again: a third of a head by most expressions.

    Args:
      vertices: [V, 3] mm.
      triangles: [T, 3].
      moves: each [V, 3] mm that is added to the vertices.

    Returns:
      For each move float32 [V, 3]: the unit normals after it minus those before.
    """
    places = np.ascontiguousarray(np.transpose(vertices), np.float32)
    corners = np.ascontiguousarray(np.transpose(triangles), np.intp)
    faces = _area_normals(places, corners)
    sums = _gather(faces, corners, places.shape[1])
    neutral = _unit(sums)
    found = []
    for move in moves:
        moved = np.einsum("ij,ij->i", move, move) > 0
        touched = np.flatnonzero(moved[corners[0]] | moved[corners[1]] | moved[corners[2]])
        some = corners[:, touched]
        change = _area_normals(places + move.T.astype(np.float32), some) - faces[:, touched]
        near = np.flatnonzero(np.bincount(some.ravel(), minlength=places.shape[1]))
        turned = sums[:, near] + _gather(change, some, places.shape[1])[:, near]
        turns = np.zeros((places.shape[1], 3), np.float32)
        turns[near] = (_unit(turned) - neutral[:, near]).T
        found.append(turns)
    return found


def _area_normals(places, corners):
    """Normals [3, T] as long as twice the area, of vertices [3, V] and corners [3, T]."""
    first = [axis.take(corners[0]) for axis in places]
    a, b = ([axis.take(end) - x for axis, x in zip(places, first)] for end in corners[1:])
    pairs = ((1, 2), (2, 0), (0, 1))
    return np.stack([a[i] * b[j] - a[j] * b[i] for i, j in pairs])


def _gather(faces, corners, count):
    """Sums [3, V] over the triangles around each vertex."""
    ends = corners.ravel()
    return np.stack([np.bincount(ends, np.tile(axis, 3), count) for axis in faces])


def _unit(vectors):
    squared = vectors[0] ** 2 + vectors[1] ** 2 + vectors[2] ** 2
    return vectors / np.sqrt(np.maximum(squared, 1e-24))
