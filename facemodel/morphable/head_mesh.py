"""The mesh of a whole head at one subdivision level, with the face model's mesh first in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy import sparse

from facemodel.morphable import subdivision

LEVELS = (1, 2)


@dataclasses.dataclass(frozen=True, eq=False)
class FaceLevel:
    """The face model's mesh of one level, and where it is on the refined head.

    Attributes:
      vertices: [Vf] index of each of the face model's vertices on the refined head.
      quads: [Ff] index of each of its quads among the refined head's.
      regions: [Vf] the face model's regions.
      albedo_mean: [Vf, 3] sRGB in [0, 1].
    """

    vertices: np.ndarray
    quads: np.ndarray
    regions: np.ndarray
    albedo_mean: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class HeadSurface:
    """What the meshes of a head are made from.

    Attributes:
      quads: [F, 4] of the control mesh.
      regions: [F] of the control mesh's quads, numbered as MorphableModel.regions.
      uv: [U, 2] texture coordinates of the control mesh, in [0, 1], v upwards.
      uv_quads: [F, 4] indices into uv.
      rest_albedo: [R1, 3] sRGB in [0, 1], mean skin of the level 1 vertices outside the face.
      face_levels: the face model's mesh at each of LEVELS.
    """

    quads: np.ndarray
    regions: np.ndarray
    uv: np.ndarray
    uv_quads: np.ndarray
    rest_albedo: np.ndarray
    face_levels: dict[int, FaceLevel]


@dataclasses.dataclass(frozen=True, eq=False)
class HeadMesh:
    """One subdivision level of the head.

    Attributes:
      operator: [V, C] from control vertices to vertices of this level.
      triangles: [T, 3] int32, counter-clockwise seen from outside.
      regions: [V] uint8, numbered as MorphableModel.regions.
      uv: [U, 2] float32 in [0, 1], u to the right, v upwards.
      uv_triangles: [T, 3] int32 into uv; at a seam a vertex has several.
      face_count: The first face_count vertices are those of the face model at this level, in its
        order; the first triangles are the face model's, in its order.
      albedo_mean: [V, 3] sRGB in [0, 1], mean skin; on the face that of the face model.
    """

    operator: sparse.csr_matrix
    triangles: np.ndarray
    regions: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    face_count: int
    albedo_mean: np.ndarray


def build_mesh(surface: HeadSurface, control_count: int, level: int) -> HeadMesh:
    """Subdivides a head's surface.

    Args:
      surface: what the mesh is made from.
      control_count: C, control vertices.
      level: how often to subdivide, 1 or 2.
    """
    topologies, operator = _refine(control_count, surface.quads, level, subdivision.catmull_clark)
    uv_topologies, uv_operator = _refine(
        len(surface.uv), surface.uv_quads, level, subdivision.linear
    )
    quads, face = topologies[-1].quads, surface.face_levels[level]
    labels = _regions(surface, quads, level, operator.shape[0])
    vertex_order = _face_first(face.vertices, operator.shape[0])
    quad_order = _face_first(face.quads, len(quads))
    place = np.empty_like(vertex_order)
    place[vertex_order] = np.arange(len(place))
    return HeadMesh(
        operator=operator[vertex_order].astype(np.float32).tocsr(),
        triangles=_triangles(place[quads[quad_order]], len(face.quads)),
        regions=labels[vertex_order],
        uv=(uv_operator @ surface.uv).astype(np.float32),
        uv_triangles=_triangles(uv_topologies[-1].quads[quad_order], len(face.quads)),
        face_count=len(face.vertices),
        albedo_mean=_albedo(surface, topologies, level)[vertex_order],
    )


def _refine(
    count: int,
    quads: np.ndarray,
    level: int,
    step: Callable[[subdivision.Topology], sparse.csr_matrix],
) -> tuple[list[subdivision.Topology], sparse.csr_matrix]:
    """Topologies of level 0 to the wanted one, and the operator from the first to the last."""
    topologies = [subdivision.Topology.of(count, quads)]
    operator = sparse.identity(count, format="csr")
    for _ in range(level):
        operator = (step(topologies[-1]) @ operator).tocsr()
        refined = topologies[-1].refined_quads
        topologies.append(subdivision.Topology.of(operator.shape[0], refined))
    return topologies, operator


def _face_first(face: np.ndarray, count: int) -> np.ndarray:
    """[count] the indices of the face, then all others in order."""
    rest = np.ones(count, bool)
    rest[face] = False
    return np.concatenate([face, np.flatnonzero(rest)])


def _triangles(quads: np.ndarray, face_count: int) -> np.ndarray:
    """Halves the face's quads, which come first, as the face model does, then the others."""
    parts = [subdivision.triangulate(part) for part in (quads[:face_count], quads[face_count:])]
    return np.concatenate(parts)


def _regions(surface: HeadSurface, quads: np.ndarray, level: int, count: int) -> np.ndarray:
    """[V] uint8 regions of refined vertices: the face model's own, elsewhere those of quads."""
    of_quads = np.repeat(surface.regions, 4**level)
    labels = np.zeros(count, np.uint8)
    labels[quads.ravel()] = np.repeat(of_quads, 4)
    face = surface.face_levels[level]
    labels[face.vertices] = face.regions
    return labels


def _albedo(surface: HeadSurface, topologies: list[subdivision.Topology], level: int) -> np.ndarray:
    """[V, 3] float32 colours of refined vertices; between those of level 1 by interpolation."""
    first = surface.face_levels[1]
    colours = np.empty((topologies[1].vertex_count, 3), np.float32)
    colours[_face_first(first.vertices, len(colours))] = np.concatenate(
        [first.albedo_mean, surface.rest_albedo]
    )
    for topology in topologies[1:level]:
        colours = subdivision.linear(topology) @ colours
    face = surface.face_levels[level]
    colours[face.vertices] = face.albedo_mean
    return colours.astype(np.float32)
