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
    vertices = np.asarray(vertices, np.float32)
    faces = _area_normals(vertices, triangles)
    sums = _gather(faces, triangles, len(vertices))
    neutral = _unit(sums)
    found = []
    for move in moves:
        touched = np.flatnonzero(move.any(1)[triangles].any(1))
        some = triangles[touched]
        change = _area_normals(vertices + np.asarray(move, np.float32), some) - faces[touched]
        turned = _unit(sums + _gather(change, some, len(vertices)))
        found.append((turned - neutral).astype(np.float32))
    return found


def _area_normals(vertices, triangles):
    """Normals [T, 3] as long as twice the area of each triangle."""
    x, y, z = (np.ascontiguousarray(axis) for axis in vertices.T)
    first, second, third = np.ascontiguousarray(triangles.T)
    a, b = ([axis[end] - axis[first] for axis in (x, y, z)] for end in (second, third))
    pairs = ((1, 2), (2, 0), (0, 1))
    return np.stack([a[i] * b[j] - a[j] * b[i] for i, j in pairs], axis=-1)


def _gather(faces, triangles, count):
    corners = triangles.ravel()
    return np.stack(
        [np.bincount(corners, np.repeat(faces[:, k], 3), count) for k in range(3)], axis=-1
    )


def _unit(vectors):
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return vectors / np.maximum(lengths, 1e-12)[:, None]
