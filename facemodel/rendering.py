"""Pictures of faces: frontal shading and mask for the network, and Phong photos."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from facemodel import camera, rasterizer
from facemodel.camera import Pose
from facemodel.geometry import FaceGeometry

SHININESS = 10.0
"""Phong exponent (paper section 6.1)."""


def vertex_normals(geometry: FaceGeometry, vertices):
    """Computes normals that point outwards, averaged over the triangles around each vertex by area.

    Args:
      geometry: of the face model.
      vertices: [B, V, 3] in any right-handed frame.

    Returns:
      [B, V, 3] unit vectors in that frame.
    """
    first, second, third = (ops.take(vertices, geometry.triangles[:, k], axis=1) for k in range(3))
    normals = _cross(second - first, third - first)
    normals = ops.pad(normals, [[0, 0], [0, 1], [0, 0]])
    around = sum(
        ops.take(normals, geometry.vertex_triangles[:, k], axis=1) for k in range(geometry.vertex_triangles.shape[1])
    )
    return _unit(around)


def render_shading(geometry: FaceGeometry, vertices, pose: Pose, *, size: int):
    """Renders what the network sees of the current geometry: frontal shading and mask.

    The light comes from the viewer, so shading is the third component of the unit normal in the camera frame.

    Args:
      geometry: of the face model.
      vertices: [B, V, 3] mm, model space.
      pose: of the faces in the image, [B, ...].
      size: px, side of the image.

    Returns:
      shading [B, S, S] in [0, 1], 0 outside the face; mask [B, S, S], 1 on the face and 0 outside.

    Source: paper section 5.1 and figure 3.
    """
    screen = camera.project(vertices, pose)
    triangle_id = rasterizer.rasterize(screen, geometry.triangles, height=size, width=size)
    weights = rasterizer.barycentric(screen, geometry.triangles, triangle_id)
    normals = ops.einsum("bij,bvj->bvi", pose.rotation, vertex_normals(geometry, vertices))
    normals = _unit(rasterizer.interpolate(normals, geometry.triangles, triangle_id, weights))
    mask = ops.cast(triangle_id >= 0, "float32")
    return ops.clip(normals[..., 2], 0.0, 1.0), mask


def _cross(a, b):
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return ops.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def _unit(vectors):
    return vectors / ops.sqrt(ops.maximum(ops.sum(vectors * vectors, -1, keepdims=True), 1e-20))
