"""The photo of a face through tensorflow-graphics: the reference that data synthesis renders with.

Its transforms, camera, vertex normals, interpolation and reflectance, around this project's
z-buffer: its own compiled rasterizer does not load with current TensorFlow. rendering.render_photo
gives the same picture in keras.ops.
"""

from __future__ import annotations

import math

import tensorflow as tf
from tensorflow_graphics.geometry.representation.mesh import normals as mesh_normals
from tensorflow_graphics.geometry.transformation import rotation_matrix_3d
from tensorflow_graphics.rendering import framebuffer, interpolate
from tensorflow_graphics.rendering.camera import perspective
from tensorflow_graphics.rendering.reflectance import lambertian, phong

from facemodel import rasterizer
from facemodel.camera import Pose
from facemodel.geometry import FaceGeometry
from facemodel.rendering import SHININESS, Light


def render_photo_tfg(
    geometry: FaceGeometry,
    vertices,
    albedo,
    pose: Pose,
    light: Light,
    *,
    height: int,
    width: int,
    inverse_distance=None,
):
    """Renders a face as a photo, on black; the batch size must be static.

    Args:
      geometry: of the face model.
      vertices: [B, V, 3] mm, model space.
      albedo: [B, V, 3] in [0, 1].
      pose: of the faces in the image, [B, ...].
      light: of [B, ...] tensors.
      height: px.
      width: px.
      inverse_distance: [B] 1/mm, one over the camera's distance; None for weak perspective.

    Returns:
      rgb [B, H, W, 3] in [0, 1]; mask [B, H, W], 1 on the face and 0 outside.

    Source: paper section 6.1, eq. 4.
    """
    vertices = tf.convert_to_tensor(vertices)
    rotation = tf.convert_to_tensor(pose.rotation)[:, None]
    points = rotation_matrix_3d.rotate(vertices, rotation)
    screen = _project(points, pose, inverse_distance)
    pixels = _framebuffer(geometry, screen, height, width)
    triangles = tf.tile(geometry.triangles[None], [vertices.shape[0], 1, 1])
    normals = mesh_normals.vertex_normals(points, triangles, clockwise=True)
    attributes = tf.concat([normals, albedo], -1)
    attributes = interpolate.interpolate_vertex_attribute(attributes, pixels).value
    mask = pixels.foreground_mask
    # Where there is no face the normals are zero; any unit vector will do.
    normals = tf.where(mask > 0.0, tf.math.l2_normalize(attributes[..., :3], -1), [0.0, 0.0, 1.0])
    rgb = _reflect(normals, tf.clip_by_value(attributes[..., 3:], 0.0, 1.0), light)
    return tf.clip_by_value(rgb, 0.0, 1.0) * mask, mask[..., 0]


def _project(points, pose: Pose, inverse_distance):
    """[B, V, 3] points in the camera frame -> x px, y px and depth mm."""
    # A pinhole whose focal length is the scale, with depths in units of the camera's distance:
    # eq. 4 for an infinite one.
    depth = points[..., 2:]
    inverse = 0.0 if inverse_distance is None else tf.convert_to_tensor(inverse_distance)
    inverse = tf.reshape(inverse, [-1, 1, 1])
    point = tf.concat([points[..., :1], -points[..., 1:2], 1.0 - depth * inverse], -1)
    focal = tf.stack([pose.scale, pose.scale], -1)[:, None]
    pixel = perspective.project(point, focal, tf.convert_to_tensor(pose.translation)[:, None])
    return tf.concat([pixel, depth], -1)


def _framebuffer(geometry: FaceGeometry, screen, height: int, width: int):
    """Which triangle is seen at each pixel and where, in tensorflow-graphics' terms."""
    triangle = rasterizer.rasterize(screen, geometry.triangles, height=height, width=width)
    weights = rasterizer.barycentric(screen, geometry.triangles, triangle)
    seen = tf.maximum(triangle, 0)
    return framebuffer.Framebuffer(
        barycentrics=framebuffer.RasterizedAttribute(value=weights),
        triangle_id=seen[..., None],
        vertex_ids=tf.gather(geometry.triangles, seen),
        foreground_mask=tf.cast(triangle >= 0, tf.float32)[..., None],
    )


def _reflect(normals, albedo, light: Light):
    """Colours [B, H, W, 3] of unit normals and albedo under one light, seen from z.

    tensorflow-graphics' Lambert is a BRDF, albedo / pi; its light would carry a pi of its own. Here
    a light of strength 1 that falls on a surface squarely shows its albedo, so the pi is multiplied
    back in. Its Phong is used as Phong wrote it, without energy normalisation: the brightest point
    of a highlight equals the specular strength.
    """
    ambient, diffuse, specular = (
        tf.reshape(tf.convert_to_tensor(value), [-1, 1, 1, 1]) for value in light[:3]
    )
    to_light = tf.convert_to_tensor(light.direction)[:, None, None, :]
    to_viewer = tf.constant([0.0, 0.0, 1.0])[None, None, None, :]
    facing = tf.maximum(tf.reduce_sum(normals * to_light, -1, keepdims=True), 0.0)
    matte = math.pi * lambertian.brdf(-to_light, to_viewer, normals, albedo)
    shininess, white = tf.constant([[[[SHININESS]]]]), tf.ones([1, 1, 1, 3])
    gloss = phong.brdf(-to_light, to_viewer, normals, shininess, white, brdf_normalization=False)
    return albedo * ambient + diffuse * facing * matte + specular * gloss
