"""Catmull-Clark subdivision of quad meshes as sparse matrices.

Subdivision is linear, so a basis can be kept on the coarse control mesh and multiplied out later.

Source: Catmull and Clark, "Recursively generated B-spline surfaces on arbitrary topological
meshes", Computer-Aided Design 10(6), 1978; boundaries as cubic B-spline curves.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import sparse


@dataclasses.dataclass(frozen=True, eq=False)
class Topology:
    """Which vertices, edges and quads of a mesh touch.

    Attributes:
      vertex_count: V.
      quads: [F, 4] vertex indices.
      edges: [E, 2] vertex indices, smaller first, in the order in which the quads name them.
      quad_edges: [F, 4] the edge from corner k to corner k + 1.
    """

    vertex_count: int
    quads: np.ndarray
    edges: np.ndarray
    quad_edges: np.ndarray

    @classmethod
    def of(cls, vertex_count: int, quads: np.ndarray) -> Topology:
        """Finds the edges of [F, 4] quads."""
        ends = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
        ends.sort(axis=1)
        _, first, inverse = np.unique(
            ends[:, 0] * vertex_count + ends[:, 1], return_index=True, return_inverse=True
        )
        order = np.argsort(first, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        return cls(vertex_count, quads, ends[first[order]], rank[inverse].reshape(-1, 4))

    @property
    def refined_quads(self) -> np.ndarray:
        """[4F, 4] quads after one step; vertices are the old ones, face points, edge points."""
        face_points = self.vertex_count + np.arange(len(self.quads))
        edge_points = self.vertex_count + len(self.quads) + self.quad_edges
        corners = [
            self.quads,
            edge_points,
            np.repeat(face_points[:, None], 4, axis=1),
            np.roll(edge_points, 1, axis=1),
        ]
        return np.stack(corners, axis=-1).reshape(-1, 4)

    def face_points(self) -> sparse.csr_matrix:
        """[F, V] operator: the centre of each quad."""
        return _incidence(self.quads, self.vertex_count) * 0.25

    def edge_ends(self) -> sparse.csr_matrix:
        """[E, V] with a 1 at both ends of each edge."""
        return _incidence(self.edges, self.vertex_count)


def catmull_clark(topology: Topology) -> sparse.csr_matrix:
    """One step of Catmull-Clark subdivision.

    Returns:
      [V + F + E, V] operator; every row sums to 1.
    """
    faces, ends = topology.face_points(), topology.edge_ends()
    edge_faces = _edge_faces(topology)
    face_count = np.asarray(edge_faces.sum(1)).ravel()
    inner_edge = (face_count == 2).astype(np.float64)
    inner_points = 0.25 * (ends + edge_faces @ faces)
    edge_points = (
        sparse.diags(inner_edge) @ inner_points + sparse.diags(1 - inner_edge) @ ends * 0.5
    )
    vertex_points = _moved_vertices(topology, faces, ends, inner_edge == 0)
    operator = sparse.vstack([vertex_points, faces, edge_points]).tocsr()
    operator.eliminate_zeros()
    operator.sort_indices()
    return operator


def linear(topology: Topology) -> sparse.csr_matrix:
    """One step of linear subdivision: old vertices stay, new ones are the means of edges and quads.

    Returns:
      [V + F + E, V] operator; every row sums to 1, nothing is extrapolated.
    """
    stay = sparse.identity(topology.vertex_count)
    return sparse.vstack([stay, topology.face_points(), topology.edge_ends() * 0.5]).tocsr()


def refine_corner_uvs(corner_uvs: np.ndarray) -> np.ndarray:
    """[F, 4, 2] texture coordinates of quad corners -> [4F, 4, 2] for the refined quads."""
    edges = (corner_uvs + np.roll(corner_uvs, -1, axis=1)) / 2
    centre = np.repeat(corner_uvs.mean(1, keepdims=True), 4, axis=1)
    refined = np.stack([corner_uvs, edges, centre, np.roll(edges, 1, axis=1)], axis=2)
    return refined.reshape(-1, 4, 2)


def triangulate(quads: np.ndarray) -> np.ndarray:
    """[F, 4] quads -> [2F, 3] int32 triangles, same winding: all first halves, then all second."""
    halves = [quads[:, corners] for corners in ([0, 1, 2], [0, 2, 3])]
    return np.concatenate(halves).astype(np.int32)


def _incidence(items: np.ndarray, columns: int) -> sparse.csr_matrix:
    """[N, K] indices -> [N, columns] matrix with a 1 for each."""
    rows = np.repeat(np.arange(len(items)), items.shape[1])
    ones = np.ones(items.size)
    return sparse.csr_matrix((ones, (rows, items.ravel())), shape=(len(items), columns))


def _edge_faces(topology: Topology) -> sparse.csr_matrix:
    """[E, F] with a 1 for each edge of each quad."""
    return _incidence(topology.quad_edges, len(topology.edges)).T.tocsr()


def _moved_vertices(
    topology: Topology, faces: sparse.csr_matrix, ends: sparse.csr_matrix, border: np.ndarray
) -> sparse.csr_matrix:
    """[V, V] operator: where the old vertices go."""
    identity = sparse.identity(topology.vertex_count, format="csr")
    around = _incidence(topology.quads, topology.vertex_count).T
    valence = np.asarray(around.sum(1)).ravel()
    n = np.maximum(valence, 1)
    inner = sparse.diags((n - 3) / n) + sparse.diags(1 / n**2) @ (around @ faces + ends.T @ ends)
    border_ends = ends[border]
    border_valence = np.asarray(border_ends.sum(0)).ravel()
    neighbours = border_ends.T @ border_ends - sparse.diags(border_valence)
    curve = identity * 0.75 + neighbours * 0.125
    on_curve = border_valence == 2
    fixed = ((border_valence > 0) & ~on_curve) | (valence == 0)
    inside = ~on_curve & ~fixed
    parts = ((inside, inner), (on_curve, curve), (fixed, identity))
    return sum(sparse.diags(mask.astype(np.float64)) @ operator for mask, operator in parts)
