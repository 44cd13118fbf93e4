"""Lamps for pictures of a mesh, and the shadows that it casts on itself."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from facemodel.rendering.numpy_rasterizer import rasterize_numpy
from serving.output.views import barycentric

_MAP_PX = 320
_BIAS_MM = 1.5
_PENUMBRA_PX = np.array([(x, y) for x in (-1.8, -0.6, 0.6, 1.8) for y in (-1.8, -0.6, 0.6, 1.8)])


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


def two_lights(azimuth_deg: float, elevation_deg: float = 22.0) -> tuple[Light, Light]:
    """A warm lamp at this place, and a faint cool one on the other side."""
    key = lamp(azimuth_deg, elevation_deg, (1.02, 0.95, 0.86))
    fill = lamp(
        -azimuth_deg - math.copysign(15, azimuth_deg), 5.0, (0.10, 0.13, 0.18), shadows=False
    )
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
    count = len(vertices)
    # A little above the surface, or it would shade itself where light grazes it.
    above = vertices + _BIAS_MM * normals
    places, depths = _seen_from(np.concatenate([vertices, above]), direction)
    nearest = _depth_map(places[:count], depths[:count], triangles)
    place, depth = places[count:], depths[count:]
    lit = np.zeros(count, np.float32)
    for shift in _PENUMBRA_PX:
        column, row = np.clip((place + shift).astype(np.intp), 0, _MAP_PX - 1).T
        lit += depth >= nearest[row, column]
    return lit / np.float32(len(_PENUMBRA_PX))


def _seen_from(vertices, direction):
    """Vertices as the lamp sees them: [V, 2] px of its depth map, and [V] mm towards it."""
    across = np.cross((0.0, 1.0, 0.0), direction)
    if np.linalg.norm(across) < 1e-6:
        across = np.array([1.0, 0.0, 0.0])
    across = across / np.linalg.norm(across)
    frame = np.stack([across, -np.cross(direction, across), direction])
    x, y, depth = (vertices @ frame.T).T.astype(np.float32)
    place = np.column_stack([x, y])
    low, size = place.min(0), np.ptp(place, axis=0).max()
    return (place - low) * ((_MAP_PX - 8) / size) + 4, depth


def _depth_map(place, depth, triangles):
    """[S, S] depth, mm, of the nearest triangle at each pixel; -inf where there is none."""
    screen = np.column_stack([place, depth])
    pixel, triangle = rasterize_numpy(screen, triangles, height=_MAP_PX, width=_MAP_PX)
    weights = barycentric(screen, triangles, pixel, triangle, _MAP_PX)
    nearest = np.full(_MAP_PX * _MAP_PX, -np.inf, np.float32)
    nearest[pixel] = (depth[triangles[triangle]].T * weights).sum(0)
    return nearest.reshape(_MAP_PX, _MAP_PX)
