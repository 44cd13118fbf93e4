"""Tangents: the directions on a surface along which the texture coordinates grow."""

from __future__ import annotations

import numpy as np

from facemodel.vectors import SHORTEST, dot, length, unit


def corner_tangents(
    vertices: np.ndarray, normals: np.ndarray, uv: np.ndarray, triangles: np.ndarray
) -> np.ndarray:
    """Computes the tangents that the normal map of a mesh refers to.

    The basis at a vertex is (T, B, N) with the normal N, T the direction of growing u perpendicular
    to N, and B = w cross(N, T) along growing v; w is -1 where the texture lies mirrored.

    Args:
      vertices: [N, 3], one for each pair of place and texture coordinate, so that the copies of a
        vertex at a seam have tangents of their own.
      normals: [N, 3] unit.
      uv: [N, 2] texture coordinates, v up.
      triangles: [T, 3].

    Returns:
      float32 [N, 4]: T (unit) and w.

    Source: glTF 2.0, 3.7.2.1; Lengyel, "Computing Tangent Space Basis Vectors for an Arbitrary
    Mesh", 2001.
    """
    along_u, along_v = _sums(np.asarray(vertices, np.float64), uv, triangles)
    normals = np.asarray(normals, np.float64)
    tangent = along_u - normals * dot(along_u, normals)[:, None]
    # Without a texture direction any one will do.
    some = (length(tangent) > SHORTEST)[:, None]
    tangent = unit(np.where(some, tangent, _perpendicular(normals)))
    mirrored = dot(np.cross(normals, tangent), along_v) < 0.0
    return np.column_stack([tangent, np.where(mirrored, -1.0, 1.0)]).astype(np.float32)


def _sums(places, uv, triangles):
    """Directions of growing u and v at corners [N, 3], summed over triangles by area."""
    first, second, third = (triangles[:, k] for k in range(3))
    edge, other = places[second] - places[first], places[third] - places[first]
    step, jump = uv[second] - uv[first], uv[third] - uv[first]
    sign = np.sign(step[:, 0] * jump[:, 1] - step[:, 1] * jump[:, 0])[:, None]
    along_u = sign * (edge * jump[:, 1:] - other * step[:, 1:])
    along_v = sign * (other * step[:, :1] - edge * jump[:, :1])
    area = length(np.cross(edge, other))[:, None]
    return tuple(
        _gather(unit(along) * area, triangles, len(places)) for along in (along_u, along_v)
    )


def _gather(values, triangles, count):
    corners = triangles.ravel()
    return np.stack(
        [np.bincount(corners, np.repeat(values[:, k], 3), count) for k in range(3)], axis=-1
    )


def _perpendicular(normals):
    """Some vector perpendicular to each normal [N, 3]."""
    axis = np.eye(3)[np.argmin(np.abs(normals), axis=1)]
    return np.cross(normals, axis)
