"""The photo of a face through tensorflow-graphics: what data synthesis renders with.

Its transforms, camera, normals, interpolation and reflectance, around this project's z-buffer: its
own compiled rasterizer does not load with current TensorFlow. Everything is shaded only at the
pixels that a face covers, and XLA compiles its small ops into a few loops.
shading.render_photo gives the same image in keras.ops.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import math
import sys
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import tensorflow as tf

from facemodel.backend import Tensor
from facemodel.camera import Pose
from facemodel.morphable.geometry import Surface
from facemodel.rendering import numpy_rasterizer
from facemodel.rendering.shading import SHININESS, Light


@contextlib.contextmanager
def _short_stack() -> Iterator[None]:
    """Lets inspect.stack() give no more than its caller and the caller of that.

    tensorflow-graphics asks it who imports, in each of its modules, and looks at the second only.
    The real one finds file, module and lines of source of all frames, and for each looks through
    all modules that are loaded: under pytest, with TFX, that takes half a minute.
    """
    stack = inspect.stack
    inspect.stack = cast(Any, lambda: [(sys._getframe(1),), (sys._getframe(2),)])
    try:
        yield
    finally:
        inspect.stack = stack


with _short_stack():
    from tensorflow_graphics.geometry.representation.mesh import normals as mesh_normals
    from tensorflow_graphics.geometry.transformation import rotation_matrix_3d
    from tensorflow_graphics.math import spherical_harmonics
    from tensorflow_graphics.math.interpolation import weighted
    from tensorflow_graphics.rendering.camera import perspective
    from tensorflow_graphics.rendering.reflectance import lambertian, phong

_CHUNK = 16_384
"""So many pixels are shaded at a time: XLA and tensorflow-graphics want to know how many."""


def render_photo_tfg(
    surface: Surface,
    vertices,
    albedo,
    pose: Pose,
    light: Light,
    *,
    height: int,
    width: int,
    inverse_distance=None,
    environment=None,
    lit=None,
) -> tuple[Tensor, Tensor]:
    """Renders a face as a photo, on black; the batch size must be static.

    Arguments and results are those of shading.render_photo.

    Source: paper section 6.1, eq. 4.
    """
    vertices, albedo = tf.convert_to_tensor(vertices), tf.convert_to_tensor(albedo)
    pose, light = tf.nest.map_structure(tf.convert_to_tensor, (pose, light))
    inverse = tf.zeros_like(pose.scale) if inverse_distance is None else inverse_distance
    screen, normals = _surface(
        vertices, pose, tf.convert_to_tensor(inverse), surface.triangles, surface.vertex_triangles
    )
    pixel, triangle, slot = tf.numpy_function(
        _rasterize,
        [screen, surface.triangles, height, width],
        (tf.int32, tf.int32, tf.int32),
        stateful=False,
    )
    chunks = [tf.ensure_shape(part, (None, _CHUNK)) for part in (pixel, triangle)]
    columns = {"pixel": screen[..., :2], "normal": normals, "albedo": albedo}
    if environment is not None:
        columns["surround"] = _irradiance(environment, normals)
    if lit is not None:
        columns["lit"] = lit[..., None]
    layout = tuple((name, part.shape[-1]) for name, part in columns.items())
    table = tf.reshape(tf.concat([*columns.values()], -1), (-1, sum(size for _, size in layout)))
    fixed = {"height": height, "width": width, "layout": layout}
    rgb = tf.map_fn(
        lambda chunk: _shade(table, light, surface.triangles, *chunk, **fixed),
        chunks,
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec((_CHUNK, 3), tf.float32),
    )
    return _place(rgb, tf.ensure_shape(slot, (vertices.shape[0], height, width)))


@tf.function(autograph=False, jit_compile=True)
def _surface(vertices, pose: Pose, inverse, triangles, vertex_triangles):
    """[B, V, 3] x px, y px and depth mm; and [B, V, 3] unit normals, camera frame."""
    points = rotation_matrix_3d.rotate(vertices, pose.rotation[:, None])
    # A pinhole whose focal length is the scale, with depths in units of the camera's distance:
    # eq. 4 for an infinite one.
    depth = points[..., 2:]
    point = tf.concat(
        [points[..., :1], -points[..., 1:2], 1.0 - depth * inverse[:, None, None]], -1
    )
    focal = tf.stack([pose.scale, pose.scale], -1)[:, None]
    pixel = perspective.project(point, focal, pose.translation[:, None])
    return tf.concat([pixel, depth], -1), _vertex_normals(points, triangles, vertex_triangles)


def _vertex_normals(points, triangles, vertex_triangles):
    """tensorflow-graphics' mesh_normals.vertex_normals, summed by gathering.

    It adds each triangle's normal to its vertices by a scatter, which alone would take three times
    as long as everything here.
    """
    indices = tf.tile(triangles[None], [points.shape[0], 1, 1])
    corners = mesh_normals.gather_faces(points, indices)
    normals = mesh_normals.face_normals(corners, clockwise=True, normalize=False)
    normals = tf.pad(normals, [[0, 0], [0, 1], [0, 0]])
    around = tf.unstack(vertex_triangles, axis=1)
    summed = tf.add_n([tf.gather(normals, triangle, axis=1) for triangle in around])
    return tf.math.l2_normalize(summed, -1)


@tf.function(autograph=False, jit_compile=True)
def _irradiance(environment, normals):
    """lighting.irradiance, with tensorflow-graphics' spherical harmonics."""
    return tf.maximum(_products(normals) @ (_harmonics_of_products() @ environment), 0.0)


def _products(normals):
    """Nine products of coordinates [..., 3] that span the harmonics of bands 0 to 2: [..., 9]."""
    x, y, z = tf.unstack(normals, axis=-1)
    return tf.stack([tf.ones_like(x), x, y, z, x * y, y * z, z * x, x * x, y * y], -1)


@functools.cache
def _harmonics_of_products() -> np.ndarray:
    """[9, 9] such that harmonics = products @ this, from tensorflow-graphics' in nine directions.

    Its own evaluation at each vertex would take longer than the whole image.
    """
    with tf.init_scope():
        directions = np.random.default_rng(0).normal(size=(9, 3))
        directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
        polar = np.arccos(directions[:, 2:])
        around = np.arctan2(directions[:, 1:2], directions[:, :1]) % (2.0 * np.pi)
        degree, order = spherical_harmonics.generate_l_m_permutations(2)
        degree, order = (tf.tile(part[None], (9, 1)) for part in (degree, order))
        values = spherical_harmonics.evaluate_spherical_harmonics(degree, order, polar, around)
        products = _products(tf.constant(directions))
        return np.linalg.solve(products.numpy(), values.numpy()).astype(np.float32)


def _rasterize(screen, triangles, height, width):
    """Lists the pixels that faces cover, the last chunk filled up.

    Returns:
      pixel [N, _CHUNK] int32 into all B * H * W, triangle [N, _CHUNK] int32; and slot [B, H, W]
      int32, one more than a pixel's place in the list, 0 at the background.
    """
    found = [
        numpy_rasterizer.rasterize_numpy(each, triangles, height=int(height), width=int(width))
        for each in screen
    ]
    counts = [len(pixel) for pixel, _ in found]
    total = sum(counts)
    pixel, triangle = np.zeros((2, max(-(-total // _CHUNK), 1) * _CHUNK), np.int32)
    pixel[:total] = np.concatenate(
        [mine + k * height * width for k, (mine, _) in enumerate(found)], dtype=np.int32
    )
    triangle[:total] = np.concatenate([mine for _, mine in found])
    slot = np.zeros((len(screen), height, width), np.int32)
    slot.reshape(-1)[pixel[:total]] = np.arange(1, total + 1, dtype=np.int32)
    return pixel.reshape(-1, _CHUNK), triangle.reshape(-1, _CHUNK), slot


@tf.function(autograph=False, jit_compile=True)
def _shade(table, light: Light, triangles, pixel, triangle, *, height, width, layout):
    """Colours [P, 3] of pixels [P] by what they see of their triangles [P].

    The columns of table [B * V, C], in the order and with the widths of layout, hold x and y px,
    normal, albedo and perhaps what light reaches the vertices.
    """
    image = pixel // (height * width)
    first = image * (table.shape[0] // light.ambient.shape[0])
    corners = tf.gather(triangles, triangle) + first[:, None]
    centre = tf.cast(tf.stack([pixel % width, pixel // width % height], -1), tf.float32) + 0.5
    weights = _weights(_named(tf.gather(table, corners), layout)["pixel"] - centre[:, None])
    values = weighted.interpolate(table, weights, corners[..., None], normalize=False)
    seen = {"surround": 1.0, "lit": 1.0} | _named(values, layout)
    normal = tf.math.l2_normalize(seen["normal"], -1)
    albedo = tf.clip_by_value(seen["albedo"], 0.0, 1.0)
    each = tf.nest.map_structure(lambda part: tf.gather(part, image), light)
    rgb = _reflect(normal, albedo, each, seen["surround"], seen["lit"])
    return tf.clip_by_value(rgb, 0.0, 1.0)


def _named(values, layout):
    """Columns [..., C] by their names."""
    names, sizes = zip(*layout)
    return dict(zip(names, tf.split(values, sizes, -1)))


def _weights(corners):
    """[P, 3] where the origin lies between the corners [P, 3, 2] of triangles; sum 1."""
    x, y = corners[..., 0], corners[..., 1]
    areas = tf.stack(
        [y[:, i] * x[:, j] - x[:, i] * y[:, j] for i, j in ((1, 2), (2, 0), (0, 1))], -1
    )
    total = tf.reduce_sum(areas, -1, keepdims=True)
    return areas / tf.where(total == 0.0, 1.0, total)  # 0 only where the list is filled up


@tf.function(autograph=False, jit_compile=True)
def _place(rgb, slot):
    """Puts colours [N, _CHUNK, 3] into images; and their mask."""
    table = tf.concat([tf.zeros((1, 3)), tf.reshape(rgb, (-1, 3))], 0)
    return tf.gather(table, slot), tf.cast(slot > 0, tf.float32)


def _reflect(normals, albedo, light: Light, surround, lit):
    """Colours [P, 3] of unit normals and albedo, each under its own light, seen from z.

    tensorflow-graphics' Lambert is a BRDF, albedo / pi; its light would carry a pi of its own. Here
    a light of strength 1 that falls on a surface squarely shows its albedo, so the pi is multiplied
    back in. Its Phong is used as Phong wrote it, without energy normalisation: the brightest point
    of a highlight equals the specular strength.
    """
    ambient, diffuse, specular = (
        part[:, None] for part in (light.ambient, light.diffuse, light.specular)
    )
    to_viewer = tf.constant([[0.0, 0.0, 1.0]])
    facing = tf.maximum(tf.reduce_sum(normals * light.direction, -1, keepdims=True), 0.0)
    matte = math.pi * lambertian.brdf(-light.direction, to_viewer, normals, albedo)
    shininess, white = tf.constant([[SHININESS]]), tf.ones([1, 3])
    gloss = phong.brdf(
        -light.direction, to_viewer, normals, shininess, white, brdf_normalization=False
    )
    return albedo * ambient * surround + lit * (diffuse * facing * matte + specular * gloss)
