"""The face at each subdivision level: a linear operator on the control vertices, and its mesh."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from facemodel.default_model import regions
from facemodel.morphable import subdivision

LEVELS = (0, 1, 2)
_INNER_CENTRE_MM = np.array([0.0, -35.0, 30.0])
_INNER_RADIUS_MM = 95.0
_OUTLINE_ROUNDS = 10
_LABEL_ORDER = (
    regions.MOUTH,
    regions.SKIN,
    regions.TONGUE,
    regions.TEETH,
    regions.EYE_LEFT,
    regions.EYE_RIGHT,
)
"""Where two regions meet, vertices belong to the later one."""


@dataclasses.dataclass(frozen=True, eq=False)
class LevelMesh:
    """The face at one level.

    Attributes:
      operator: [V, C] from control vertices to this level's vertices.
      quads: [F, 4] vertex indices.
      triangles: [2F, 3] the same, halved.
      regions: [V] uint8 index into regions.REGIONS.
      uv: [V, 2] texture coordinates of base.obj, v upwards.
      topology: Topology of the whole refined head, before the crop.
      kept: [V] index of each vertex in that topology.
    """

    operator: sparse.csr_matrix
    quads: np.ndarray
    regions: np.ndarray
    uv: np.ndarray
    topology: subdivision.Topology
    kept: np.ndarray

    @property
    def triangles(self) -> np.ndarray:
        """[2F, 3] int32 triangles."""
        return subdivision.triangulate(self.quads)


def face_levels(control: regions.ControlMesh) -> tuple[list[LevelMesh], np.ndarray]:
    """Subdivides the control mesh twice and crops the face at each level.

    Args:
      control: the control mesh over all head vertices.

    Returns:
      the meshes of LEVELS, their operators on the used control vertices only; and
      [C] the used ones among the head vertices, ascending.
    """
    topology = subdivision.Topology.of(len(control.positions), control.quads)
    operator = sparse.identity(topology.vertex_count, format="csr")
    corner_uvs, quad_regions = control.corner_uvs, control.regions
    meshes = []
    for level in LEVELS:
        if level:
            operator = (subdivision.catmull_clark(topology) @ operator).tocsr()
            refined = topology.refined_quads
            topology = subdivision.Topology.of(operator.shape[0], refined)
            corner_uvs = subdivision.refine_corner_uvs(corner_uvs)
            quad_regions = np.repeat(quad_regions, 4)
        meshes.append(_crop(topology, operator, corner_uvs, quad_regions, control.positions))
    used = _support(meshes[1:])
    coarse, fine = _within(meshes[0], used), _with_smooth_outline(meshes[2], control.positions)
    return [_on_columns(mesh, used) for mesh in (coarse, meshes[1], fine)], used


def inner_distance(positions: np.ndarray) -> np.ndarray:
    """[V, 3] mm -> [V] mm from the middle of the inner face."""
    return np.linalg.norm(positions - _INNER_CENTRE_MM, axis=1)


def inner_face(mesh: LevelMesh, mean: np.ndarray) -> np.ndarray:
    """[V] true on the skin in front, where errors are measured; mean [V, 3] mm."""
    return (mesh.regions == regions.SKIN) & (inner_distance(mean) < _INNER_RADIUS_MM)


def finer_colours(coarse: LevelMesh, fine: LevelMesh) -> sparse.csr_matrix:
    """[V_fine, V_coarse] linear interpolation of per-vertex values, rows summing to 1.

    A fine vertex whose parents were cropped away takes those that are left, or a neighbour's value.
    """
    whole = subdivision.linear(coarse.topology)[fine.kept]
    return _closed(whole[:, coarse.kept].tocsr(), fine)


def coarser_colours(coarse: LevelMesh, fine: LevelMesh) -> sparse.csr_matrix:
    """[V_coarse, V_fine] means of the fine vertices around each coarse one, in its region."""
    whole = subdivision.linear(coarse.topology)
    spread = whole[fine.kept][:, coarse.kept].T.tocoo()
    same = coarse.regions[spread.row] == fine.regions[spread.col]
    kept = (spread.data[same], (spread.row[same], spread.col[same]))
    return _closed(sparse.csr_matrix(kept, shape=spread.shape), coarse)


def _crop(
    topology: subdivision.Topology,
    operator: sparse.csr_matrix,
    corner_uvs: np.ndarray,
    quad_regions: np.ndarray,
    positions: np.ndarray,
) -> LevelMesh:
    centres = (operator @ positions)[topology.quads].mean(1)
    inside = regions.inside_crop(centres, quad_regions)
    kept = np.unique(topology.quads[inside])
    quads = np.searchsorted(kept, topology.quads[inside])
    uv = np.zeros((len(kept), 2))
    # Of the corners that share a vertex but not a texture coordinate the last one counts.
    uv[quads[:, ::-1].ravel()] = corner_uvs[inside][:, ::-1].reshape(-1, 2)
    labels = np.zeros(len(kept), np.uint8)
    for region in _LABEL_ORDER:
        labels[quads[quad_regions[inside] == region]] = region
    return LevelMesh(operator[kept], quads, labels, uv, topology, kept)


def _support(meshes: Sequence[LevelMesh]) -> np.ndarray:
    """Control vertices that any of the meshes depends on."""
    return np.flatnonzero(sum(abs(mesh.operator).sum(0) for mesh in meshes).A1 > 0)


def _within(mesh: LevelMesh, used: np.ndarray) -> LevelMesh:
    """The control mesh itself, without quads that have an unused vertex."""
    quads = mesh.quads[np.isin(mesh.kept[mesh.quads], used).all(1)]
    left = np.unique(quads)
    return dataclasses.replace(
        mesh,
        operator=mesh.operator[left],
        quads=np.searchsorted(left, quads),
        regions=mesh.regions[left],
        uv=mesh.uv[left],
        kept=mesh.kept[left],
    )


def _with_smooth_outline(mesh: LevelMesh, positions: np.ndarray) -> LevelMesh:
    """The mesh with the steps of its cut edge rounded.

    Only the finest level, which pictures and exported files use: the coarser ones keep their shape.
    """
    topology = subdivision.Topology.of(len(mesh.kept), mesh.quads)
    cut = np.bincount(topology.quad_edges.ravel()) == 1
    outer = inner_distance(mesh.operator @ positions) > _INNER_RADIUS_MM
    cut &= (outer & (mesh.regions == regions.SKIN))[topology.edges].all(1)
    ends = topology.edge_ends()[cut]
    valence = np.asarray(ends.sum(0)).ravel()
    on_curve = sparse.diags((valence == 2).astype(np.float64))
    identity = sparse.identity(len(mesh.kept))
    neighbours = ends.T @ ends - sparse.diags(valence)
    step = identity + on_curve @ (neighbours * 0.25 - identity * 0.5)
    operator = mesh.operator
    for _ in range(_OUTLINE_ROUNDS):
        operator = step @ operator
    return dataclasses.replace(mesh, operator=operator.tocsr())


def _on_columns(mesh: LevelMesh, used: np.ndarray) -> LevelMesh:
    operator = mesh.operator[:, used].astype(np.float32).tocsr()
    operator.sort_indices()
    return dataclasses.replace(mesh, operator=operator)


def _closed(operator: sparse.csr_matrix, mesh: LevelMesh) -> sparse.csr_matrix:
    """Scales rows to sum to 1; empty ones become means of their neighbours in the mesh."""
    pairs = np.concatenate([mesh.quads[:, [k, (k + 1) % 4]] for k in range(4)])
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    pairs = pairs[mesh.regions[pairs[:, 0]] == mesh.regions[pairs[:, 1]]]
    size = len(mesh.kept)
    neighbours = sparse.csr_matrix((np.ones(len(pairs)), pairs.T), shape=(size, size))
    while True:
        total = np.asarray(operator.sum(1)).ravel()
        operator = sparse.diags(1 / np.where(total > 0, total, 1)) @ operator
        empty = total == 0
        filled = sparse.diags(empty.astype(np.float64)) @ neighbours @ operator
        if not empty.any() or filled.nnz == 0:
            break
        operator = (operator + filled).tocsr()
    operator = operator.tocsr().astype(np.float32)
    operator.sort_indices()
    return operator
