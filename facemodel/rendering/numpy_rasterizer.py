"""A z-buffer in numpy for one image at a time: which triangle is seen at which pixel.

The triangles of rasterizer.rasterize, for records, which are rendered on CPUs by one thread: the
arrays of a single face stay in the cache, and what is not seen is dropped early. About half the
time of the same in TensorFlow.
"""

from __future__ import annotations

import numpy as np

from facemodel.rendering.scanlines import EDGE_TOLERANCE

_FAR, _SIDE = np.float32(1e9), np.float32(3e9)
"""More pixels than any image has, and enough to move all of them away."""
_LEVEL = np.float32(1e-20)
"""Stands for a slope of zero where something is divided by it."""
_HALF, _ONE = np.float32(0.5), np.float32(1.0)


def rasterize_numpy(
    screen: np.ndarray, triangles: np.ndarray, *, height: int, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the nearest front-facing triangle at each pixel centre.

    Args:
      screen: float32 [V, 3] x px, y px (y down) and depth (larger is nearer), as by camera.project.
      triangles: [T, 3] int, counter-clockwise seen from outside.
      height: Height of the image, px.
      width: Width of the image, px.

    Returns:
      pixel [P] int64, in order, into all height * width pixels: those that a triangle covers; and
      triangle [P] int32.
    """
    x, y, depth = np.ascontiguousarray(screen.T)
    corners = [np.ascontiguousarray(triangles[:, k], np.intp) for k in range(3)]
    which, corners = _facing(corners, x, y)
    box, which, corners = _boxes(which, corners, (x, y), height, width)
    planes = _planes(box, [(_take(x, c), _take(y, c), _take(depth, c)) for c in corners])
    pixel, depth, owner = _cover(box, planes, width)
    nearest = np.full(height * width, -np.inf, np.float32)
    np.maximum.at(nearest, pixel, depth)
    seen = np.flatnonzero(depth >= _take(nearest, pixel))
    triangle = np.full(height * width, -1, np.int32)
    # Of two at one depth, the later one stays.
    triangle[_take(pixel, seen)] = _take(which, _take(owner, seen))
    pixel = np.flatnonzero(triangle >= 0)
    return pixel, _take(triangle, pixel)


def barycentric(
    screen: np.ndarray,
    triangles: np.ndarray,
    pixel: np.ndarray,
    triangle: np.ndarray,
    columns: int,
) -> np.ndarray:
    """Where the centres of pixels are in the triangles that cover them.

    Args:
      screen: float32 [V, 2 or more] px.
      triangles: [T, 3].
      pixel: [P] row * columns + column, as of rasterize_numpy.
      triangle: [P] which one.
      columns: px, width of the image.

    Returns:
      float32 [3, P] weights of the corners, which sum to 1.
    """
    row, column = np.divmod(pixel, columns)
    x, y = column.astype(np.float32) + 0.5, row.astype(np.float32) + 0.5
    corners = corners_at(triangles, triangle)
    places = np.ascontiguousarray(screen[:, :2].T)
    across = [_take(places[0], corner) - x for corner in corners]
    down = [_take(places[1], corner) - y for corner in corners]
    areas = [across[i] * down[j] - down[i] * across[j] for i, j in ((1, 2), (2, 0), (0, 1))]
    return np.stack(areas) / (areas[0] + areas[1] + areas[2])


def corners_at(triangles: np.ndarray, triangle: np.ndarray) -> list[np.ndarray]:
    """The three corners, [P] each, of the triangles [T, 3] at pixels."""
    columns = np.ascontiguousarray(triangles.T, np.intp)
    return [_take(column, triangle) for column in columns]


def _take(values, indices):
    return values.take(indices, mode="clip")  # faster than to check every index


def _facing(corners, x, y):
    """The triangles that are seen from in front: their numbers [M], and corners three times [M]."""
    first, second, third = ((_take(x, c), _take(y, c)) for c in corners)
    area = (second[1] - first[1]) * (third[0] - first[0])
    area -= (second[0] - first[0]) * (third[1] - first[1])
    which = np.flatnonzero(area > 0)
    return which, [_take(c, which) for c in corners]


def _boxes(which, corners, places, height, width):
    """Pixel centres inside bounding boxes; triangles between pixel centres are dropped.

    Returns:
      left, top, columns, rows and span of the boxes, each float32 [N]; which and corners of them.
    """
    (left, columns, across), (top, rows, along) = (
        _pixel_range([_take(place, c) for c in corners], np.float32(size))
        for place, size in zip(places, (width, height))
    )
    kept = np.flatnonzero((columns > 0) & (rows > 0))
    span = np.maximum(across, along)
    box = tuple(_take(values, kept) for values in (left, top, columns, rows, span))
    return box, _take(which, kept), [_take(c, kept) for c in corners]


def _pixel_range(corners, size):
    """Of three coordinates: first pixel inside, how many, and how far they reach from it (px)."""
    lowest = np.minimum(np.minimum(corners[0], corners[1]), corners[2])
    highest = np.maximum(np.maximum(corners[0], corners[1]), corners[2])
    first = np.minimum(np.maximum(np.ceil(lowest - _HALF), 0), size)
    last = np.minimum(np.floor(highest - _HALF), size - _ONE)
    return first, last - first + _ONE, np.maximum(highest - first, first - lowest)


def _planes(box, corners) -> np.ndarray:
    """What rows need of N triangles, from the first pixel centre of each box on.

    Returns:
      float32 [14, N]: for each edge slope, start and side of x = slope * row + start, then the
      depth's x slope, y slope and first value, columns and first pixel's row and column.
    """
    left, top, columns, _, span = box
    x, y, z = ([corner[axis] for corner in corners] for axis in range(3))
    x, y = [value - (left + _HALF) for value in x], [value - (top + _HALF) for value in y]
    edges = [
        (y[i] - y[j], x[j] - x[i], x[i] * y[j] - y[i] * x[j]) for j, i in ((1, 2), (2, 0), (0, 1))
    ]
    area = edges[0][2] + edges[1][2] + edges[2][2]
    tolerance = np.float32(EDGE_TOLERANCE) * np.square(_ONE + span)
    crossings = [row for edge in edges for row in _crossing(*edge[:2], edge[2] + tolerance)]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        depth = [
            (edges[0][k] * z[0] + edges[1][k] * z[1] + edges[2][k] * z[2]) / area for k in range(3)
        ]
    columns = np.where(area > tolerance, columns, np.float32(0))
    return np.stack([*crossings, *depth, columns, top, left])


def _crossing(right, down, value):
    """Where an edge function is 0 in a row: x = slope * down + start, and which side is inside."""
    right = np.where(np.abs(right) < _LEVEL, _LEVEL, right)
    with np.errstate(over="ignore"):
        return -down / right, -value / right, np.where(right > 0, np.float32(0), -_SIDE)


def _cover(box, planes, width):
    """Lists the pixels inside all triangles: pixel, depth there, and which triangle it is."""
    owner, down = _expand(box[3].astype(np.intp))
    table = planes.take(owner, axis=1, mode="clip")
    row = down.astype(np.float32)
    right_slope, down_slope, depth, columns, top, left = table[9:]
    lowest, highest = np.float32(0), columns - _ONE
    for k in range(0, 9, 3):
        x = np.minimum(np.maximum(table[k] * row + table[k + 1], -_FAR), _FAR)
        lowest = np.maximum(lowest, x + table[k + 2])
        highest = np.minimum(highest, x + (table[k + 2] + _SIDE))
    first = np.minimum(np.ceil(lowest), columns)
    count = np.maximum(np.floor(highest) - first + _ONE, 0).astype(np.intp)
    pixel = ((top + row) * np.float32(width) + left + first).astype(np.intp)
    depth = right_slope * first + down_slope * row + depth
    which, right = _expand(count)
    depth = _take(depth, which) + _take(right_slope, which) * right.astype(np.float32)
    return _take(pixel, which) + right, depth, _take(owner, which)


def _expand(counts):
    """Counts [M] to which of them it is, and the count so far; [sum(counts)]."""
    which = np.repeat(np.arange(len(counts)), counts)
    begins = np.cumsum(counts) - counts
    return which, np.arange(len(which)) - _take(begins, which)
