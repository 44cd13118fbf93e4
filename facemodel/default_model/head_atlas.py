"""The texture atlas of the whole head: base.obj's islands, laid out anew in a unit square."""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.optimize
from scipy import sparse
from scipy.sparse import csgraph

from facemodel.default_model import packing, regions, unwrap

GUTTER = 6 / 1024
"""Free space between islands, and at the border; at least 4 px of a 1024 px texture."""
_WELD = 1e-6
_FACE_MM = np.array([0.0, -30.0, 40.0])
_FACE_RADII_MM = (75.0, 160.0)
_EAR_MM = np.array([85.0, -20.0, -70.0])
_EAR_RADII_MM = (25.0, 60.0)
_BACK_DENSITY = 0.3
_EAR_GAIN = 0.5
_OTHER_DENSITY = {
    "eye": 1.8,
    "back of eye": 0.4,
    "socket": 0.2,
    "mouth": 0.4,
    "tongue": 0.6,
    "teeth": 1.0,
}
"""Texels a millimetre, those of the face being 1."""
_HOLE_SHARE = 0.1
_HOLE_DEPTH_MM = 5.0
_NECK_MM = -100.0
_RELAXED_GAIN = {"face": 1.0, "neck": 1.8}


@dataclasses.dataclass(frozen=True, eq=False)
class Atlas:
    """Texture coordinates of a control mesh.

    Attributes:
      uv: [U, 2] in [0, 1], v upwards.
      quads: [F, 4] indices into uv.
    """

    uv: np.ndarray
    quads: np.ndarray


def weld(quads: np.ndarray, corner_uvs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joins corners of one vertex that have one texture coordinate.

    Args:
      quads: [F, 4] vertex indices.
      corner_uvs: [F, 4, 2].

    Returns:
      uv [U, 2], quads [F, 4] into it, and the vertex [U] of each.
    """
    places = np.round(corner_uvs.reshape(-1, 2) / _WELD).astype(np.int64)
    keys = np.column_stack([quads.ravel(), places])
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    uv = corner_uvs.reshape(-1, 2)[first]
    return uv, inverse.reshape(-1, 4), quads.ravel()[first]


def islands(quads: np.ndarray) -> np.ndarray:
    """[F] number of the island (connected part) of each quad, the one with most quads first."""
    count = int(quads.max()) + 1
    pairs = np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)])
    links = sparse.csr_matrix((np.ones(len(pairs)), pairs.T), shape=(count, count))
    _, part = csgraph.connected_components(links, directed=False)
    parts, number, sizes = np.unique(part[quads[:, 0]], return_inverse=True, return_counts=True)
    rank = np.empty(len(parts), np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(len(parts))
    return rank[number]


def upright(uv: np.ndarray) -> np.ndarray:
    """base.obj lays the head on its side: [U, 2] turned so that its top is up."""
    return np.stack([uv[:, 1], -uv[:, 0]], axis=1)


def atlas(
    quads: np.ndarray, corner_uvs: np.ndarray, positions: np.ndarray, labels: np.ndarray
) -> Atlas:
    """Lays out a head's control mesh.

    The two largest islands, face and neck, are relaxed until the texture is as dense everywhere as
    it should be; the others keep base.obj's shapes.

    Args:
      quads: [F, 4].
      corner_uvs: [F, 4, 2] of base.obj.
      positions: [C, 3] mm, the mean head.
      labels: [F] index into regions.REGIONS.
    """
    uv, uv_quads, vertex = weld(quads, corner_uvs)
    number = islands(uv_quads)
    places = positions[vertex]
    shapes, members = [], []
    for island in range(number.max() + 1):
        inside = number == island
        member = np.unique(uv_quads[inside])
        local = np.searchsorted(member, uv_quads[inside])
        uv_there = upright(uv[member]) if island == 0 else uv[member]
        kind = "face" if island == 0 else _kind(labels[inside], places[member])
        shapes.append((_shape(uv_there, local, places[member], kind), local))
        members.append(member)
    placed = np.empty_like(uv)
    for member, shape in zip(members, packing.pack(shapes, gutter=GUTTER), strict=True):
        placed[member] = shape
    return Atlas(placed, uv_quads)


def _shape(uv: np.ndarray, quads: np.ndarray, positions: np.ndarray, kind: str) -> np.ndarray:
    """An island's coordinates [U, 2] in texels of one size: relaxed, or base.obj's own scaled."""
    if kind in _RELAXED_GAIN:
        return _relaxed(uv, quads, positions, _RELAXED_GAIN[kind] * texel_density(positions))
    scale = np.sqrt(_area(positions, quads) / _area(uv, quads))
    return uv * scale * _OTHER_DENSITY[kind]


def texel_density(positions: np.ndarray) -> np.ndarray:
    """How many texels a millimetre should get at [N, 3] mm on the mean head; 1 on the face.

    Least at the back of the head, and more on the ears than on the skin around them.
    """
    from_face = np.linalg.norm(positions - _FACE_MM, axis=1)
    folded = np.column_stack([np.abs(positions[:, 0]), positions[:, 1:]])
    from_ear = np.linalg.norm(folded - _EAR_MM, axis=1)
    back = _BACK_DENSITY + (1 - _BACK_DENSITY) * (1 - _rise(from_face, *_FACE_RADII_MM))
    return back + _EAR_GAIN * (1 - _rise(from_ear, *_EAR_RADII_MM))


def hole_fans(quads: np.ndarray) -> list[np.ndarray]:
    """The holes of an island: edges [K, 2] around each, the longest border left out.

    Args:
      quads: [F, 4], counter-clockwise.

    Returns:
      For each hole the edges in the direction of the triangles that would fill it.
    """
    count = int(quads.max()) + 1
    edges = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    back = np.isin(edges[:, 0] * count + edges[:, 1], edges[:, 1] * count + edges[:, 0])
    border = edges[~back][:, ::-1]
    links = sparse.csr_matrix((np.ones(len(border)), border.T), shape=(count, count))
    _, part = csgraph.connected_components(links, directed=False)
    numbers, sizes = np.unique(part[border[:, 0]], return_counts=True)
    return [border[part[border[:, 0]] == n] for n in numbers[np.argsort(-sizes)][1:]]


def _relaxed(
    uv: np.ndarray, quads: np.ndarray, positions: np.ndarray, density: np.ndarray
) -> np.ndarray:
    """Unwraps an island with a given density; both diagonals of a quad count.

    Holes are filled with loose fans, so that they cannot turn inside out.
    """
    halves = ([0, 1, 2], [0, 2, 3], [1, 2, 3], [1, 3, 0])
    triangles = np.concatenate([quads[:, half] for half in halves])
    corners = positions[triangles] * density[triangles].mean(1)[:, None, None]
    shares = np.ones(len(triangles))
    for edges in hole_fans(quads):
        middle = np.unique(edges)
        apex = positions[middle].mean(0) + np.array([0, 0, _HOLE_DEPTH_MM])
        fan = np.column_stack([edges, np.full(len(edges), len(uv))])
        ring = np.stack([*np.moveaxis(positions[edges], 1, 0), np.tile(apex, (len(edges), 1))], 1)
        uv = np.concatenate([uv, _kernel(uv[edges])[None]])
        triangles = np.concatenate([triangles, fan])
        corners = np.concatenate([corners, ring])
        shares = np.concatenate([shares, np.full(len(edges), _HOLE_SHARE)])
    rest = unwrap.Rest.of(corners, triangles, len(uv), shares)
    return unwrap.relax(rest, uv)[: len(positions)]


def _kernel(edges: np.ndarray) -> np.ndarray:
    """The point [2] that is farthest inside all edges [K, 2, 2] of a polygon.

    Raises:
      ValueError: if no point sees the whole polygon.
    """
    start, along = edges[:, 0], edges[:, 1] - edges[:, 0]
    inward = np.column_stack([-along[:, 1], along[:, 0]])
    length = np.linalg.norm(along, axis=1)
    # Inside by at least t: inward . (p - start) >= t |along|; t as large as possible.
    result = scipy.optimize.linprog(
        [0, 0, -1],
        A_ub=np.column_stack([-inward, length]),
        b_ub=-(inward * start).sum(1),
        bounds=[(None, None), (None, None), (0, None)],
    )
    if not result.success or result.x[2] <= 0:
        raise ValueError("a hole of the texture's layout cannot be filled from one point")
    return result.x[:2]


def _kind(labels: np.ndarray, positions: np.ndarray) -> str:
    """What an island is, from the regions [F] of its quads and its vertices [U, 3] mm."""
    label = int(np.bincount(labels).argmax())
    if label in (regions.EYE_LEFT, regions.EYE_RIGHT):
        return "eye" if positions[:, 2].mean() > 0 else "back of eye"
    if label == regions.SKIN:
        return "neck" if positions[:, 1].mean() < _NECK_MM else "socket"
    return regions.REGIONS[label]


def _rise(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Smooth steps from 0 at low to 1 at high."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return share * share * (3 - 2 * share)


def _area(points: np.ndarray, quads: np.ndarray) -> float:
    diagonals = points[quads[:, 2:]] - points[quads[:, :2]]
    padded = np.zeros((*diagonals.shape[:2], 3))
    padded[..., : points.shape[1]] = diagonals
    return float(np.linalg.norm(np.cross(padded[:, 0], padded[:, 1]), axis=1).sum() / 2)
