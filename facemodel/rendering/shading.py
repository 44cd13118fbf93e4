"""Pictures of faces: frontal shading and mask for the network, and Phong photos."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from facemodel import camera
from facemodel.backend import Tensor, transpose_list
from facemodel.camera import Pose
from facemodel.morphable.geometry import Surface
from facemodel.rendering import rasterizer
from facemodel.rendering.lighting import irradiance

SHININESS = 10.0
"""Phong exponent (paper section 6.1)."""
_TINY = 1e-20


class Light(NamedTuple):
    """One directional light and how strongly it acts (paper section 6.1).

    Attributes:
      ambient: [B] share of the albedo that is seen everywhere.
      diffuse: [B] share added where the light falls on the surface squarely.
      specular: [B] brightness of the highlight, white.
      direction: [B, 3] unit vectors towards the light, camera frame (x right, y up, z to the
        viewer).
    """

    ambient: Any
    diffuse: Any
    specular: Any
    direction: Any


def vertex_normals(surface: Surface, vertices) -> Tensor:
    """Computes normals that point outwards, averaged over the triangles around each vertex by area.

    Args:
      surface: Mesh of the face model.
      vertices: [B, V, 3] in any right-handed frame.

    Returns:
      [B, V, 3] unit vectors in that frame.
    """
    corners = rasterizer.triangle_corners(vertices, surface.triangles)
    return _unit(_summed_normals(surface, corners))


def _summed_normals(surface: Surface, corners):
    """[B, V, 3] sums of the normals of the triangles around each vertex, by area."""
    first, second, third = corners
    normals = ops.pad(_cross(second - first, third - first), [[0, 0], [0, 1], [0, 0]])
    around = [surface.vertex_triangles[:, k] for k in range(surface.vertex_triangles.shape[1])]
    return sum(ops.take(normals, triangle, axis=1) for triangle in around)


def render_shading(surface: Surface, vertices, pose: Pose, *, size: int) -> tuple[Tensor, Tensor]:
    """Renders what the network sees of the current estimate: frontal shading and mask.

    The light comes from the viewer, so shading is the third component of the unit normal in the
    camera frame.

    Args:
      surface: Mesh of the face model.
      vertices: [B, V, 3] mm, model space.
      pose: Poses [B, ...] of the faces in the image.
      size: Side of the image, px.

    Returns:
      shading [B, S, S] in [0, 1], 0 outside the face; mask [B, S, S], 1 on the face and 0 outside.

    Source: paper section 5.1 and figure 3.
    """
    screen = camera.project(vertices, pose)
    corners = rasterizer.triangle_corners(screen, surface.triangles)
    triangle_id = rasterizer.rasterize_corners(corners, height=size, width=size)
    normals = _normals_on_screen(surface, corners, pose.scale)
    pixel, normals = rasterizer.sample(screen, normals, surface.triangles, triangle_id)
    length = ops.sqrt(ops.maximum(ops.sum(normals * normals, 0), _TINY))
    shading = ops.maximum(normals[2] / length, 0.0)
    mask = ops.cast(triangle_id >= 0, "float32")
    return rasterizer.to_image(shading, pixel, ops.shape(triangle_id)), mask


def _normals_on_screen(surface: Surface, corners, scale):
    """Unit normals [B, V, 3] in the camera frame from corners on the screen, weak perspective.

    The camera frame in pixels is diag(1, -1, scale) times screen space, so cross products change by
    its cofactors.
    """
    cofactors = ops.stack([-scale, scale, -ops.ones_like(scale)], -1)
    return _unit(_summed_normals(surface, corners) * cofactors[:, None, :])


def phong(
    normals, albedo, light: Light, *, shininess: float = SHININESS, surround=1.0, lit=1.0
) -> Tensor:
    """Computes colours by Phong's formula, seen from z.

    albedo (ambient + diffuse max(n.l, 0)) + specular max(r.v, 0)^shininess where n.l > 0, with
    r = 2 (n.l) n - l and v = (0, 0, 1). There is no 1 / pi in it.

    Args:
      normals: [B, H, W, 3] unit vectors, camera frame.
      albedo: [B, H, W, 3] in [0, 1].
      light: Lights [B, ...].
      shininess: exponent of the highlight.
      surround: [B, H, W, 3] factor of the ambient light.
      lit: [B, H, W, 1] factor of the directional light.

    Returns:
      [B, H, W, 3] in [0, 1].

    Source: paper section 6.1.
    """
    ambient, diffuse, specular = (
        value[:, None, None, None] for value in (light.ambient, light.diffuse, light.specular)
    )
    direction = light.direction[:, None, None, :]
    facing = ops.maximum(ops.sum(normals * direction, -1, keepdims=True), 0.0)
    mirrored = ops.maximum(2.0 * facing * normals[..., 2:] - direction[..., 2:], 0.0)
    highlight = ops.where(facing > 0.0, mirrored**shininess, 0.0)
    matte = albedo * (ambient * surround + diffuse * facing * lit)
    return ops.clip(matte + specular * highlight * lit, 0.0, 1.0)


def render_photo(
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
    """Renders a face as a photo, on black.

    Args:
      surface: Mesh of the face model.
      vertices: [B, V, 3] mm, model space.
      albedo: [B, V, 3] in [0, 1].
      pose: Poses [B, ...] of the faces in the image.
      light: Lights [B, ...].
      height: Height of the image, px.
      width: Width of the image, px.
      inverse_distance: [B] 1/mm, one over the camera's distance; None for weak perspective.
      environment: [B, 9, 3] spherical harmonics of the ambient light's irradiance, from
        scenes.sample_environment; None = 1 everywhere.
      lit: [B, V] factor of the directional light; None = 1 everywhere.

    Returns:
      rgb [B, H, W, 3] in [0, 1]; mask [B, H, W], 1 on the face and 0 outside.

    Source: paper section 6.1, eq. 4.
    """
    screen = camera.project(vertices, pose, inverse_distance=inverse_distance)
    triangle_id = rasterizer.rasterize(screen, surface.triangles, height=height, width=width)
    normals = ops.einsum("bij,bvj->bvi", pose.rotation, vertex_normals(surface, vertices))
    attributes = ops.concatenate([normals, albedo, *_reaching(normals, environment, lit)], -1)
    pixel, values = rasterizer.sample(screen, attributes, surface.triangles, triangle_id)
    pixels = rasterizer.to_image(transpose_list(values), pixel, ops.shape(triangle_id))
    mask = ops.cast(triangle_id >= 0, "float32")
    normals, albedo, *reaching = _split(pixels, albedo.shape[-1], environment, lit)
    rgb = phong(_unit(normals), albedo, light, surround=reaching[0], lit=reaching[1])
    return rgb * mask[..., None], mask


def _reaching(normals, environment, lit):
    """What light reaches vertices, as attributes to interpolate; nothing for what is not given."""
    found = [] if environment is None else [irradiance(environment, normals)]
    return found if lit is None else [*found, lit[..., None]]


def _split(attributes, channels: int, environment, lit):
    """Interpolated attributes as normals, albedo, and the factors of ambient and other light."""
    rest = attributes[..., 3 + channels :]
    surround = 1.0 if environment is None else rest[..., :channels]
    return (
        attributes[..., :3],
        attributes[..., 3 : 3 + channels],
        surround,
        1.0 if lit is None else rest[..., -1:],
    )


def _cross(a, b):
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    components = ops.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])
    # Much faster on TensorFlow's CPU than to stack along the last axis.
    return ops.transpose(components, (1, 2, 0))


def _unit(vectors):
    return vectors / ops.sqrt(ops.maximum(ops.sum(vectors * vectors, -1, keepdims=True), _TINY))
