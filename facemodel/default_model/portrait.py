"""Small pictures of a mesh, good enough for a landmark detector."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from facemodel.default_model import zbuffer
from facemodel.morphable.mesh import vertex_normals

_LIGHT = np.array([0.0, 0.4, 1.0])
_AMBIENT, _DIFFUSE = 0.5, 0.5
_BACKGROUND = 0.5


class Frame(NamedTuple):
    """What a picture shows.

    Attributes:
      centre: (x, y, z) mm, model space: the middle of the picture, and the axis of turns.
      mm_per_px: scale.
    """

    centre: tuple[float, float, float] = (0.0, -28.0, -30.0)
    mm_per_px: float = 0.55


DEFAULT_FRAME = Frame()
"""The default model's mean face."""


@dataclasses.dataclass(frozen=True, eq=False)
class Portrait:
    """A picture and what is seen in each of its pixels.

    Attributes:
      image: [S, S, 3] uint8 sRGB.
      triangle_ids: [S, S], -1 for background.
      corners: [T, 3, 3] the triangles' corners on the screen (x px, y px, depth mm).
      mm_per_px: scale.
    """

    image: np.ndarray
    triangle_ids: np.ndarray
    corners: np.ndarray
    mm_per_px: float


def render_portrait(
    vertices: np.ndarray,
    triangles: np.ndarray,
    colours: np.ndarray,
    *,
    yaw: float = 0.0,
    pitch: float = 0.0,
    size: int = 512,
    frame: Frame = DEFAULT_FRAME,
) -> Portrait:
    """Draws a mesh under a lamp, with an orthographic camera.

    Args:
      vertices: [V, 3] mm, model space.
      triangles: [T, 3].
      colours: [V, 3] sRGB in [0, 1].
      yaw: turn of the head about y, degrees.
      pitch: then about x, degrees.
      size: S, px.
      frame: what the picture shows.
    """
    mm_per_px = frame.mm_per_px
    turned = (vertices - np.array(frame.centre)) @ zbuffer.rotation_deg(yaw, pitch).T
    screen = zbuffer.to_screen(turned, mm_per_px=mm_per_px, size=size)
    corners = screen[triangles]
    ids = zbuffer.triangle_ids(screen, triangles, height=size, width=size)
    rows, columns = np.nonzero(ids >= 0)
    seen = ids[rows, columns]
    weights = zbuffer.barycentric(np.stack([columns, rows], axis=1) + 0.5, corners[seen])
    normals = _mix(vertex_normals(turned, triangles), triangles[seen], weights)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    lamp = _LIGHT / np.linalg.norm(_LIGHT)
    brightness = _AMBIENT + _DIFFUSE * np.clip(normals @ lamp, 0, 1)
    picture = np.full((size, size, 3), _BACKGROUND)
    picture[rows, columns] = _mix(colours, triangles[seen], weights) * brightness[:, None]
    image = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    return Portrait(image=image, triangle_ids=ids, corners=corners, mm_per_px=mm_per_px)


def _mix(values: np.ndarray, corners: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return (values[corners] * weights[..., None]).sum(1)
