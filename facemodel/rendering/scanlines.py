"""Draws triangles into a z-buffer with stock ops: the two ways behind rasterizer.rasterize.

Triangles become one flat list of the pixel centres that they cover, however large each of them is,
and the nearest entry for each pixel is kept. Where shapes may depend on the data (TensorFlow), rows
of triangles are listed, then the pixels of rows. Where they may not (JAX), the pixels of all
bounding boxes form the list, of which pieces of a fixed length are tested until none is left.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from facemodel.backend import transpose_list

EDGE_TOLERANCE = 1e-6
"""Edges are moved out by this times the squared span (px) over their length: a few float32
roundings, so that a pixel centre on the edge between two triangles always falls into one."""
_FAR = 1e9
"""More pixels than any image has."""
_LEVEL = 1e-20
"""Stands for a slope of zero where something is divided by it."""


class _Triangles(NamedTuple):
    """M triangles; offsets count from the first pixel centre inside each one's bounding box.

    Attributes:
      pixel: [M] int32 that first centre, as an index into all pixels of the batch.
      columns: [M] pixel centres in a row of the bounding box.
      rows: [M] int32 rows of it; 0 if nothing can be seen.
      edges: three edge functions, positive inside: tuples of x slope, y slope and first value.
      depth: the same for the depth.
    """

    pixel: Any
    columns: Any
    rows: Any
    edges: Any
    depth: Any


class _Rows(NamedTuple):
    """N rows of pixels, each inside one triangle.

    Attributes:
      pixel: [N] int32 the first pixel, as an index into all pixels of the batch.
      count: [N] int32 pixels; may be 0.
      depth: [N] at the first pixel.
      slope: [N] of the depth, per pixel to the right.
      triangle: [N] int32 which of the M triangles it is.
    """

    pixel: Any
    count: Any
    depth: Any
    slope: Any
    triangle: Any


def rasterize_static(corners, height, width):
    """Finds the nearest triangle with shapes that depend on the data.

    Args:
      corners: three times [B, T, 3], x px, y px and depth; counter-clockwise seen from outside.
      height: Height of the image, px.
      width: Width of the image, px.

    Returns:
      [B * H * W] int32 triangle, below 0 if there is none.
    """
    pixels = ops.shape(corners[0])[0] * height * width
    found, count = _set_up(corners, height, width), ops.shape(corners[0])[1]
    pixel, depth, which = _list_pixels(_list_rows(found, width))
    nearest = ops.segment_max(depth, pixel, num_segments=pixels)
    candidate = ops.where(depth == ops.take(nearest, pixel, axis=0), which % count, -1)
    return ops.segment_max(candidate, pixel, num_segments=pixels)


def rasterize_dynamic(corners, height, width):
    """The same with fixed shapes: tests as many candidates at a time as there are pixels."""
    images, count, _ = ops.shape(corners[0])
    pixels = images * height * width
    found = _set_up(corners, height, width)
    total = ops.sum(_box_sizes(found))

    def step(start, nearest, triangle):
        inside, pixel, depth, which = _test_piece(found, start, pixels, width)
        # JAX drops what goes to indices out of range, and gives NaN for what is taken there.
        pixel = ops.where(inside, pixel, pixels)
        nearer = ops.maximum(nearest, ops.segment_max(depth, pixel, num_segments=pixels))
        is_nearest = depth == ops.take(nearer, pixel, axis=0)
        pixel = ops.where(is_nearest, pixel, pixels)
        latest = ops.segment_max(which % count, pixel, num_segments=pixels)
        triangle = ops.maximum(latest, ops.where(nearer > nearest, -1, triangle))
        return start + pixels, nearer, triangle

    nothing = (0, ops.full((pixels,), -np.inf, "float32"), ops.full((pixels,), -1, "int32"))
    return ops.while_loop(lambda start, *_: start < total, step, nothing)[2]


def _set_up(corners, height, width) -> _Triangles:
    """Boxes, edge functions and depth planes of triangles: corners three times [B, T, 3]."""
    images, count, _ = ops.shape(corners[0])
    image = ops.repeat(ops.arange(images, dtype="int32"), count)
    corners = [ops.transpose(ops.reshape(corner, (-1, 3))) for corner in corners]
    x, y, z = ([corner[axis] for corner in corners] for axis in range(3))
    left, columns, across = _pixel_range(x, width)
    top, rows, along = _pixel_range(y, height)
    x, y = [value - (left + 0.5) for value in x], [value - (top + 0.5) for value in y]
    edges = [
        (y[i] - y[j], x[j] - x[i], x[i] * y[j] - y[i] * x[j]) for j, i in ((1, 2), (2, 0), (0, 1))
    ]
    area = edges[0][2] + edges[1][2] + edges[2][2]
    span = 1.0 + ops.maximum(across, along)
    tolerance = EDGE_TOLERANCE * span * span
    visible = (area > tolerance) & (columns > 0.0)
    depth = [sum(edge[k] * value for edge, value in zip(edges, z)) / area for k in range(3)]
    edges = [(right, down, value + tolerance) for right, down, value in edges]
    pixel = (image * height + ops.cast(top, "int32")) * width + ops.cast(left, "int32")
    rows = ops.cast(ops.where(visible, rows, 0.0), "int32")
    return _Triangles(pixel, columns, rows, edges, depth)


def _pixel_range(corners, size):
    """Of three coordinates: first pixel inside, how many, and how far they reach from it (px)."""
    lowest = ops.minimum(ops.minimum(corners[0], corners[1]), corners[2])
    highest = ops.maximum(ops.maximum(corners[0], corners[1]), corners[2])
    size = ops.cast(size, "float32")
    first = ops.clip(ops.ceil(lowest - 0.5), 0.0, size)
    last = ops.clip(ops.floor(highest - 0.5), -1.0, size - 1.0)
    count = ops.maximum(last - first + 1.0, 0.0)
    return first, count, ops.maximum(highest - first, first - lowest)


def _list_rows(found: _Triangles, width) -> _Rows:
    """Lists the rows of pixels inside all triangles."""
    which, row = _expand(found.rows)
    down = ops.cast(row, "float32")
    crossings = [part for edge in found.edges for part in _crossing(edge)]
    values = _take_columns((*crossings, *found.depth, found.columns), which)
    right_slope, down_slope, depth, columns = values[len(crossings) :]
    lowest, highest = 0.0, columns - 1.0
    for k in range(0, len(crossings), 3):
        slope, start, side = values[k : k + 3]
        x = ops.clip(slope * down + start, -_FAR, _FAR)
        lowest = ops.maximum(lowest, x + side)
        highest = ops.minimum(highest, x + (side + 3.0 * _FAR))
    first = ops.minimum(ops.ceil(lowest), columns)
    pixel = ops.take(found.pixel, which, axis=0) + row * width + ops.cast(first, "int32")
    count = ops.cast(ops.maximum(ops.floor(highest) - first + 1.0, 0.0), "int32")
    return _Rows(pixel, count, right_slope * first + down_slope * down + depth, right_slope, which)


def _crossing(edge):
    """Where an edge function is 0 in a row: x = slope * down + start, and which side is inside."""
    right, down, value = edge
    right = ops.where(ops.abs(right) < _LEVEL, _LEVEL, right)
    return -down / right, -value / right, ops.where(right > 0.0, 0.0, -3.0 * _FAR)


def _list_pixels(rows: _Rows):
    """Lists the pixels in all rows: pixel, depth there, and which triangle it is."""
    which, right = _expand(rows.count)
    depth, slope = (ops.take(part, which, axis=0) for part in (rows.depth, rows.slope))
    depth = depth + slope * ops.cast(right, "float32")
    return (
        ops.take(rows.pixel, which, axis=0) + right,
        depth,
        ops.take(rows.triangle, which, axis=0),
    )


def _expand(counts):
    """Counts to each of [M] numbers: which of them it is, and the count so far; [sum(counts)]."""
    # A mask of all counts up to the largest is faster than cumulative sums, and hardly longer than
    # the list itself if triangles are of a size, as in a mesh. This way round it broadcasts well.
    numbers = ops.arange(ops.max(counts, initial=0), dtype="int32")
    number, which = ops.nonzero(numbers[:, None] < counts[None, :])
    return which, number


def _take_columns(columns, indices):
    """Takes the same entries [N] of many arrays [M] by one gather of rows, which is much faster."""
    table = ops.transpose(ops.stack(columns))
    taken = transpose_list(ops.take(table, indices, axis=0))
    return [taken[k] for k in range(len(columns))]


def _box_sizes(found: _Triangles):
    """[M] int32 how many pixel centres lie in each bounding box."""
    return found.rows * ops.cast(found.columns, "int32")


def _test_piece(found: _Triangles, start, size, width):
    """Tests entries start to start + size of the list of all pixels in bounding boxes.

    Returns:
      Whether it is inside the triangle, pixel, depth and triangle, each [size].
    """
    counts = _box_sizes(found)
    begins = ops.cumsum(counts) - counts
    marks = ops.segment_sum(ops.ones_like(begins), begins - start, num_segments=size)
    which = ops.cumsum(marks) - 1 + ops.sum(ops.cast(begins < start, "int32"))
    offset = ops.arange(size, dtype="int32") + start - ops.take(begins, which, axis=0)
    columns = ops.maximum(ops.cast(ops.take(found.columns, which, axis=0), "int32"), 1)
    row, column = offset // columns, offset % columns
    right, down = ops.cast(column, "float32"), ops.cast(row, "float32")
    planes = _take_columns([part for plane in (*found.edges, found.depth) for part in plane], which)
    values = [
        planes[3 * k] * right + planes[3 * k + 1] * down + planes[3 * k + 2] for k in range(4)
    ]
    inside = ops.minimum(ops.minimum(values[0], values[1]), values[2]) >= 0.0
    inside = inside & (offset < ops.take(counts, which, axis=0))
    pixel = ops.take(found.pixel, which, axis=0) + row * width + column
    return inside, pixel, values[3], which
