"""Renders meshes for people to look at: smooth edges, any background."""

from __future__ import annotations

import cv2
import numpy as np

from facemodel.morphable.mesh import vertex_normals
from facemodel.rendering import rasterizer
from serving.reconstructor import project

SUPERSAMPLE = 2
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
    pixels, depth = project(vertices, rotation, scale, translation)
    screen = np.concatenate([pixels, depth[:, None]], 1)
    screen = (screen * (supersample, supersample, 1.0)).astype(np.float32)
    rows, columns = height * supersample, width * supersample
    identity = rasterizer.rasterize(screen[None], triangles, height=rows, width=columns)
    identity = np.asarray(identity)[0]
    row, column = np.nonzero(identity >= 0)
    corners = triangles[identity[row, column]]
    points = (np.stack([column, row], -1) + 0.5).astype(np.float32)
    weights = _barycentric(screen[corners, :2], points)
    samples = np.zeros((rows, columns, attributes.shape[1] + 1), np.float32)
    values = attributes.astype(np.float32)
    samples[row, column, :-1] = sum(weights[:, k, None] * values[corners[:, k]] for k in range(3))
    samples[row, column, -1] = 1.0
    cells = cv2.resize(samples, (width, height), interpolation=cv2.INTER_AREA)
    cover = cells[..., -1]
    return cells[..., :-1] / np.maximum(cover, 1e-6)[..., None], cover


def _barycentric(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Where points [P, 2] lie in triangles [P, 3, 2] -> weights [P, 3] that sum to 1."""
    x, y = ([corners[:, k, axis] - points[:, axis] for k in range(3)] for axis in range(2))
    areas = [x[i] * y[j] - y[i] * x[j] for i, j in ((1, 2), (2, 0), (0, 1))]
    return np.stack(areas, -1) / (areas[0] + areas[1] + areas[2])[:, None]


def headlight(normals: np.ndarray) -> np.ndarray:
    """Frontal shading [...] in [0, 1] of camera-frame normals [..., 3], as the network sees it."""
    return np.clip(_unit(normals)[..., 2], 0.0, 1.0)


def clay(normals: np.ndarray) -> np.ndarray:
    """Plaster under a soft light from above: camera-frame normals [..., 3] -> rgb [..., 3]."""
    normals = _unit(normals)
    key = np.clip(normals @ _unit(np.array([-0.45, 0.55, 0.75])), 0.0, 1.0)
    fill = np.clip(normals @ _unit(np.array([0.8, 0.1, 0.5])), 0.0, 1.0)
    rim = np.clip(1.0 - normals[..., 2], 0.0, 1.0) ** 3
    light = 0.24 + 0.78 * key + 0.18 * fill + 0.10 * rim
    return np.clip(light[..., None] * np.array(CLAY), 0.0, 1.0)


def camera_normals(vertices: np.ndarray, triangles: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """Unit normals [V, 3] of a mesh, turned into the camera frame."""
    return vertex_normals(vertices, triangles) @ rotation.T


def over(background: np.ndarray, colours: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Lays colours [H, W, 3] over a background [H, W, 3], both in [0, 1], where cover says."""
    return background * (1.0 - cover[..., None]) + colours * cover[..., None]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
