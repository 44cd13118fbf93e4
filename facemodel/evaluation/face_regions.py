"""Regions of a face, in the manner of the REALY benchmark: nose, mouth, forehead, cheek.

The benchmark's own regions were drawn on its scans; these follow from the 68 points of a mean face,
so that they can be found on any scan that the mean face was aligned with.

Source: Chai et al. 2022, "REALY: Rethinking the Evaluation of 3D Face Reconstruction", sec. 3.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, cKDTree

REGIONS = ("nose", "mouth", "forehead", "cheek")
ELSEWHERE = -1
"""Index of what is in no region: the eyes, and what is far from the mean face."""
_NOSE = (27, 31, 32, 33, 34, 35)
_MOUTH = tuple(range(48, 60))
_EYES = (tuple(range(36, 42)), tuple(range(42, 48)))
_BROWS = tuple(range(17, 27))
_MARGINS_MM = {"nose": 6.0, "mouth": 6.0, "eye": 4.0}
_BELOW_BROWS_MM = 4.0
_FARTHEST_MM = 15.0


def mean_face_regions(vertices: np.ndarray, landmarks_68: np.ndarray) -> np.ndarray:
    """Region of each vertex of a mean face.

    Args:
      vertices: [V, 3] mm, model space (y up, z to the viewer).
      landmarks_68: [68, 3] mm on it.

    Returns:
      int8 [V] index into REGIONS, or ELSEWHERE.
    """
    plane, points = vertices[:, :2], landmarks_68[:, :2]
    brows = points[list(_BROWS)][np.argsort(points[list(_BROWS), 0])]
    brow = np.interp(plane[:, 0], brows[:, 0], brows[:, 1]) - _BELOW_BROWS_MM
    nose = _around(plane, points[list(_NOSE)], _MARGINS_MM["nose"])
    mouth = _around(plane, points[list(_MOUTH)], _MARGINS_MM["mouth"])
    eyes = np.any([_around(plane, points[list(eye)], _MARGINS_MM["eye"]) for eye in _EYES], 0)
    chosen = [nose & (plane[:, 1] <= brow), plane[:, 1] > brow, eyes, mouth]
    numbers = [REGIONS.index("nose"), REGIONS.index("forehead"), ELSEWHERE, REGIONS.index("mouth")]
    return np.select(chosen, numbers, REGIONS.index("cheek")).astype(np.int8)


def regions_of(points: np.ndarray, mean_face: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """Regions of a scan's points by the nearest vertex of the mean face that was moved onto it.

    Args:
      points: [N, 3] mm of the scan.
      mean_face: [V, 3] mm, aligned with the scan.
      regions: [V] of its vertices, as mean_face_regions gives them.

    Returns:
      int8 [N].
    """
    distance, nearest = cKDTree(mean_face).query(points)
    return np.where(distance <= _FARTHEST_MM, regions[nearest], ELSEWHERE).astype(np.int8)


def _around(plane: np.ndarray, points: np.ndarray, margin: float) -> np.ndarray:
    """bool [V], which places [V, 2] are in the convex hull of points [N, 2] or that near to it."""
    hull = ConvexHull(points)
    outside = plane @ hull.equations[:, :2].T + hull.equations[:, 2]
    return outside.max(1) <= margin
