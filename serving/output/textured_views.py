"""Pictures of a textured mesh, under the light of its photo or under lamps."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from facemodel.detail.surface import linear_from_srgb
from serving.output.lights import Light, light_reach
from serving.output.textured_mesh import TexturedMesh
from serving.output.views import View, fetch, reduced

AMBIENT = (0.10, 0.105, 0.115)
"""Linear light from everywhere in relit pictures; the lower half of it comes up only in part."""
GLOSS = (0.045, 0.12, 0.12, 0.25, 0.55, 0.55)
"""Strength of highlights on each region: skin, mouth, tongue, teeth and the two eyes."""
SHARPNESS = (14.0, 40.0, 40.0, 60.0, 160.0, 160.0)
"""Exponents of those highlights (Blinn)."""
_ROOT_STEPS = 4095
_TO_VIEWER = np.array([0, 0, 1], np.float32)


def surface_normals(
    view: View, mesh: TexturedMesh, rotation: np.ndarray, *, detail: bool = True
) -> np.ndarray:
    """Unit normals at the samples, with the mesh's normal map if it has one.

    Args:
      view: of the mesh.
      mesh: [V] vertices.
      rotation: [3, 3] camera_from_model.
      detail: use the normal map.

    Returns:
      float32 [3, P], camera frame.
    """
    normals = _unit(view.interpolate(mesh.normals @ rotation.T, mesh.triangles))
    if mesh.normal_map is None or not detail:
        return normals
    corners = mesh.corners
    turned = np.column_stack([mesh.tangents[:, :3] @ rotation.T, mesh.tangents[:, 3:]])
    tangents = view.interpolate(turned, corners.triangles)
    along_u = _unit(tangents[:3])
    along_v = np.sign(tangents[3]) * _cross(normals, along_u)
    places = view.interpolate(corners.uv, corners.triangles)
    found = fetch(reduced(mesh.normal_map, view, mesh), places)
    x, y, z = found.astype(np.float32) * np.float32(2 / 255) - 1
    return _unit(x * along_u + y * along_v + z * normals)


def photographed(
    view: View, mesh: TexturedMesh, rotation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The texture as it is, a little darker where the surface turns away.

    Args:
      view: of the mesh.
      mesh: [V] vertices; its normal map is left out, as its shades are in the photo already.
      rotation: [3, 3] camera_from_model.

    Returns:
      sRGB [height, width, 3] in [0, 1], and cover [height, width].
    """
    towards = view.interpolate((mesh.normals @ rotation.T)[:, 2:], mesh.triangles)[0]
    light = np.float32(0.72) + np.float32(0.28) * np.clip(towards, 0.0, 1.0)
    colours = _texels(view, mesh, mesh.texture).astype(np.float32)
    return view.picture(colours * (light / np.float32(255)))


def relit(
    view: View,
    mesh: TexturedMesh,
    rotation: np.ndarray,
    lights: Sequence[Light],
    *,
    normals: np.ndarray | None = None,
    albedo: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The mesh under lamps, with highlights and its own shadows.

    Args:
      view: of the mesh.
      mesh: [V] vertices.
      rotation: [3, 3] camera_from_model.
      lights: lamps in the camera frame.
      normals: [3, P] surface_normals, if they have been computed already.
      albedo: uint8 [S, S, 3] texture without light; the mesh's own texture if None.

    Returns:
      sRGB [height, width, 3] in [0, 1], and cover [height, width].
    """
    if normals is None:
        normals = surface_normals(view, mesh, rotation)
    matte, gloss = _reflections(view, mesh, rotation, lights, normals)
    texels = _texels(view, mesh, mesh.texture if albedo is None else albedo)
    colours, cover = view.picture(_linear_table()[texels] * matte + gloss)
    return srgb_from_linear(colours), cover


def _texels(view, mesh, texture):
    """uint8 [3, P] of a texture at the samples."""
    return fetch(reduced(texture, view, mesh), view.interpolate(mesh.uv, mesh.uv_triangles))


def _reflections(view, mesh, rotation, lights, normals):
    """Linear light [3, P] on a white matte surface, and what is mirrored of lamps with shadows."""
    shine = _gloss(view, mesh)
    sky = np.float32(0.75) + np.float32(0.25) * normals[1]
    matte = np.array(AMBIENT, np.float32)[:, None] * sky
    gloss = np.zeros_like(matte)
    for light in lights:
        direction = np.array(light.direction, np.float32)
        facing = np.maximum(direction @ normals, 0)
        if light.shadows:
            reach = _reach(mesh, rotation.T @ direction)
            facing *= view.interpolate(reach[:, None], mesh.triangles)[0]
        colour = np.array(light.colour, np.float32)[:, None]
        matte += colour * facing
        if light.shadows:
            gloss += colour * _highlight(normals, direction, *shine) * np.minimum(4 * facing, 1)
    return matte, gloss


def _highlight(normals, direction, strength, sharpness):
    """[P] of what a surface mirrors of a lamp (Blinn)."""
    halfway = _unit(direction + _TO_VIEWER)
    return strength * np.exp(sharpness * np.log(np.maximum(halfway @ normals, np.float32(1e-3))))


def _reach(mesh, direction):
    return light_reach(mesh.vertices, mesh.triangles, mesh.normals, direction)


def _gloss(view, mesh):
    """Strength and exponent of highlights at the samples, [P] each."""
    first = mesh.triangles[:, 0].take(view.triangle)
    region = np.minimum(np.asarray(mesh.regions).take(first), len(GLOSS) - 1)
    return np.array(GLOSS, np.float32)[region], np.array(SHARPNESS, np.float32)[region]


@functools.cache
def _linear_table() -> np.ndarray:
    """Linear light [256] of sRGB values (IEC 61966-2-1)."""
    return linear_from_srgb(np.arange(256) / 255.0).astype(np.float32)


@functools.cache
def _srgb_table() -> np.ndarray:
    """sRGB values of linear light, in even steps of its square root."""
    linear = (np.arange(_ROOT_STEPS + 1) / _ROOT_STEPS) ** 2
    values = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return values.astype(np.float32)


def srgb_from_linear(light: np.ndarray) -> np.ndarray:
    """Linear light to sRGB in [0, 1] by a table; what is brighter than white is white."""
    steps = np.sqrt(np.clip(light, 0.0, 1.0)) * np.float32(_ROOT_STEPS)
    return _srgb_table()[np.rint(steps).astype(np.intp)]


def _unit(vectors):
    """Vectors [3, P] at length 1."""
    squared = vectors[0] * vectors[0] + vectors[1] * vectors[1] + vectors[2] * vectors[2]
    return vectors / np.sqrt(np.maximum(squared, np.float32(1e-18)))


def _cross(a, b):
    pairs = ((1, 2), (2, 0), (0, 1))
    return np.stack([a[i] * b[j] - a[j] * b[i] for i, j in pairs])
