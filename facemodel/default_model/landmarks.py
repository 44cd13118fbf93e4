"""Where MediaPipe's 478 landmarks lie on the mesh.

The mean face is drawn from many views, a detector finds the landmarks in each picture, each found
point is cast onto the surface that is seen there, and a robust mean over the views is kept as a
place in a triangle.

On a closed mouth the upper and the lower inner lip are one line. So that these points part when the
jaw opens, they are found on pictures with an open jaw, whose triangles are the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import scipy.ndimage
import scipy.optimize
from scipy.spatial import cKDTree

from facemodel.default_model import portrait, zbuffer
from facemodel.morphable.embedding import closest_barycentric, embed
from facemodel.morphable.mesh import vertex_normals

__all__ = ["closest_barycentric", "embed"]

Detector = Callable[[np.ndarray], "np.ndarray | None"]
"""Finds the face in an image, uint8 [H, W, 3]: [478, 2] px (pixel centres at +0.5), or None."""

UPPER_INNER_LIP = (191, 80, 81, 82, 13, 312, 311, 310, 415)
LOWER_INNER_LIP = (95, 88, 178, 87, 14, 317, 402, 318, 324)
INNER_LIPS = (*UPPER_INNER_LIP, *LOWER_INNER_LIP)

VIEWS_DEG = tuple((yaw, pitch) for yaw in (-30, -20, -10, 0, 10, 20, 30) for pitch in (-10, 0, 10))
_FEWEST_VIEWS = 3
_BEST_SHARE = 0.5
_ROUNDS = 4
_LARGEST_GAP_PX = 10


class LandmarkError(RuntimeError):
    """The detector did not find the face in enough pictures."""


@dataclasses.dataclass(frozen=True, eq=False)
class LocatedLandmarks:
    """Landmarks on a surface.

    Attributes:
      points: [478, 3] mm.
      spread_mm: [478] root mean square distance of the views from it.
    """

    points: np.ndarray
    spread_mm: np.ndarray


def locate(
    vertices: np.ndarray,
    triangles: np.ndarray,
    outside: np.ndarray,
    draw_colours: Callable[[], np.ndarray],
    detect: Detector,
    *,
    views_deg: Iterable[tuple[float, float]] = VIEWS_DEG,
    frame: portrait.Frame = portrait.DEFAULT_FRAME,
) -> LocatedLandmarks:
    """Finds the landmarks of one face from many views.

    Args:
      vertices: [V, 3] mm, model space.
      triangles: [T, 3].
      outside: [T] bool, the triangles on which landmarks may lie.
      draw_colours: returns [V, 3] sRGB in [0, 1], other ones for each picture, as eyebrows differ.
      detect: Function that finds [478, 2] px in an image.
      views_deg: (yaw, pitch) of the head in each picture.
      frame: what the pictures show.

    Raises:
      LandmarkError: if too few pictures show a landmark.
    """
    views, points = [], []
    for yaw, pitch in views_deg:
        picture = portrait.render_portrait(
            vertices, triangles, draw_colours(), yaw=yaw, pitch=pitch, frame=frame
        )
        found = detect(picture.image)
        if found is not None:
            views.append(zbuffer.rotation_deg(yaw, pitch)[2])
            points.append(cast(picture, found, vertices, triangles, outside))
    if len(views) < _FEWEST_VIEWS:
        raise LandmarkError(f"the detector found the face in {len(views)} pictures only")
    seen = np.isfinite(points).all(-1).sum(0)
    if (seen < _FEWEST_VIEWS).any():
        raise LandmarkError(f"landmark {seen.argmin()} was seen in {seen.min()} pictures only")
    surface = np.unique(triangles[outside])
    normals = vertex_normals(vertices, triangles)[surface]
    return _robust_centres(np.stack(points), np.stack(views), vertices[surface], normals)


def cast(
    picture: portrait.Portrait,
    pixels: np.ndarray,
    vertices: np.ndarray,
    triangles: np.ndarray,
    outside: np.ndarray,
) -> np.ndarray:
    """Casts picture points onto the visible surface.

    A point that just misses the surface, between parted lips or beyond the outline, moves to the
    closest pixel that shows it.

    Args:
      picture: Portrait of the mesh.
      pixels: [L, 2] (x, y) px.
      vertices: [V, 3] mm.
      triangles: [T, 3].
      outside: [T] bool, the triangles of the face's surface; others only hide what is behind them.

    Returns:
      [L, 3] mm; NaN where the surface is not seen.
    """
    usable = np.append(outside & _faces_viewer(picture.corners), False)[picture.triangle_ids]
    gaps, (rows, columns) = scipy.ndimage.distance_transform_edt(~usable, return_indices=True)
    x, y = np.floor(pixels).astype(int).clip(0, len(usable) - 1).T
    near = gaps[y, x] <= _LARGEST_GAP_PX
    near &= (pixels >= 0).all(1) & (pixels < len(usable)).all(1)
    row, column = rows[y, x][near], columns[y, x][near]
    ids = picture.triangle_ids[row, column]
    missed = gaps[y, x][near, None] > 0
    shown = np.where(missed, np.stack([column, row], axis=1) + 0.5, pixels[near])
    weights = zbuffer.barycentric(shown, picture.corners[ids])
    points = np.full((len(pixels), 3), np.nan)
    points[near] = (vertices[triangles[ids]] * weights[..., None]).sum(1)
    return points


def mirror_partners(points: np.ndarray) -> np.ndarray:
    """[L, 3] mm on a symmetric face -> [L] which landmark is each one's mirror image.

    The closest pairing of all points with all mirror images.
    """
    distance = np.linalg.norm(points[:, None] - points * [-1, 1, 1], axis=-1)
    _, partner = scipy.optimize.linear_sum_assignment(distance**2)
    return partner


def symmetric(points: np.ndarray, partner: np.ndarray) -> np.ndarray:
    """Averages landmarks [L, 3] mm of a symmetric face with their partners [L] across it."""
    return (points + points[partner] * [-1, 1, 1]) / 2


def _faces_viewer(corners: np.ndarray) -> np.ndarray:
    """[T] whether triangles on the screen, [T, 3, 3] with y down, show their front."""
    a, b, c = (corners[:, corner] for corner in range(3))
    return np.cross(b - a, c - a)[:, 2] < 0


def _robust_centres(
    points: np.ndarray, views: np.ndarray, surface: np.ndarray, normals: np.ndarray
) -> LocatedLandmarks:
    """Robust means over the views that look straightest at each point.

    Elsewhere a point near the outline slides along it, so the choice of views follows the estimate.

    Args:
      points: [N, L, 3] mm as each view has them, NaN where not seen.
      views: [N, 3] direction towards each viewer.
      surface: [S, 3] mm, vertices.
      normals: [S, 3] their unit normals.
    """
    tree = cKDTree(surface)
    seen = np.isfinite(points).all(-1)
    centres = np.nanmedian(points, axis=0)
    for _ in range(_ROUNDS):
        facing = np.where(seen, views @ normals[tree.query(centres)[1]].T, np.nan)
        best = facing >= np.nanquantile(facing, 1 - _BEST_SHARE, axis=0)
        centres = _midmean(np.where(best[..., None], points, np.nan))
    squared = np.where(best, ((points - centres) ** 2).sum(-1), np.nan)
    return LocatedLandmarks(points=centres, spread_mm=np.sqrt(np.nanmean(squared, axis=0)))


def _midmean(values: np.ndarray) -> np.ndarray:
    """Mean over axis 0 of the middle half, NaN left out; of two clusters it lies between."""
    low, high = np.nanquantile(values, [0.25, 0.75], axis=0)
    middle = (values >= low) & (values <= high)
    return np.nanmean(np.where(middle, values, np.nan), axis=0)
