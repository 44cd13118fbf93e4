"""The closest point of a triangle mesh, exactly, for many points at once."""

from __future__ import annotations

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

_BLOCK = 1 << 12
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
    closest point, and all others are tried: the answer is exact. Centroids come from k-d trees, one
    for the triangles of each size, so that a few large ones do not loosen the bound for all.

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
        sizes = np.ceil(np.log2(np.maximum(radii, radii.max() * 2.0**-20)))
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
        best = self._on(self._near(points), points)
        if hint is not None:
            known = self._on(hint, points)
            nearer = known.distances < best.distances
            for old, new in zip(best, known):
                old[nearer] = new[nearer]
        for start in range(0, len(points), _BLOCK):
            block = slice(start, start + _BLOCK)
            for group in self._groups:
                self._search(group, points[block], Closest(*(part[block] for part in best)))
        return best

    def normals(self, triangles: np.ndarray) -> np.ndarray:
        """Unit normals [N, 3] of triangles [N]; zero for those without an area."""
        first, second, third = np.moveaxis(self._corners[triangles], 1, 0)
        normals = np.cross(second - first, third - first)
        length = np.linalg.norm(normals, axis=-1, keepdims=True)
        return np.where(length > 0, normals / np.maximum(length, 1e-300), 0.0)

    def _on(self, triangles: np.ndarray, points: np.ndarray) -> Closest:
        """The closest point of a given triangle [N] to each point [N, 3]."""
        found = closest_on_triangles(points, self._corners[triangles])
        distances = np.linalg.norm(found - points, axis=-1)
        return Closest(found, distances, np.array(triangles, np.int64))

    def _near(self, points: np.ndarray) -> np.ndarray:
        """[N] the triangle whose centroid is nearest, less its radius."""
        bounds, numbers = [], []
        for group in self._groups:
            apart, near = group.tree.query(points)
            bounds.append(apart - group.radii[near])
            numbers.append(group.indices[near])
        return np.stack(numbers)[np.argmin(bounds, 0), np.arange(len(points))]

    def _search(self, group: _Group, points: np.ndarray, best: Closest) -> None:
        """Improves best, in place, by the triangles of a group."""
        reach = best.distances + float(group.radii.max())
        near = group.tree.query_ball_point(points, reach * (1 + 1e-12), return_sorted=False)
        counts = np.fromiter(map(len, near), np.int64, len(near))
        members = np.fromiter(itertools.chain.from_iterable(near), np.int64, counts.sum())
        rows = np.repeat(np.arange(len(points)), counts)
        apart = np.linalg.norm(group.tree.data[members] - points[rows], axis=-1)
        possible = apart <= best.distances[rows] + group.radii[members]
        self._improve(points, best, rows[possible], group.indices[members[possible]])

    def _improve(self, points, best, rows, triangles) -> None:
        """Tries triangles [M] for the points [M] that rows, which ascend, say."""
        if not len(rows):
            return
        found = closest_on_triangles(points[rows], self._corners[triangles])
        distances = np.linalg.norm(found - points[rows], axis=-1)
        order = np.lexsort((distances, rows))
        first = order[np.flatnonzero(np.diff(rows[order], prepend=-1))]
        better = first[distances[first] < best.distances[rows[first]]]
        best.points[rows[better]] = found[better]
        best.distances[rows[better]] = distances[better]
        best.triangles[rows[better]] = triangles[better]


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
