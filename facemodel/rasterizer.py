"""A batched z-buffer in stock ops: which triangle is seen at each pixel, and where in it.

Front-facing triangles become one flat list of the pixel centres that they cover, however large each of them is, and the
nearest entry for each pixel is kept. TensorFlow makes the list at once: its shapes may depend on the data, so rows of
triangles, then pixels of rows are listed. On JAX shapes are static: there the pixels of all bounding boxes form the
list, of which pieces of a fixed length are drawn until none is left. Both are exact and give the same picture.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

BACKGROUND = -1
EDGE_TOLERANCE = 1e-6
"""Edges are moved out by this times the squared span (px) over their length: a few float32 roundings, so that a pixel
centre on the edge between two triangles always falls into one of them."""
_LEVEL = 1e-20
"""Stands for a slope of zero where it is divided by."""


class _Triangles(NamedTuple):
    """M triangles to draw, with offsets counted from the first pixel centre inside each bounding box.

    Attributes:
      pixel: [M] int32 that first centre, as an index into all pixels of the batch.
      columns: [M] int32 pixel centres in a row of the bounding box.
      rows: [M] int32 rows of it; 0 if nothing can be seen.
      edges: three edge functions, each a tuple of x slope, y slope and value at the first centre; positive inside.
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


def rasterize(screen, triangles, *, height: int, width: int):
    """Finds the nearest front-facing triangle at each pixel centre.

    Exact for triangles of any size, also where they leave the image. No gradient flows.

    Args:
      screen: [B, V, 3] x px, y px (y down) and depth (any unit, larger is nearer); see camera.project.
      triangles: [T, 3] int32, counter-clockwise seen from outside.
      height: px of the image.
      width: px of the image.

    Returns:
      [B, H, W] int32, the triangle or -1 for the background. Of two at the same depth, the later one.
    """
    pictures, count = ops.shape(screen)[0], len(triangles)
    corners = triangle_corners(ops.stop_gradient(screen), triangles)
    draw = _draw_at_once if keras.backend.backend() == "tensorflow" else _draw_in_pieces
    number = draw(corners, count, pictures, height, width)
    return ops.reshape(ops.where(number < 0, BACKGROUND, number % count), (pictures, height, width))


def triangle_corners(attributes, triangles):
    """Gathers attributes [B, V, C] at the corners of all triangles [T, 3] -> [B * T, 3, C]."""
    pictures, vertices, channels = ops.shape(attributes)
    first = ops.arange(pictures, dtype="int32")[:, None, None] * vertices
    index = ops.reshape(triangles[None] + first, (-1, 3))
    return ops.take(ops.reshape(attributes, (-1, channels)), index, axis=0)


def _draw_at_once(corners, count, pictures, height, width):
    """[pixels] number of the nearest triangle or -1, with shapes that depend on the data."""
    seen = ops.nonzero(_area(corners) > 0.0)[0]
    found = _set_up(ops.take(corners, seen, axis=0), seen // count, height, width)
    pixel, depth, which = _list_pixels(_list_rows(found, width))
    number = ops.take(seen, which, axis=0)
    nearest = ops.segment_max(depth, pixel, num_segments=pictures * height * width)
    number = ops.where(depth == ops.take(nearest, pixel, axis=0), number, BACKGROUND)
    return ops.segment_max(number, pixel, num_segments=pictures * height * width)


def _area(corners):
    """[M] twice the area of triangles in the image, px^2, positive for front-facing ones."""
    x, y = ([corners[:, k, axis] for k in range(3)] for axis in range(2))
    return (y[1] - y[0]) * (x[2] - x[0]) - (x[1] - x[0]) * (y[2] - y[0])


def _set_up(corners, picture, height, width) -> _Triangles:
    """Bounding boxes, edge functions and depth planes of triangles with corners [M, 3, 3] in pictures [M]."""
    x, y, z = ([corners[:, k, axis] for k in range(3)] for axis in range(3))
    left, columns, across = _pixel_range(x, width)
    top, rows, along = _pixel_range(y, height)
    x, y = [value - (left + 0.5) for value in x], [value - (top + 0.5) for value in y]
    edges = [(y[i] - y[j], x[j] - x[i], x[i] * y[j] - y[i] * x[j]) for j, i in ((1, 2), (2, 0), (0, 1))]
    area = edges[0][2] + edges[1][2] + edges[2][2]
    span = 1.0 + ops.maximum(across, along)
    tolerance = EDGE_TOLERANCE * span * span
    visible = (area > tolerance) & (columns > 0)
    depth = [sum(edge[part] * value for edge, value in zip(edges, z)) / area for part in range(3)]
    edges = [(right, down, value + tolerance) for right, down, value in edges]
    pixel = (picture * height + ops.cast(top, "int32")) * width + ops.cast(left, "int32")
    return _Triangles(pixel, columns, ops.where(visible, rows, 0), edges, depth)


def _pixel_range(corners, size):
    """Of three coordinates: the first pixel inside (float), how many pixel centres (int), and their reach from it (px)."""
    lowest = ops.minimum(ops.minimum(corners[0], corners[1]), corners[2])
    highest = ops.maximum(ops.maximum(corners[0], corners[1]), corners[2])
    size = ops.cast(size, "float32")
    first = ops.clip(ops.ceil(lowest - 0.5), 0.0, size)
    last = ops.clip(ops.floor(highest - 0.5), -1.0, size - 1.0)
    count = ops.maximum(ops.cast(last - first, "int32") + 1, 0)
    return first, count, ops.maximum(highest - first, first - lowest)


def _list_rows(found: _Triangles, width) -> _Rows:
    """Lists the rows of pixels inside all triangles."""
    begins, which = _expand(found.rows)
    row = ops.arange(ops.shape(which)[0], dtype="int32") - ops.take(begins, which, axis=0)
    down = ops.cast(row, "float32")
    crossings = [_crossing(edge) for edge in found.edges]
    planes = ops.take(ops.stack([entry for plane in (*crossings, found.depth) for entry in plane], -1), which, axis=0)
    columns = ops.take(found.columns, which, axis=0)
    lowest, highest = 0.0, ops.cast(columns, "float32") - 1.0
    for k in range(3):
        entering, x = planes[:, 3 * k] > 0.0, planes[:, 3 * k + 1] * down + planes[:, 3 * k + 2]
        lowest = ops.maximum(lowest, ops.where(entering, x, 0.0))
        highest = ops.minimum(highest, ops.where(entering, highest, x))
    first = ops.minimum(ops.ceil(lowest), highest + 1.0)
    slope = planes[:, 9]
    return _Rows(
        pixel=ops.take(found.pixel, which, axis=0) + row * width + ops.cast(first, "int32"),
        count=ops.cast(ops.maximum(ops.floor(highest) - first + 1.0, 0.0), "int32"),
        depth=slope * first + planes[:, 10] * down + planes[:, 11],
        slope=slope,
        triangle=which,
    )


def _list_pixels(rows: _Rows):
    """Lists the pixels in all rows: pixel, depth there, and which triangle it is."""
    begins, which = _expand(rows.count)
    right = ops.arange(ops.shape(which)[0], dtype="int32") - ops.take(begins, which, axis=0)
    line = ops.take(ops.stack([rows.depth, rows.slope], -1), which, axis=0)
    depth = line[:, 0] + line[:, 1] * ops.cast(right, "float32")
    return ops.take(rows.pixel, which, axis=0) + right, depth, ops.take(rows.triangle, which, axis=0)


def _crossing(edge):
    """Where an edge function is zero in a row: its x slope, and that x as slope and value over the offset of the row."""
    right, down, value = edge
    right = ops.where(ops.abs(right) < _LEVEL, _LEVEL, right)
    return right, -down / right, -value / right


def _expand(counts):
    """Repeats each index as often as its count says: where each begins [M], and the indices [sum(counts)]."""
    begins = ops.cumsum(counts) - counts
    marks = ops.segment_sum(ops.ones_like(begins), begins, num_segments=ops.sum(counts) + 1)
    return begins, ops.cumsum(marks[:-1]) - 1


def _draw_in_pieces(corners, count, pictures, height, width):
    """[pixels] number of the nearest triangle or -1, with fixed shapes: as many candidates at a time as pixels."""
    pixels = pictures * height * width
    numbers = ops.arange(pictures * count, dtype="int32")
    found = _set_up(corners, numbers // count, height, width)
    total = ops.sum(found.rows * found.columns)

    def step(start, nearest, number):
        pixel, depth, which = _test_piece(found, start, pixels, width)
        nearer = ops.maximum(nearest, ops.segment_max(depth, pixel, num_segments=pixels))
        which = ops.where(depth == ops.take(nearer, pixel, axis=0), which, BACKGROUND)
        latest = ops.segment_max(which, pixel, num_segments=pixels)
        number = ops.maximum(latest, ops.where(nearer > nearest, BACKGROUND, number))
        return start + pixels, nearer, number

    empty = (0, ops.full((pixels,), -np.inf, "float32"), ops.full((pixels,), BACKGROUND, "int32"))
    return ops.while_loop(lambda start, *_: start < total, step, empty)[2]


def _test_piece(found: _Triangles, start, size, width):
    """Tests entries start to start + size of the list of all pixels in bounding boxes.

    Returns:
      The pixel (0 if it is not inside), the depth there (-inf if not inside) and the triangle, each [size].
    """
    count = found.rows * found.columns
    begins = ops.cumsum(count) - count
    marks = ops.segment_sum(ops.ones_like(begins), begins - start, num_segments=size)
    which = ops.cumsum(marks) - 1 + ops.sum(ops.cast(begins < start, "int32"))
    offset = ops.arange(size, dtype="int32") + start - ops.take(begins, which, axis=0)
    columns = ops.maximum(ops.take(found.columns, which, axis=0), 1)
    row = offset // columns
    column = offset - row * columns
    right, down = ops.cast(column, "float32"), ops.cast(row, "float32")
    planes = ops.take(ops.stack([entry for plane in (*found.edges, found.depth) for entry in plane], -1), which, axis=0)
    first, second, third, depth = (
        planes[:, 3 * k] * right + planes[:, 3 * k + 1] * down + planes[:, 3 * k + 2] for k in range(4)
    )
    inside = ops.minimum(ops.minimum(first, second), third) >= 0.0
    inside = inside & (offset < ops.take(count, which, axis=0))
    pixel = ops.take(found.pixel, which, axis=0) + row * width + column
    return ops.where(inside, pixel, 0), ops.where(inside, depth, -np.inf), which


def barycentric(screen, triangles, triangle_id):
    """Computes where in its triangle each pixel centre lies.

    Args:
      screen: [B, V, 3] as given to rasterize.
      triangles: [T, 3] int32.
      triangle_id: [B, H, W] int32 from rasterize.

    Returns:
      [B, H, W, 3] weights of the triangle's corners, linear in the image, sum 1; 0 at the background.
    """
    height, width = ops.shape(triangle_id)[1], ops.shape(triangle_id)[2]
    x = ops.arange(width, dtype="float32")[None, None, :] + 0.5
    y = ops.arange(height, dtype="float32")[None, :, None] + 0.5
    corners = _at_corners(screen, triangles, triangle_id)
    x = [corners[..., k, 0] - x for k in range(3)]
    y = [corners[..., k, 1] - y for k in range(3)]
    areas = [x[j] * y[i] - y[j] * x[i] for i, j in ((1, 2), (2, 0), (0, 1))]
    total = areas[0] + areas[1] + areas[2]
    seen = triangle_id >= 0
    scale = ops.where(seen, 1.0 / ops.where(seen, total, 1.0), 0.0)
    return ops.stack([area * scale for area in areas], -1)


def interpolate(attributes, triangles, triangle_id, weights):
    """Interpolates attributes of vertices at each pixel.

    Args:
      attributes: [B, V, C].
      triangles: [T, 3] int32.
      triangle_id: [B, H, W] int32 from rasterize.
      weights: [B, H, W, 3] from barycentric.

    Returns:
      [B, H, W, C]; 0 at the background.
    """
    corners = _at_corners(attributes, triangles, triangle_id)
    return sum(weights[..., k : k + 1] * corners[..., k, :] for k in range(3))


def _at_corners(attributes, triangles, triangle_id):
    """[B, V, C] -> [B, H, W, 3, C] at the three corners of each pixel's triangle (of the first one if background)."""
    pictures, count, channels = ops.shape(attributes)
    first = ops.arange(pictures, dtype="int32")[:, None, None, None] * count
    vertex = ops.take(triangles, ops.maximum(triangle_id, 0), axis=0) + first
    return ops.take(ops.reshape(attributes, (-1, channels)), vertex, axis=0)
