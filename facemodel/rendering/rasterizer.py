"""A batched z-buffer in stock ops: which triangle is seen at each pixel, and where in it.

Exact for triangles of any size on every backend; scanlines.py has the two algorithms.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from facemodel.backend import Tensor, dynamic_shapes, transpose_list
from facemodel.rendering import scanlines

BACKGROUND = -1


class Fragments(NamedTuple):
    """The pixels at which faces are seen: P of them, from all images of the batch.

    On TensorFlow only these; on JAX, whose shapes are static, all pixels, with zeros at the
    background.

    Attributes:
      pixel: [P] int32 index into all B * H * W pixels.
      values: [C, P] attributes there, linear in the image.
    """

    pixel: Any
    values: Any


def rasterize(screen, triangles, *, height: int, width: int) -> Tensor:
    """Finds the nearest front-facing triangle at each pixel centre.

    Exact for triangles of any size, also where they leave the image. No gradient flows.

    Args:
      screen: [B, V, 3] x px, y px (y down) and depth (any unit, larger is nearer), as by
        camera.project.
      triangles: [T, 3] int32, counter-clockwise seen from outside.
      height: Height of the image, px.
      width: Width of the image, px.

    Returns:
      [B, H, W] int32, the triangle or -1 for the background. Of two at one depth, the later one.
    """
    return rasterize_corners(triangle_corners(screen, triangles), height=height, width=width)


def rasterize_corners(corners, *, height: int, width: int) -> Tensor:
    """The same from triangle_corners of the screen, for those who need these corners anyway."""
    corners = [ops.stop_gradient(corner) for corner in corners]
    dynamic = dynamic_shapes()
    find = scanlines.rasterize_static if dynamic else scanlines.rasterize_dynamic
    nearest = ops.maximum(find(corners, height, width), BACKGROUND)
    return ops.reshape(nearest, (ops.shape(corners[0])[0], height, width))


def triangle_corners(attributes, triangles):
    """Gathers attributes [B, V, C] at the three corners of triangles [T, 3] -> three [B, T, C]."""
    return [ops.take(attributes, triangles[:, k], axis=1) for k in range(3)]


def sample(screen, attributes, triangles, triangle_id) -> Fragments:
    """Interpolates attributes of vertices at the pixels where faces are seen.

    Args:
      screen: [B, V, 3] as given to rasterize.
      attributes: [B, V, C].
      triangles: [T, 3] int32.
      triangle_id: [B, H, W] int32 from rasterize.
    """
    pixel, corners, weights = _locate(
        ops.concatenate([screen[..., :2], attributes], -1), triangles, triangle_id
    )
    return Fragments(pixel, sum(corner[2:] * weight for corner, weight in zip(corners, weights)))


def _locate(table, triangles, triangle_id):
    """Where in its triangle each pixel centre lies: table [B, V, 2 + C] starts with x and y px.

    Returns:
      pixel [P]; the table at the three corners, three times [2 + C, P]; their weights, three times
      [P], linear in the image and with sum 1, 0 at the background.
    """
    _, height, width = ops.shape(triangle_id)
    image, row, column = _pixels_to_shade(triangle_id)
    pixel = (image * height + row) * width + column
    triangle = ops.take(ops.reshape(triangle_id, (-1,)), pixel, axis=0)
    seen = triangle >= 0
    vertices = ops.take(triangles, ops.maximum(triangle, 0), axis=0)
    first = image * ops.shape(table)[1]
    corners = [_columns_at(table, vertices[:, k] + first) for k in range(3)]
    x = [corner[0] - (ops.cast(column, "float32") + 0.5) for corner in corners]
    y = [corner[1] - (ops.cast(row, "float32") + 0.5) for corner in corners]
    areas = [x[i] * y[j] - y[i] * x[j] for j, i in ((1, 2), (2, 0), (0, 1))]
    total = ops.where(seen, areas[0] + areas[1] + areas[2], 1.0)
    scale = ops.where(seen, 1.0 / total, 0.0)
    return pixel, corners, [area * scale for area in areas]


def _pixels_to_shade(triangle_id):
    """Picture, row and column [P] of covered pixels; of all where shapes have to be static."""
    if dynamic_shapes():
        return ops.nonzero(triangle_id >= 0)
    images, height, width = triangle_id.shape
    pixel = ops.arange(images * height * width, dtype="int32")
    return pixel // (height * width), pixel // width % height, pixel % width


def _columns_at(attributes, vertex):
    """Attributes [B, V, C] at vertices [P], indices into all of the batch -> [C, P]."""
    flat = ops.reshape(attributes, (-1, attributes.shape[-1]))
    return transpose_list(ops.take(flat, vertex, axis=0))


def to_image(values, pixel, shape) -> Tensor:
    """Puts values [P, ...] at pixels [P] into images (B, H, W) -> [B, H, W, ...], else 0."""
    images, height, width = shape
    filled = ops.segment_sum(values, pixel, num_segments=images * height * width)
    return ops.reshape(filled, (images, height, width, *values.shape[1:]))


def barycentric(screen, triangles, triangle_id) -> Tensor:
    """Computes where in its triangle each pixel centre lies.

    Args:
      screen: [B, V, 3] as given to rasterize.
      triangles: [T, 3] int32.
      triangle_id: [B, H, W] int32 from rasterize.

    Returns:
      [B, H, W, 3] weights of the corners, linear in the image, sum 1; 0 at the background.
    """
    pixel, _, weights = _locate(screen, triangles, triangle_id)
    return to_image(ops.stack(weights, -1), pixel, ops.shape(triangle_id))


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
    images, count, channels = ops.shape(attributes)
    first = ops.arange(images, dtype="int32")[:, None, None, None] * count
    vertex = ops.take(triangles, ops.maximum(triangle_id, 0), axis=0) + first
    corners = ops.take(ops.reshape(attributes, (-1, channels)), vertex, axis=0)
    return sum(weights[..., k : k + 1] * corners[..., k, :] for k in range(3))
