"""The closest point of a triangle mesh, exactly, for many points at once."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

_FIRST = 4
"""How many triangles are looked at first; a point that is not sure then looks at four times as
many."""
_BLOCK = 1 << 15
"""Points at a time, to bound memory."""


class Closest(NamedTuple):
    """What a mesh has closest to each of N points.

    Attributes:
      points: [N, 3] on the mesh.
      distances: [N] to them, in the units of the mesh.
      triangles: [N] int64, the triangle they are on.
    """

    points: np.ndarray
    distances: np.ndarray
    triangles: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class _Group:
    """Triangles of about one size.

    Attributes:
      tree: of their centroids.
      indices: [n] which triangles of the mesh these are.
      radii: [n] distance of a triangle's farthest corner from its centroid.
    """

    tree: cKDTree
    indices: np.ndarray
    radii: np.ndarray


class Surface:
    """A triangle mesh that can be asked for its closest points.

    A triangle whose centroid is farther than (best distance so far + its radius) cannot hold the
    closest point. So centroids are taken from a k-d tree, nearest first, until the next one is
    beyond that: the answer is exact. Triangles are grouped by size, so that a few large ones do
    not loosen the bound for all.

    Args:
      vertices: [V, 3].
      triangles: [T, 3] into them.

    Raises:
      ValueError: if there is no triangle, or vertices are not finite.
    """

    def __init__(self, vertices: np.ndarray, triangles: np.ndarray):
        self._corners = np.asarray(vertices, np.float64)[np.asarray(triangles)]
        if not len(self._corners):
            raise ValueError("expected at least one triangle, got none")
        if not np.isfinite(self._corners).all():
            raise ValueError("vertices hold values that are not finite")
        centroids = self._corners.mean(1)
        radii = np.linalg.norm(self._corners - centroids[:, None], axis=-1).max(1)
        sizes = np.ceil(np.log2(np.maximum(radii, radii.max() * 2.0**-20)) / 2)
        self._groups = []
        for size in np.unique(sizes):
            chosen = np.flatnonzero(sizes == size)
            tree = cKDTree(centroids[chosen])
            self._groups.append(_Group(tree, chosen, radii[chosen]))
        self._groups.sort(key=lambda group: -len(group.indices))

    def closest(self, points: np.ndarray, *, hint: np.ndarray | None = None) -> Closest:
        """The closest points of the mesh.

        Args:
          points: [N, 3].
          hint: [N] triangles that are probably close to them, which saves time.
        """
        points = np.asarray(points, np.float64)
        hint = np.zeros(len(points), np.int64) if hint is None else hint
        blocks = [
            self._block(points[k : k + _BLOCK], hint[k : k + _BLOCK])
            for k in range(0, len(points), _BLOCK)
        ]
        parts = zip(*blocks) if blocks else (np.empty((0, 3)), np.empty(0), np.empty(0, int))
        return Closest(*(np.concatenate(part) if blocks else part for part in parts))

    def normals(self, triangles: np.ndarray) -> np.ndarray:
        """Unit normals [N, 3] of triangles [N]; zero for those without an area."""
        first, second, third = np.moveaxis(self._corners[triangles], 1, 0)
        normals = np.cross(second - first, third - first)
        length = np.linalg.norm(normals, axis=-1, keepdims=True)
        return np.where(length > 0, normals / np.maximum(length, 1e-300), 0.0)

    def _block(self, points: np.ndarray, hint: np.ndarray) -> Closest:
        first = closest_on_triangles(points, self._corners[hint])
        best = Closest(first, np.linalg.norm(first - points, axis=-1), hint.astype(np.int64))
        for group in self._groups:
            self._search(group, points, best)
        return best

    def _search(self, group: _Group, points: np.ndarray, best: Closest) -> None:
        """Improves best, in place, by the triangles of a group."""
        count, reach, done = len(group.indices), float(group.radii.max()), 0
        todo, wanted = np.arange(len(points)), min(_FIRST, count)
        while len(todo):
            apart, near = group.tree.query(points[todo], wanted, workers=-1)
            apart, near = (values.reshape(len(todo), -1)[:, done:] for values in (apart, near))
            self._improve(group, points, best, todo, apart, near)
            open_ends = apart[:, -1] <= best.distances[todo] + reach
            todo = todo[open_ends] if wanted < count else todo[:0]
            done, wanted = wanted, min(4 * wanted, count)

    def _improve(self, group, points, best, todo, apart, near) -> None:
        """Tries the triangles near [M, K] of a group, at centroid distances apart [M, K]."""
        possible = apart <= best.distances[todo, None] + group.radii[near]
        rows, columns = np.nonzero(possible)
        triangles = group.indices[near[rows, columns]]
        found = closest_on_triangles(points[todo[rows]], self._corners[triangles])
        distance = np.full(apart.shape, np.inf)
        distance[rows, columns] = np.linalg.norm(found - points[todo[rows]], axis=-1)
        column = distance.argmin(1)
        nearest = distance[np.arange(len(todo)), column]
        better = np.flatnonzero(nearest < best.distances[todo])
        place = np.zeros(apart.shape, np.int64)
        place[rows, columns] = np.arange(len(rows))
        chosen = place[better, column[better]]
        best.points[todo[better]] = found[chosen]
        best.triangles[todo[better]] = triangles[chosen]
        best.distances[todo[better]] = nearest[better]


def closest_on_triangles(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The closest point of one triangle to each point.

    Args:
      points: [M, 3].
      corners: [M, 3, 3] triangle of each point; it may have no area.

    Returns:
      [M, 3]: the foot of the perpendicular if it is inside, else the closest point of an edge.
    """
    first, second, third = np.moveaxis(corners, 1, 0)
    along, across, apart = second - first, third - first, points - first
    normal = np.cross(along, across)
    area = np.maximum((normal**2).sum(-1), 1e-300)
    towards_second = (np.cross(apart, across) * normal).sum(-1) / area
    towards_third = (np.cross(along, apart) * normal).sum(-1) / area
    foot = first + towards_second[:, None] * along + towards_third[:, None] * across
    flat = (normal**2).sum(-1) <= 1e-24 * ((along**2).sum(-1) * (across**2).sum(-1))
    low = np.minimum(towards_second, towards_third)
    outside = np.flatnonzero((low < 0) | (towards_second + towards_third > 1) | flat)
    if len(outside):
        foot[outside] = _closest_on_edges(points[outside], corners[outside])
    return foot


def _closest_on_edges(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    edges = np.roll(corners, -1, 1) - corners
    length = np.maximum((edges**2).sum(-1), 1e-300)
    along = ((points[:, None] - corners) * edges).sum(-1) / length
    feet = corners + np.clip(along, 0, 1)[..., None] * edges
    nearest = ((feet - points[:, None]) ** 2).sum(-1).argmin(1)
    return feet[np.arange(len(points)), nearest]
