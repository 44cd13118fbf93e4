"""A batched z-buffer in stock ops: which triangle is seen at each pixel, and where in it.

Each front-facing triangle is tested at exactly the pixel centres of its bounding box. These candidates form one flat
list, whatever the sizes of the triangles, so none is missed and none is wasted. TensorFlow makes the whole list at
once, with dynamic shapes, and drops early what cannot be seen; JAX, whose shapes are static, walks through the same
list in pieces of a fixed length. Both keep the nearest candidate of each pixel.
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


class _Triangles(NamedTuple):
    """Triangles to draw, M of them from all pictures of the batch.

    Attributes:
      number: [M] int32, triangle + picture * T.
      corner: [M] int32, first pixel centre in the bounding box, as an index into all pixels of the batch.
      columns: [M] int32, pixel centres in a row of the bounding box.
      count: [M] int32, pixel centres in all of it; 0 if the triangle cannot be seen.
      planes: [M, 12] three edge functions, then depth: each an x slope, a y slope and the value at the first centre.
    """

    number: Any
    corner: Any
    columns: Any
    count: Any
    planes: Any


class _Hits(NamedTuple):
    """Candidates: a pixel [N] (index into all pixels of the batch), the depth [N] there, the triangle's number [N]."""

    pixel: Any
    depth: Any
    number: Any


def rasterize(screen, triangles, *, height: int, width: int):
    """Finds the nearest front-facing triangle at each pixel centre.

    Exact for triangles of any size, also where they leave the image. No gradient flows.

    Args:
      screen: [B, V, 3] x px, y px (y down) and depth (any unit, larger is nearer); see camera.project.
      triangles: [T, 3] int32, counter-clockwise seen from outside.
      height: px of the image; may be a scalar tensor on TensorFlow.
      width: px of the image.

    Returns:
      [B, H, W] int32, the triangle or -1 for the background. Of two at the same depth, the later one.
    """
    pictures = ops.shape(screen)[0]
    found = _set_up(ops.stop_gradient(screen), triangles, height, width)
    if keras.backend.backend() == "tensorflow":
        number = _draw_at_once(found, width, pictures * height * width)
    else:
        number = _draw_in_pieces(found, width, pictures * height * width)
    number = ops.reshape(number, (pictures, height, width))
    return ops.where(number < 0, BACKGROUND, number % len(triangles))


def _set_up(screen, triangles, height, width) -> _Triangles:
    """Bounding boxes and planes of all B * T triangles."""
    pictures, vertices = ops.shape(screen)[0], ops.shape(screen)[1]
    number = ops.arange(pictures * len(triangles), dtype="int32")
    picture = number // len(triangles)
    first_vertex = ops.arange(pictures, dtype="int32")[:, None, None] * vertices
    corners = ops.take(ops.reshape(screen, (-1, 3)), ops.reshape(triangles[None] + first_vertex, (-1, 3)), axis=0)
    x, y, z = ([corners[:, k, axis] for k in range(3)] for axis in range(3))
    left, columns = _pixel_range(x, width)
    top, rows = _pixel_range(y, height)
    x = [value - (ops.cast(left, "float32") + 0.5) for value in x]
    y = [value - (ops.cast(top, "float32") + 0.5) for value in y]
    area, tolerance = _area_and_tolerance(x, y)
    visible = (area > tolerance) & (columns > 0) & (rows > 0)
    return _Triangles(
        number=number,
        corner=(picture * height + top) * width + left,
        columns=columns,
        count=ops.where(visible, columns * rows, 0),
        planes=_planes(x, y, z, area, tolerance),
    )


def _pixel_range(corners, size):
    """First pixel centre inside the image between the smallest and the largest of three coordinates, and how many."""
    lowest = ops.minimum(ops.minimum(corners[0], corners[1]), corners[2])
    highest = ops.maximum(ops.maximum(corners[0], corners[1]), corners[2])
    size = ops.cast(size, "float32")
    first = ops.clip(ops.ceil(lowest - 0.5), 0.0, size)
    last = ops.clip(ops.floor(highest - 0.5), -1.0, size - 1.0)
    return ops.cast(first, "int32"), ops.cast(last - first, "int32") + 1


def _area_and_tolerance(x, y):
    """Twice the area, px^2, positive for front-facing triangles, and how far edge functions may be wrong."""
    area = (y[1] - y[0]) * (x[2] - x[0]) - (x[1] - x[0]) * (y[2] - y[0])
    across = ops.maximum(ops.maximum(ops.abs(x[0]), ops.abs(x[1])), ops.abs(x[2]))
    along = ops.maximum(ops.maximum(ops.abs(y[0]), ops.abs(y[1])), ops.abs(y[2]))
    span = 1.0 + ops.maximum(across, along)
    return area, EDGE_TOLERANCE * span * span


def _planes(x, y, z, area, tolerance):
    """[M, 12] edge functions (positive inside) and depth over the offset (px) from the first pixel centre."""
    edges = []
    for j, i in ((1, 2), (2, 0), (0, 1)):
        edges.append((y[i] - y[j], x[j] - x[i], x[i] * y[j] - y[i] * x[j]))
    slopes = [sum(edge[part] * height for edge, height in zip(edges, z)) / area for part in range(3)]
    moved = [(across, down, value + tolerance) for across, down, value in edges]
    return ops.stack([entry for plane in (*moved, slopes) for entry in plane], -1)


def _draw_at_once(triangles: _Triangles, width, pixels):
    """[pixels] number of the nearest triangle or -1, with shapes that depend on the data."""
    seen = ops.nonzero(triangles.count)[0]
    triangles = _Triangles(*(ops.take(part, seen, axis=0) for part in triangles))
    total = ops.sum(triangles.count)
    candidates, inside = _candidates(triangles, width, start=0, size=total)
    kept = ops.nonzero(inside)[0]
    pixel, depth, number = (ops.take(part, kept, axis=0) for part in candidates)
    nearest = ops.segment_max(depth, pixel, num_segments=pixels)
    winners = ops.nonzero(depth == ops.take(nearest, pixel))[0]
    number, pixel = ops.take(number, winners), ops.take(pixel, winners)
    return ops.maximum(ops.segment_max(number, pixel, num_segments=pixels), BACKGROUND)


def _draw_in_pieces(triangles: _Triangles, width, pixels):
    """[pixels] number of the nearest triangle or -1, with fixed shapes: as many candidates at a time as pixels."""
    total = ops.sum(triangles.count)

    def step(start, depth, number):
        hits, inside = _candidates(triangles, width, start=start, size=pixels)
        inside = inside & (ops.arange(pixels) + start < total)
        pixel = ops.where(inside, hits.pixel, pixels)
        nearest = ops.maximum(depth, ops.segment_max(hits.depth, pixel, num_segments=pixels + 1)[:-1])
        equal = inside & (hits.depth == ops.take(nearest, hits.pixel, axis=0))
        pixel = ops.where(equal, hits.pixel, pixels)
        latest = ops.segment_max(hits.number, pixel, num_segments=pixels + 1)[:-1]
        number = ops.maximum(latest, ops.where(nearest > depth, BACKGROUND, number))
        return start + pixels, nearest, number

    empty = (0, ops.full((pixels,), -np.inf, "float32"), ops.full((pixels,), BACKGROUND, "int32"))
    return ops.while_loop(lambda start, *_: start < total, step, empty)[2]


def _candidates(triangles: _Triangles, width, *, start, size) -> tuple[_Hits, Any]:
    """Tests entries start to start + size of the list of candidates; also says which of them are inside."""
    begins = ops.cumsum(triangles.count) - triangles.count
    marks = ops.segment_sum(ops.ones_like(begins), begins - start, num_segments=size)
    which = ops.cumsum(marks) - 1 + ops.sum(ops.cast(begins < start, "int32"))
    offset = ops.arange(size, dtype="int32") + start - ops.take(begins, which, axis=0)
    columns = ops.take(triangles.columns, which, axis=0)
    row = offset // columns
    column = offset - row * columns
    planes = ops.take(triangles.planes, which, axis=0)
    right, down = ops.cast(column, "float32"), ops.cast(row, "float32")
    first, second, third, depth = (
        planes[:, 3 * k] * right + planes[:, 3 * k + 1] * down + planes[:, 3 * k + 2] for k in range(4)
    )
    inside = ops.minimum(ops.minimum(first, second), third) >= 0.0
    pixel = ops.take(triangles.corner, which, axis=0) + row * width + column
    return _Hits(pixel, depth, ops.take(triangles.number, which, axis=0)), inside


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
