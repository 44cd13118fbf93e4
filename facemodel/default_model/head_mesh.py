"""The control mesh of the whole head, and where the face model's vertices are on its levels.

The face's control mesh is a part of it: the same quads with the same corners, so that subdivision
gives the same vertices but at the rim where the face was cut.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Sequence

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from facemodel.default_model import levels, makehuman, regions
from facemodel.morphable import subdivision

_THROAT_MM = -100.0
"""Edge loops around the neck cross the plane of symmetry below this height, in front."""
_MIDDLE_MM = 0.5
_HELPERS = (
    ("helper-l-eye", regions.EYE_LEFT),
    ("helper-r-eye", regions.EYE_RIGHT),
    ("helper-upper-teeth", regions.TEETH),
    ("helper-lower-teeth", regions.TEETH),
    ("helper-tongue", regions.TONGUE),
)


class EdgeLoopError(ValueError):
    """A mesh that has no closed edge loop where the neck is to be cut."""


@dataclasses.dataclass(frozen=True, eq=False)
class HeadControl:
    """The quads from which the whole head is subdivided.

    Attributes:
      source: [C] the vertices among makehuman.Head's: first those of the face model, in its order.
      face_count: Number of control vertices of the face model.
      quads: [F, 4] indices into source.
      corner_uvs: [F, 4, 2] texture coordinates of base.obj.
      regions: [F] index into regions.REGIONS.
    """

    source: np.ndarray
    face_count: int
    quads: np.ndarray
    corner_uvs: np.ndarray
    regions: np.ndarray

    def columns(self, vertex_count: int) -> np.ndarray:
        """[vertex_count] index of each vertex of makehuman.Head in source, or -1."""
        columns = np.full(vertex_count, -1)
        columns[self.source] = np.arange(len(self.source))
        return columns


@dataclasses.dataclass(frozen=True, eq=False)
class FacePart:
    """Where the face model's mesh of one level is on the head's.

    Attributes:
      vertices: [Vf] index of each of the face model's vertices on the refined head.
      quads: [Ff] index of each of its quads among the refined head's.
    """

    vertices: np.ndarray
    quads: np.ndarray


def head_control(head: makehuman.Head, face: regions.ControlMesh, used: np.ndarray) -> HeadControl:
    """Selects the head down to the neck, with eyeballs, teeth and tongue.

    Args:
      head: base mesh.
      face: the control mesh of the face model.
      used: [Cf] the face model's control vertices among the head's.

    Raises:
      EdgeLoopError: if the neck has no closed edge loop.
    """
    body = np.flatnonzero(head.mesh.groups == "body")
    body = body[above_neck(head.mesh.quads[body], face.positions)]
    parts = [body] + [np.flatnonzero(head.mesh.groups == name) for name, _ in _HELPERS]
    kept = np.concatenate(parts)
    labels = [_body_regions(head.mesh.quads[body], face)]
    labels += [np.full(len(part), label) for part, (_, label) in zip(parts[1:], _HELPERS)]
    others = np.setdiff1d(head.mesh.quads[kept], used)
    source = np.concatenate([used, others])
    local = np.full(len(face.positions), -1)
    local[source] = np.arange(len(source))
    return HeadControl(
        source=source,
        face_count=len(used),
        quads=local[head.mesh.quads[kept]],
        corner_uvs=head.mesh.corner_uvs[kept],
        regions=np.concatenate(labels),
    )


def above_neck(quads: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """[F] true for the quads on the head's side of the lowest closed edge loop of the neck.

    Args:
      quads: [F, 4], one connected surface that the loop divides.
      positions: [V, 3] mm, model space.

    Raises:
      EdgeLoopError: if there is no such loop.
    """
    topology = subdivision.Topology.of(len(positions), quads)
    loops = closed_loops(topology, _throat_edges(topology, positions))
    if not loops:
        raise EdgeLoopError("the neck has no closed edge loop to be cut along")
    lowest = min(loops, key=lambda loop: positions[topology.edges[loop], 1].mean())
    whole = np.setdiff1d(np.arange(len(topology.edges)), lowest)
    quad, edge = np.repeat(np.arange(len(quads)), 4), topology.quad_edges.ravel()
    links = sparse.csr_matrix(
        (np.ones(len(edge)), (quad, edge)), shape=(len(quads), len(topology.edges))
    )[:, whole]
    _, part = csgraph.connected_components(links @ links.T)
    return part == part[positions[quads].mean(1)[:, 2].argmax()]


def closed_loops(topology: subdivision.Topology, starts: Iterable[int]) -> list[list[int]]:
    """Edge loops that begin at given edges and come back: each a list of edges.

    A loop goes straight on at each vertex of four quads and four edges, and ends at any other.
    """
    around = _edges_around(topology)
    quads_of = _quads_around(topology)
    found = []
    for start in starts:
        loop, vertex = [int(start)], int(topology.edges[start, 1])
        while (ahead := _straight_on(loop[-1], vertex, around, quads_of)) is not None:
            if ahead == start:
                found.append(loop)
                break
            loop.append(ahead)
            first, second = topology.edges[ahead]
            vertex = int(first + second - vertex)
    return found


def face_parts(meshes: Sequence[levels.LevelMesh], control: HeadControl) -> list[FacePart]:
    """Finds the face model's vertices and quads on the head's levels.

    Args:
      meshes: the face model's levels 0, 1, 2.
      control: the head's control mesh.

    Returns:
      Parts of the levels 1 and 2.

    Raises:
      ValueError: if a quad of the face is no quad of the head.
    """
    vertex_map = control.columns(meshes[0].topology.vertex_count)
    topology = subdivision.Topology.of(len(control.source), control.quads)
    parts = []
    for coarse, mesh in itertools.pairwise(meshes):
        vertex_map = _refined_map(vertex_map, coarse.topology, topology)
        count = topology.vertex_count + len(topology.quads) + len(topology.edges)
        topology = subdivision.Topology.of(count, topology.refined_quads)
        quads = _find_rows(vertex_map[mesh.kept[mesh.quads]], topology.quads)
        vertices = vertex_map[mesh.kept]
        if (vertices < 0).any() or (quads < 0).any():
            raise ValueError("the face model's mesh is no part of the head's")
        parts.append(FacePart(vertices, quads))
    return parts


def _body_regions(quads: np.ndarray, face: regions.ControlMesh) -> np.ndarray:
    """[F] the face's regions on its quads, SKIN elsewhere."""
    rows = _find_rows(quads, face.quads)
    return np.where(rows >= 0, face.regions[rows], regions.SKIN)


def _throat_edges(topology: subdivision.Topology, positions: np.ndarray) -> np.ndarray:
    """Edges that lead from the plane of symmetry to the left, on the front of the neck."""
    ends = positions[topology.edges]
    middle = np.abs(ends[..., 0]) < _MIDDLE_MM
    low = (ends[..., 1] < _THROAT_MM).all(1)
    return np.flatnonzero((middle.sum(1) == 1) & low & (ends[..., 2] > -80).all(1))


def _edges_around(topology: subdivision.Topology) -> list[list[int]]:
    around: list[list[int]] = [[] for _ in range(topology.vertex_count)]
    for edge, ends in enumerate(topology.edges.tolist()):
        for end in ends:
            around[end].append(edge)
    return around


def _quads_around(topology: subdivision.Topology) -> list[set[int]]:
    """Quads of each edge."""
    quads: list[set[int]] = [set() for _ in topology.edges]
    for quad, edges in enumerate(topology.quad_edges.tolist()):
        for edge in edges:
            quads[edge].add(quad)
    return quads


def _straight_on(
    edge: int, vertex: int, around: list[list[int]], quads_of: list[set[int]]
) -> int | None:
    """The edge opposite to one at a vertex, None where there is no such edge."""
    if len(around[vertex]) != 4 or len(set().union(*(quads_of[e] for e in around[vertex]))) != 4:
        return None
    opposite = [e for e in around[vertex] if e != edge and not quads_of[e] & quads_of[edge]]
    return opposite[0] if len(opposite) == 1 else None


def _refined_map(
    vertex_map: np.ndarray, source: subdivision.Topology, target: subdivision.Topology
) -> np.ndarray:
    """Carries a map of vertices through one step of subdivision; -1 for what is not there."""
    quads = _find_rows(vertex_map[source.quads], target.quads)
    edges = _find_rows(np.sort(vertex_map[source.edges], axis=1), target.edges)
    first_edge = target.vertex_count + len(target.quads)
    return np.concatenate(
        [
            vertex_map,
            np.where(quads >= 0, target.vertex_count + quads, -1),
            np.where(edges >= 0, first_edge + edges, -1),
        ]
    )


def _find_rows(wanted: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """[N] for each row of wanted [N, K] its place among rows [M, K], or -1."""
    place = {row: k for k, row in enumerate(map(tuple, rows.tolist()))}
    return np.array([place.get(row, -1) for row in map(tuple, wanted.tolist())], np.int64)
