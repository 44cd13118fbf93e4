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
_FAR = 1e9
_LEVEL = 1e-20
"""Stands for a slope of zero where something is divided by it."""


class Fragments(NamedTuple):
    """The pixels at which faces are seen: P of them, from all pictures of the batch.

    On TensorFlow only these; on JAX, whose shapes are static, all pixels, with zero weights at the background.

    Attributes:
      pixel: [P] int32 index into all B * H * W pixels.
      vertices: [3, P] int32 indices into all B * V vertices, the corners of the triangle that is seen.
      weights: [3, P] of these corners, linear in the image, with sum 1.
    """

    pixel: Any
    vertices: Any
    weights: Any


class _Triangles(NamedTuple):
    """M triangles to draw, with offsets counted from the first pixel centre inside each bounding box.

    Attributes:
      pixel: [M] int32 that first centre, as an index into all pixels of the batch.
      columns: [M] pixel centres in a row of the bounding box.
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
    corners = triangle_corners(ops.stop_gradient(screen), triangles)
    draw = _draw_at_once if keras.backend.backend() == "tensorflow" else _draw_in_pieces
    nearest = ops.maximum(draw(corners, height, width), BACKGROUND)
    return ops.reshape(nearest, (ops.shape(screen)[0], height, width))


def triangle_corners(attributes, triangles):
    """Gathers attributes [B, V, C] at the first, second and third corners of triangles [T, 3] -> three [B, T, C]."""
    return [ops.take(attributes, triangles[:, k], axis=1) for k in range(3)]


def _draw_at_once(corners, height, width):
    """[B * H * W] the nearest triangle or below 0, with shapes that depend on the data."""
    pictures, count, _ = ops.shape(corners[0])
    picture, triangle = ops.nonzero(_area(*(corner[..., :2] for corner in corners)) > 0.0)
    index = picture * count + triangle
    corners = [
        ops.transpose(ops.take(ops.reshape(corner, (-1, 3)), index, axis=0)) for corner in corners
    ]
    found = _set_up(corners, picture, height, width)
    pixel, depth, which = _list_pixels(_list_rows(found, width))
    nearest = ops.segment_max(depth, pixel, num_segments=pictures * height * width)
    candidate = ops.where(
        depth == ops.take(nearest, pixel, axis=0), ops.take(triangle, which, axis=0), BACKGROUND
    )
    return ops.segment_max(candidate, pixel, num_segments=pictures * height * width)


def _area(first, second, third):
    """Twice the area of triangles with corners [..., 2] in the image, px^2, positive for front-facing ones."""
    a, b = second - first, third - first
    return a[..., 1] * b[..., 0] - a[..., 0] * b[..., 1]


def _set_up(corners, picture, height, width) -> _Triangles:
    """Bounding boxes, edge functions and depth planes of triangles with corners three times [3, M] in pictures [M]."""
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
    depth = [sum(edge[part] * value for edge, value in zip(edges, z)) / area for part in range(3)]
    edges = [(right, down, value + tolerance) for right, down, value in edges]
    pixel = (picture * height + ops.cast(top, "int32")) * width + ops.cast(left, "int32")
    return _Triangles(
        pixel, columns, ops.cast(ops.where(visible, rows, 0.0), "int32"), edges, depth
    )


def _pixel_range(corners, size):
    """Of three coordinates: first pixel inside, how many pixel centres, and how far they reach from it (px); floats."""
    lowest = ops.minimum(ops.minimum(corners[0], corners[1]), corners[2])
    highest = ops.maximum(ops.maximum(corners[0], corners[1]), corners[2])
    size = ops.cast(size, "float32")
    first = ops.clip(ops.ceil(lowest - 0.5), 0.0, size)
    last = ops.clip(ops.floor(highest - 0.5), -1.0, size - 1.0)
    return first, ops.maximum(last - first + 1.0, 0.0), ops.maximum(highest - first, first - lowest)


def _list_rows(found: _Triangles, width) -> _Rows:
    """Lists the rows of pixels inside all triangles."""
    begins, which = _expand(found.rows)
    begin, pixel = _take_columns((begins, found.pixel), which)
    row = ops.arange(ops.shape(which)[0], dtype="int32") - begin
    down = ops.cast(row, "float32")
    crossings = [part for edge in found.edges for part in _crossing(edge)]
    *crossings, right_slope, down_slope, depth, columns = _take_columns(
        (*crossings, *found.depth, found.columns), which
    )
    lowest, highest = 0.0, columns - 1.0
    for k in range(3):
        slope, start, side = crossings[3 * k : 3 * k + 3]
        x = slope * down + start
        lowest, highest = ops.maximum(lowest, x + side), ops.minimum(highest, x + (side + _FAR))
    first = ops.minimum(ops.ceil(lowest), columns)
    return _Rows(
        pixel=pixel + row * width + ops.cast(first, "int32"),
        count=ops.cast(ops.maximum(ops.floor(highest) - first + 1.0, 0.0), "int32"),
        depth=right_slope * first + down_slope * down + depth,
        slope=right_slope,
        triangle=which,
    )


def _crossing(edge):
    """Where an edge function is zero in a row: x = slope * down + start, and 0 if the inside is right of it, else -far."""
    right, down, value = edge
    right = ops.where(ops.abs(right) < _LEVEL, _LEVEL, right)
    return -down / right, -value / right, ops.where(right > 0.0, 0.0, -_FAR)


def _list_pixels(rows: _Rows):
    """Lists the pixels in all rows: pixel, depth there, and which triangle it is."""
    begins, which = _expand(rows.count)
    begin, pixel, triangle = _take_columns((begins, rows.pixel, rows.triangle), which)
    depth, slope = _take_columns((rows.depth, rows.slope), which)
    right = ops.arange(ops.shape(which)[0], dtype="int32") - begin
    return pixel + right, depth + slope * ops.cast(right, "float32"), triangle


def _expand(counts):
    """Repeats each index as often as its count says: where each begins [M], and the indices [sum(counts)]."""
    begins = ops.cumsum(counts) - counts
    marks = ops.segment_sum(ops.ones_like(begins), begins, num_segments=ops.sum(counts) + 1)
    return begins, ops.cumsum(marks[:-1]) - 1


def _take_columns(columns, indices):
    """Takes the same entries [N] of several arrays [M]: one gather of rows is much faster than many of numbers."""
    table = ops.transpose(ops.stack(columns))
    taken = ops.transpose(ops.take(table, indices, axis=0))
    return [taken[k] for k in range(len(columns))]


def _draw_in_pieces(corners, height, width):
    """[B * H * W] the nearest triangle or below 0, with fixed shapes: as many candidates at a time as pixels."""
    pictures, count, _ = ops.shape(corners[0])
    pixels = pictures * height * width
    picture = ops.repeat(ops.arange(pictures, dtype="int32"), count)
    found = _set_up(
        [ops.transpose(ops.reshape(corner, (-1, 3))) for corner in corners], picture, height, width
    )
    total = ops.sum(found.rows * ops.cast(found.columns, "int32"))

    def step(start, nearest, number):
        pixel, depth, which = _test_piece(found, start, pixels, width)
        nearer = ops.maximum(nearest, ops.segment_max(depth, pixel, num_segments=pixels))
        candidate = ops.where(depth == ops.take(nearer, pixel, axis=0), which % count, BACKGROUND)
        latest = ops.segment_max(candidate, pixel, num_segments=pixels)
        number = ops.maximum(latest, ops.where(nearer > nearest, BACKGROUND, number))
        return start + pixels, nearer, number

    nothing = (0, ops.full((pixels,), -np.inf, "float32"), ops.full((pixels,), BACKGROUND, "int32"))
    return ops.while_loop(lambda start, *_: start < total, step, nothing)[2]


def _test_piece(found: _Triangles, start, size, width):
    """Tests entries start to start + size of the list of all pixels in bounding boxes.

    Returns:
      The pixel (0 if it is not inside), the depth there (-inf if not inside) and the triangle, each [size].
    """
    columns = ops.cast(found.columns, "int32")
    count = found.rows * columns
    begins = ops.cumsum(count) - count
    marks = ops.segment_sum(ops.ones_like(begins), begins - start, num_segments=size)
    which = ops.cumsum(marks) - 1 + ops.sum(ops.cast(begins < start, "int32"))
    begin, end, columns, pixel = _take_columns(
        (begins, begins + count, ops.maximum(columns, 1), found.pixel), which
    )
    entry = ops.arange(size, dtype="int32") + start
    row, column = (entry - begin) // columns, (entry - begin) % columns
    right, down = ops.cast(column, "float32"), ops.cast(row, "float32")
    planes = _take_columns([part for plane in (*found.edges, found.depth) for part in plane], which)
    *edges, depth = (
        planes[3 * k] * right + planes[3 * k + 1] * down + planes[3 * k + 2] for k in range(4)
    )
    inside = (ops.minimum(ops.minimum(edges[0], edges[1]), edges[2]) >= 0.0) & (entry < end)
    return (
        ops.where(inside, pixel + row * width + column, 0),
        ops.where(inside, depth, -np.inf),
        which,
    )


def find_fragments(screen, triangles, triangle_id) -> Fragments:
    """Finds where in its triangle each pixel centre lies.

    Args:
      screen: [B, V, 3] as given to rasterize.
      triangles: [T, 3] int32.
      triangle_id: [B, H, W] int32 from rasterize.

    Returns:
      Fragments.
    """
    height, width = ops.shape(triangle_id)[1], ops.shape(triangle_id)[2]
    picture, row, column = _pixels_to_shade(triangle_id)
    pixel = (picture * height + row) * width + column
    triangle = ops.take(ops.reshape(triangle_id, (-1,)), pixel, axis=0)
    first = picture * ops.shape(screen)[1]
    vertices = [
        ops.take(triangles[:, k], ops.maximum(triangle, 0), axis=0) + first for k in range(3)
    ]
    points = [
        ops.transpose(ops.take(ops.reshape(screen, (-1, 3)), vertex, axis=0)) for vertex in vertices
    ]
    x = [point[0] - (ops.cast(column, "float32") + 0.5) for point in points]
    y = [point[1] - (ops.cast(row, "float32") + 0.5) for point in points]
    areas = [x[i] * y[j] - y[i] * x[j] for j, i in ((1, 2), (2, 0), (0, 1))]
    seen = triangle >= 0
    scale = ops.where(seen, 1.0 / ops.where(seen, areas[0] + areas[1] + areas[2], 1.0), 0.0)
    return Fragments(pixel, ops.stack(vertices), ops.stack([area * scale for area in areas]))


def _pixels_to_shade(triangle_id):
    """Picture, row and column [P] of the covered pixels; of all pixels where shapes have to be static."""
    if keras.backend.backend() == "tensorflow":
        return ops.nonzero(triangle_id >= 0)
    pictures, height, width = triangle_id.shape
    pixel = ops.arange(pictures * height * width, dtype="int32")
    return pixel // (height * width), pixel // width % height, pixel % width


def interpolate_fragments(attributes, fragments: Fragments):
    """Interpolates attributes of vertices [B, V, C] at fragments -> [C, P]."""
    flat = ops.reshape(attributes, (-1, attributes.shape[-1]))
    corners = (ops.transpose(ops.take(flat, fragments.vertices[k], axis=0)) for k in range(3))
    return sum(corner * fragments.weights[k] for k, corner in enumerate(corners))


def to_image(values, fragments: Fragments, shape):
    """Puts values [P, ...] of fragments into images of shape (B, H, W) -> [B, H, W, ...]; 0 at the background."""
    pictures, height, width = shape
    filled = ops.segment_sum(values, fragments.pixel, num_segments=pictures * height * width)
    return ops.reshape(filled, (pictures, height, width, *values.shape[1:]))


def barycentric(screen, triangles, triangle_id):
    """Computes where in its triangle each pixel centre lies.

    Args:
      screen: [B, V, 3] as given to rasterize.
      triangles: [T, 3] int32.
      triangle_id: [B, H, W] int32 from rasterize.

    Returns:
      [B, H, W, 3] weights of the triangle's corners, linear in the image, sum 1; 0 at the background.
    """
    fragments = find_fragments(screen, triangles, triangle_id)
    return to_image(ops.transpose(fragments.weights), fragments, ops.shape(triangle_id))


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
    pictures, count, channels = ops.shape(attributes)
    first = ops.arange(pictures, dtype="int32")[:, None, None, None] * count
    vertex = ops.take(triangles, ops.maximum(triangle_id, 0), axis=0) + first
    corners = ops.take(ops.reshape(attributes, (-1, channels)), vertex, axis=0)
    return sum(weights[..., k : k + 1] * corners[..., k, :] for k in range(3))
