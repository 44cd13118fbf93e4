"""Renders meshes for people to look at: smooth edges, any background."""

from __future__ import annotations

import numpy as np

from facemodel.morphable.mesh import vertex_normals
from facemodel.vectors import unit
from serving.output.views import SUPERSAMPLE, look

CLAY = (0.97, 0.95, 0.92)


def render_attributes(
    vertices: np.ndarray,
    triangles: np.ndarray,
    attributes: np.ndarray,
    *,
    rotation: np.ndarray,
    scale: float,
    translation: np.ndarray,
    height: int,
    width: int,
    supersample: int = SUPERSAMPLE,
) -> tuple[np.ndarray, np.ndarray]:
    """Renders attributes of vertices as the camera sees them.

    Args:
      vertices: [V, 3] mm, model space.
      triangles: [T, 3].
      attributes: [V, C].
      rotation: [3, 3] camera_from_model.
      scale: px/mm.
      translation: [2] px, where the model's origin lands.
      height: px of the picture.
      width: px of the picture.
      supersample: samples along each side of a pixel.

    Returns:
      The attributes [height, width, C], averaged over the part of the pixel that the face covers,
      and that part, [height, width] in [0, 1].
    """
    view = look(
        vertices,
        triangles,
        rotation=rotation,
        scale=scale,
        translation=translation,
        height=height,
        width=width,
        samples=supersample,
    )
    return view.picture(view.interpolate(attributes, triangles))


def headlight(normals: np.ndarray) -> np.ndarray:
    """Frontal shading [...] in [0, 1] of camera-frame normals [..., 3], as the network sees it."""
    return np.clip(unit(normals)[..., 2], 0.0, 1.0)


def clay(normals: np.ndarray) -> np.ndarray:
    """Plaster under a soft light from above: camera-frame normals [..., 3] -> rgb [..., 3]."""
    normals = unit(normals)
    key = np.clip(normals @ unit(np.array([-0.45, 0.55, 0.75], np.float32)), 0.0, 1.0)
    fill = np.clip(normals @ unit(np.array([0.8, 0.1, 0.5], np.float32)), 0.0, 1.0)
    rim = np.clip(1.0 - normals[..., 2], 0.0, 1.0) ** 3
    light = 0.24 + 0.78 * key + 0.18 * fill + 0.10 * rim
    return np.clip(light[..., None] * np.array(CLAY, light.dtype), 0.0, 1.0)


def camera_normals(vertices: np.ndarray, triangles: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Unit normals [V, 3] of a mesh, turned into the camera frame."""
    return vertex_normals(vertices, triangles) @ rotation.T


def over(background: np.ndarray, colours: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Lays colours [H, W, 3] over a background [H, W, 3], both in [0, 1], where cover says."""
    return background * (1.0 - cover[..., None]) + colours * cover[..., None]
