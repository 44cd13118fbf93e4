"""Lamps for pictures of a mesh, and the shadows that it casts on itself."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from facemodel.rendering.numpy_rasterizer import barycentric, rasterize_numpy

_MAP_PX, _MARGIN_PX = 320, 8
_BIAS_MM, _STEEPEST = 1.5, np.float32(0.25)
_TAPS_PX = (-4.2, -1.4, 1.4, 4.2)
_PENUMBRA_PX = np.array([(x, y) for x in _TAPS_PX for y in _TAPS_PX], np.float32)
"""About as wide as triangles are, or shadows would end in their corners."""


WARM, COOL = (1.02, 0.95, 0.86), (0.10, 0.13, 0.18)


class Light(NamedTuple):
    """A lamp far away.

    Attributes:
      direction: towards the lamp, unit, camera frame (x right, y up, z to the viewer).
      colour: linear rgb that it adds to a white surface that faces it.
      shadows: Whether the surface casts them.
    """

    direction: tuple[float, float, float]
    colour: tuple[float, float, float]
    shadows: bool = True


def lamp(azimuth_deg: float, elevation_deg: float, colour, *, shadows: bool = True) -> Light:
    """A lamp that far to the right of the camera and above it."""
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    level = math.cos(elevation)
    direction = (level * math.sin(azimuth), math.sin(elevation), level * math.cos(azimuth))
    return Light(direction, tuple(colour), shadows)


def two_lights(
    azimuth_deg: float, elevation_deg: float = 22.0, *, exposure: float = 1.0
) -> tuple[Light, Light]:
    """A warm lamp at this place, and a faint cool one on the other side, both times exposure."""
    warm, cool = (tuple(exposure * c for c in colour) for colour in (WARM, COOL))
    key = lamp(azimuth_deg, elevation_deg, warm)
    fill = lamp(-azimuth_deg - math.copysign(15, azimuth_deg), 5.0, cool, shadows=False)
    return key, fill


def light_reach(
    vertices: np.ndarray, triangles: np.ndarray, normals: np.ndarray, direction: np.ndarray
) -> np.ndarray:
    """How much of a lamp each vertex sees past the rest of the mesh.

    Args:
      vertices: [V, 3] mm.
      triangles: [T, 3].
      normals: [V, 3] unit.
      direction: [3] unit, towards the lamp, in the frame of the vertices.

    Returns:
      float32 [V] in [0, 1], soft at the shadows' edges. Whether the surface faces the lamp is left
      to shading.

    Source: Williams, "Casting curved shadows on curved surfaces", 1978; Reeves et al., "Rendering
    antialiased shadows with depth maps", 1987.
    """
    frame = _lamp_frame(direction)
    # A little above the surface, or it would shade itself where light grazes it.
    above = vertices + _BIAS_MM * normals
    low, zoom = _fit(np.concatenate([vertices, above]) @ frame[:2].T)
    to_map = np.diag([zoom, zoom, 1.0]) @ frame
    shift = np.array([*(_MARGIN_PX - zoom * low), 0.0])
    nearest = _depth_map(np.float32(vertices @ to_map.T + shift), triangles)
    places = np.float32(above @ to_map.T + shift)
    slopes = _slopes(normals @ frame.T) / np.float32(zoom)
    lit = np.zeros(len(vertices), np.float32)
    x, y, depth = np.ascontiguousarray(places.T)
    for right, down in _PENUMBRA_PX:
        cell = (y + down).astype(np.intp) * _MAP_PX + (x + right).astype(np.intp)
        expected = depth + right * slopes[:, 0] + down * slopes[:, 1]
        lit += expected >= nearest.take(cell)
    return lit / np.float32(len(_PENUMBRA_PX))


def _lamp_frame(direction):
    """[3, 3] rows: two directions across, and the one towards the lamp."""
    across = np.cross((0.0, 1.0, 0.0), direction)
    if np.linalg.norm(across) < 1e-6:
        across = np.array([1.0, 0.0, 0.0])
    across = across / np.linalg.norm(across)
    # Turned so that triangles that face the lamp go round as the rasterizer expects, y down.
    return np.stack([across, -np.cross(direction, across), direction])


def _fit(places):
    """The lowest of places [N, 2] mm, and px/mm at which all of them fit the map."""
    return places.min(0), (_MAP_PX - 2 * _MARGIN_PX) / np.ptp(places, axis=0).max()


def _slopes(normals):
    """How depth changes across the surface, [V, 2], from normals in the lamp's frame."""
    return -np.float32(normals[:, :2]) / np.maximum(np.float32(normals[:, 2:]), _STEEPEST)


def _depth_map(screen, triangles):
    """[S * S] depth, mm, of the nearest triangle at each pixel; -inf where there is none."""
    pixel, triangle = rasterize_numpy(screen, triangles, height=_MAP_PX, width=_MAP_PX)
    weights = barycentric(screen, triangles, pixel, triangle, _MAP_PX)
    nearest = np.full(_MAP_PX * _MAP_PX, -np.inf, np.float32)
    nearest[pixel] = (screen[:, 2].take(triangles[triangle]).T * weights).sum(0)
    return nearest
