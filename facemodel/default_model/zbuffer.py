"""Which triangle is seen in each pixel, and where a ray meets it. Plain numpy, double precision.

rendering.numpy_rasterizer is faster, but rounds to float32 and leaves out triangles seen from
behind, which raw meshes have.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_EDGE_TOLERANCE = 1e-9
_FLAT_AREA_PX = 1e-12
_CHUNK_CANDIDATES = 1 << 19
_FAR_MM = -1e30


def rotation_deg(yaw: float, pitch: float) -> np.ndarray:
    """[3, 3] yaw about y, then pitch about x, degrees; positive yaw turns to the subject's left."""
    y, x = np.deg2rad([yaw, pitch])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    return about_x @ about_y


def to_screen(points: np.ndarray, *, mm_per_px: float, size: int) -> np.ndarray:
    """[V, 3] camera-space mm -> [V, 3] (x px, y px down, depth mm to the viewer), centred."""
    x, y, z = points.T
    return np.stack([x / mm_per_px + size / 2, size / 2 - y / mm_per_px, z], axis=1)


def triangle_ids(
    screen: np.ndarray, triangles: np.ndarray, *, height: int, width: int
) -> np.ndarray:
    """Draws triangles, of either winding, into a z-buffer.

    Args:
      screen: [V, 3] (x px, y px, depth with larger = nearer); pixel centres at +0.5.
      triangles: [T, 3] vertex indices.
      height: Height of the image, px.
      width: Width of the image, px.

    Returns:
      [height, width] the nearest triangle, the first of equal ones; -1 where there is none.
    """
    depth = np.full(height * width, _FAR_MM)
    seen = np.full(height * width, -1, np.int64)
    for pixel, z, triangle in _candidates(screen, triangles, height, width):
        nearer = z > depth[pixel]
        pixel, z, triangle = pixel[nearer], z[nearer], triangle[nearer]
        np.maximum.at(depth, pixel, z)
        won = np.flatnonzero(z == depth[pixel])[::-1]
        seen[pixel[won]] = triangle[won]
    return seen.reshape(height, width)


def barycentric(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Weights of corners [N, 3, 2+] px at points [N, 2] px: [N, 3], summing to 1, any sign."""
    a, b, c = (corners[:, k, :2] for k in range(3))
    area = _cross(b - a, c - a)
    second = _cross(points - a, c - a) / area
    third = _cross(b - a, points - a) / area
    return np.stack([1 - second - third, second, third], axis=1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - b[..., 0] * a[..., 1]


def _candidates(
    screen: np.ndarray, triangles: np.ndarray, height: int, width: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields (pixel, depth, triangle) of covered pixel centres, triangles in ascending order."""
    corners = screen[triangles]
    limits = np.array([width, height]) - 1
    low = np.clip(np.ceil(corners[..., :2].min(1) - 0.5), 0, limits + 1).astype(np.int64)
    high = np.clip(np.floor(corners[..., :2].max(1) - 0.5), -1, limits).astype(np.int64)
    extent = np.maximum(high - low + 1, 0)
    area = _cross(corners[:, 1, :2] - corners[:, 0, :2], corners[:, 2, :2] - corners[:, 0, :2])
    count = extent.prod(1) * (np.abs(area) >= _FLAT_AREA_PX)
    ends = np.cumsum(count)
    start = 0
    while start < len(triangles):
        budget = (ends[start - 1] if start else 0) + _CHUNK_CANDIDATES
        stop = max(int(np.searchsorted(ends, budget, side="right")), start + 1)
        yield _covered(corners, low, extent, count, np.arange(start, stop), width)
        start = stop


def _covered(
    corners: np.ndarray,
    low: np.ndarray,
    extent: np.ndarray,
    count: np.ndarray,
    chosen: np.ndarray,
    width: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixels of the chosen triangles' bounding boxes whose centres lie inside."""
    triangle = np.repeat(chosen, count[chosen])
    first = np.repeat(np.cumsum(count[chosen]) - count[chosen], count[chosen])
    offset = np.arange(len(triangle)) - first
    x = low[triangle, 0] + offset % extent[triangle, 0]
    y = low[triangle, 1] + offset // extent[triangle, 0]
    box = corners[triangle]
    weights = barycentric(np.stack([x + 0.5, y + 0.5], axis=1), box)
    inside = (weights >= -_EDGE_TOLERANCE).all(1)
    z = (weights * box[..., 2]).sum(1)
    return (y * width + x)[inside], z[inside], triangle[inside]
