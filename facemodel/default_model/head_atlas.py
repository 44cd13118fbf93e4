"""The texture atlas of the whole head: base.obj's islands, laid out anew in a unit square."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

GUTTER = 8 / 1024
"""Free space between islands, and at the border; at least 4 px of a 1024 px texture."""
_WELD = 1e-6


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


def pack(shapes: list[np.ndarray], *, first_width: float = 1.0) -> list[np.ndarray]:
    """Places islands in the unit square: the first across its top, the others in rows below.

    Args:
      shapes: [U_k, 2] coordinates of each island, in one unit.
      first_width: share of the width that the first one gets.

    Returns:
      The coordinates [U_k, 2] in [0, 1].
    """
    room = 1 - 2 * GUTTER
    head = _from_corner(shapes[0])
    scale = room * first_width / head[:, 0].max()
    head = head * scale + (GUTTER, 1 - GUTTER - head[:, 1].max() * scale)
    height = head[:, 1].min() - 2 * GUTTER
    rest = [_from_corner(shape) for shape in shapes[1:]]
    low, high = 0.0, scale * 4
    for _ in range(40):
        middle = (low + high) / 2
        fits = _rows([shape * middle for shape in rest], room)[1] <= height
        low, high = (middle, high) if fits else (low, middle)
    corners, _ = _rows([shape * low for shape in rest], room)
    return [head] + [
        shape * low + corner + GUTTER for shape, corner in zip(rest, corners, strict=True)
    ]


def _from_corner(shape: np.ndarray) -> np.ndarray:
    return shape - shape.min(0)


def _rows(shapes: list[np.ndarray], width: float) -> tuple[list[np.ndarray], float]:
    """Lower left corners of boxes in rows of falling height, and the height of all rows."""
    sizes = np.array([shape.max(0) for shape in shapes])
    corners = np.zeros_like(sizes)
    left = bottom = top = 0.0
    for index in np.argsort(-sizes[:, 1], kind="stable"):
        if left > 0 and left + sizes[index, 0] > width:
            left, bottom = 0.0, top + GUTTER
        corners[index] = left, bottom
        left += sizes[index, 0] + GUTTER
        top = max(top, bottom + sizes[index, 1])
    return list(corners), top if sizes[:, 0].max() <= width else np.inf


def upright(uv: np.ndarray) -> np.ndarray:
    """base.obj lays the head on its side: [U, 2] turned so that its top is up."""
    return np.stack([uv[:, 1], -uv[:, 0]], axis=1)


def atlas(quads: np.ndarray, corner_uvs: np.ndarray, positions: np.ndarray) -> Atlas:
    """Lays out a head's control mesh.

    Args:
      quads: [F, 4].
      corner_uvs: [F, 4, 2] of base.obj.
      positions: [C, 3] mm, the mean head.
    """
    uv, uv_quads, vertex = weld(quads, corner_uvs)
    number = islands(uv_quads)
    members = [np.unique(uv_quads[number == k]) for k in range(number.max() + 1)]
    shapes = []
    for k, member in enumerate(members):
        shape = upright(uv[member]) if k == 0 else uv[member]
        area = _areas(uv, uv_quads[number == k])
        surface = _areas(positions, quads[number == k])
        shapes.append(shape * np.sqrt(surface / area))
    placed = np.empty_like(uv)
    for member, shape in zip(members, pack(shapes), strict=True):
        placed[member] = shape
    return Atlas(placed, uv_quads)


def _areas(points: np.ndarray, quads: np.ndarray) -> float:
    diagonals = points[quads[:, 2:]] - points[quads[:, :2]]
    padded = np.zeros((*diagonals.shape[:2], 3))
    padded[..., : points.shape[1]] = diagonals
    return float(np.linalg.norm(np.cross(padded[:, 0], padded[:, 1]), axis=1).sum() / 2)
