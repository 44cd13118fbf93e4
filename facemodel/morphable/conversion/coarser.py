"""Coarser meshes of a face whose vertices are some of its own, so that its bases go with them.

Seeds are spread evenly over the vertices; each vertex belongs to the seed that is nearest along the
mesh; a triangle whose corners belong to three seeds becomes the triangle of these seeds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from facemodel.morphable.mesh import vertex_normals

LEVEL_VERTICES = (3000, 12000)
"""At most so many at level 0, which the loop renders, and at level 1; level 2 has them all. The
default model has 2854 and 11,179."""
_NORMAL_MM = 6.0
"""A normal turned by a radian counts as such a distance: lips that lie upon each other both get
seeds, and so does what bends much."""


class Submesh(NamedTuple):
    """Some vertices of a mesh, and triangles between them.

    Attributes:
      vertices: [N] which of the mesh's.
      triangles: [T, 3] int32 indices into vertices, wound as the mesh's.
    """

    vertices: np.ndarray
    triangles: np.ndarray


def levels(vertices: np.ndarray, triangles: np.ndarray) -> list[Submesh]:
    """The meshes of the levels 0, 1 and 2; one with few vertices stands for several.

    Args:
      vertices: [V, 3] mm.
      triangles: [T, 3].
    """
    all_of_it = Submesh(np.arange(len(vertices)), triangles.astype(np.int32))
    return [*(coarser(vertices, triangles, count) for count in LEVEL_VERTICES), all_of_it]


def coarser(vertices: np.ndarray, triangles: np.ndarray, count: int) -> Submesh:
    """A mesh of about `count` vertices; the mesh itself if it has no more.

    Args:
      vertices: [V, 3] mm, each in a triangle.
      triangles: [T, 3].
      count: of the coarser mesh.
    """
    if len(vertices) <= count:
        return Submesh(np.arange(len(vertices)), triangles.astype(np.int32))
    normals = vertex_normals(vertices, triangles)
    seeds = spread(np.concatenate([vertices, _NORMAL_MM * normals], 1), count)
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    edges = np.unique(np.sort(edges, 1), axis=0)
    lengths = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    size = (len(vertices), len(vertices))
    graph = sparse.csr_matrix((np.maximum(lengths, 1e-6), edges.T), shape=size)
    _, _, owner = csgraph.dijkstra(
        graph, directed=False, indices=seeds, min_only=True, return_predecessors=True
    )
    corners = owner[triangles]
    corners = corners[(corners >= 0).all(1) & (np.diff(np.sort(corners, 1), axis=1) > 0).all(1)]
    smallest_first = (np.arange(3) + corners.argmin(1)[:, None]) % 3
    turned = np.unique(np.take_along_axis(corners, smallest_first, 1), axis=0)
    kept = np.unique(turned)
    return Submesh(kept, np.searchsorted(kept, turned).astype(np.int32))


def spread(points: np.ndarray, count: int) -> np.ndarray:
    """[count] indices of points [V, D] that lie far from each other, the farthest next."""
    points = np.ascontiguousarray(points - points.mean(0), np.float64)
    squared = (points**2).sum(1)
    chosen = np.empty(count, np.int64)
    chosen[0] = squared.argmax()
    nearest = np.full(len(points), np.inf)
    for k in range(1, count):
        last = chosen[k - 1]
        np.minimum(nearest, squared - 2 * (points @ points[last]) + squared[last], out=nearest)
        chosen[k] = nearest.argmax()
    return np.sort(chosen)
