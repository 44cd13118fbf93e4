"""Packs islands of texture coordinates into a square by trying places on a fine raster."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.ndimage
import scipy.signal

from facemodel.default_model import zbuffer
from facemodel.morphable import subdivision

_RASTER = 512
_SHRINK = 0.97


class PackingError(ValueError):
    """Islands that do not fit into the square."""


def pack(islands: Sequence[tuple[np.ndarray, np.ndarray]], *, gutter: float) -> list[np.ndarray]:
    """Places islands in the unit square: the first at its top, as wide as it goes.

    The others keep their size beside the first if they fit, else all of them shrink together. Each
    takes the lowest free place, the leftmost of these.

    Args:
      islands: coordinates [U, 2] in one unit, and quads [F, 4] into them, the largest first.
      gutter: free space around each island, as a share of the square.

    Returns:
      The coordinates [U, 2] in [0, 1], of each.

    Raises:
      PackingError: if the first is higher than wide, or the others do not fit at a tenth of their
        size.
    """
    (first, first_quads), *others = islands
    scale = (1 - 2 * gutter) / np.ptp(first[:, 0])
    first = (first - first.min(0)) * scale
    if first[:, 1].max() > 1 - 2 * gutter:
        raise PackingError("the first island is higher than wide")
    first = first + np.array([gutter, 1 - gutter - first[:, 1].max()])
    taken = _mask(first, first_quads, gutter)
    shrink = 1.0
    while (placed := _place(others, scale * shrink, taken.copy(), gutter)) is None:
        shrink *= _SHRINK
        if shrink < 0.1:
            raise PackingError("the islands do not fit into the square")
    return [first, *placed]


def _place(
    islands: Sequence[tuple[np.ndarray, np.ndarray]],
    scale: float,
    taken: np.ndarray,
    gutter: float,
) -> list[np.ndarray] | None:
    """The islands at a scale, the largest placed first; None if one of them finds no place."""
    shapes = [(uv - uv.min(0)) * scale for uv, _ in islands]
    placed: list[np.ndarray] = [np.empty(0)] * len(islands)
    for index in np.argsort([-np.ptp(shape, axis=0).prod() for shape in shapes], kind="stable"):
        shape, quads = shapes[index], islands[index][1]
        rows, columns = np.ceil(shape.max(0)[::-1] * _RASTER).astype(int) + 2
        if max(rows, columns) > _RASTER:
            return None
        mask = _mask(shape, quads, 0.0)[:rows, :columns]
        overlap = scipy.signal.fftconvolve(taken, mask[::-1, ::-1].astype(float), mode="valid")
        free = np.argwhere(overlap < 0.5)
        if not len(free):
            return None
        row, column = free[0]
        placed[index] = shape + np.array([column, row]) / _RASTER
        taken |= _mask(placed[index], quads, gutter)
    return placed


def _mask(uv: np.ndarray, quads: np.ndarray, gutter: float) -> np.ndarray:
    """[S, S] true within the gutter of an island, and of the square's border; row 0 is v = 0."""
    screen = np.concatenate([uv * _RASTER, np.zeros((len(uv), 1))], axis=1)
    triangles = subdivision.triangulate(quads)
    both = np.concatenate([triangles, triangles[:, ::-1]])
    ids = zbuffer.triangle_ids(screen, both, height=_RASTER, width=_RASTER)
    # A cell more, as cells count whose centres are covered.
    mask = scipy.ndimage.binary_dilation(ids >= 0, iterations=1)
    if gutter:
        reach = int(np.ceil(gutter * _RASTER))
        mask = scipy.ndimage.distance_transform_edt(~mask) <= reach
        mask[:reach], mask[-reach:], mask[:, :reach], mask[:, -reach:] = True, True, True, True
    return mask
