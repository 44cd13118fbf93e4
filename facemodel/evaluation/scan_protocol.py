"""What the NoW benchmark measures of a face against a scan, and figures of distances.

Facts of the protocol: seven landmarks, a disc of the scan around the nose, a similarity from the
landmarks, a second one that makes the distances of the disc's points least, and those distances.

Source: Sanyal et al. 2019, "Learning to Regress 3D Face Shape and Expression from an Image without
3D Supervision", sec. 5, and the benchmark's public evaluation.
"""

from __future__ import annotations

import dataclasses

import numpy as np

NOW_7_OF_68 = (36, 39, 42, 45, 33, 48, 54)
"""Of the iBUG points: outer and inner corner of the subject's right eye, inner and outer corner of
the left, the point below the nose, the right and the left corner of the mouth."""
_INNER_FIRST = 17
CURVE_MM = 7.0
"""Where the cumulative curve ends, as in the benchmark's plots."""
_CURVE_STEPS = 140
_UP, _WIDE = 0.3, 1.4


def now_landmarks(points: np.ndarray) -> np.ndarray:
    """Seven landmarks [7, 3] from 7, the inner 51 or all 68 iBUG points.

    Raises:
      ValueError: for another number of points.
    """
    points = np.asarray(points, np.float64)
    chosen = np.array(NOW_7_OF_68)
    if points.shape == (7, 3):
        return points
    if points.shape == (68, 3):
        return points[chosen]
    if points.shape == (51, 3):
        return points[chosen - _INNER_FIRST]
    raise ValueError(f"expected 7, 51 or 68 landmarks in space, got {list(points.shape)}")


def outer_eyes(landmarks: np.ndarray) -> float:
    """Distance of the outer corners of the eyes, of landmarks [7, 3]."""
    return float(np.linalg.norm(landmarks[0] - landmarks[3]))


def face_disc(landmarks: np.ndarray) -> tuple[np.ndarray, float]:
    """Which part of a scan counts: a ball's centre [3] and radius, from its landmarks [7, 3].

    The centre is 0.3 of the way from below the nose to between the inner corners of the eyes; the
    radius is 1.4 times the mean of that way's length and the distance of the outer corners.
    """
    bridge, below = (landmarks[1] + landmarks[2]) / 2, landmarks[4]
    length = float(np.linalg.norm(bridge - below))
    return below + _UP * (bridge - below), _WIDE * (outer_eyes(landmarks) + length) / 2


def inside_disc(vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """bool [V], which vertices of a scan count."""
    centre, radius = face_disc(landmarks)
    return np.linalg.norm(vertices - centre, axis=-1) <= radius


@dataclasses.dataclass(frozen=True)
class Figures:
    """What is said of a set of distances.

    Attributes:
      points: how many there are.
      mean_mm, median_mm, sd_mm, p90_mm: mean, median, standard deviation, 90 % quantile.
    """

    points: int
    mean_mm: float
    median_mm: float
    sd_mm: float
    p90_mm: float


def figures(distances: np.ndarray) -> Figures:
    """Figures of distances [N] in mm; NaN if there are none."""
    if not len(distances):
        return Figures(0, *(float("nan"),) * 4)
    return Figures(
        points=len(distances),
        mean_mm=float(np.mean(distances)),
        median_mm=float(np.median(distances)),
        sd_mm=float(np.std(distances)),
        p90_mm=float(np.quantile(distances, 0.9)),
    )


def cumulative_curve(distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Share of distances [N] that are at most so large: limits [K] in mm, shares [K] in [0, 1]."""
    limits = np.linspace(0, CURVE_MM, _CURVE_STEPS + 1)
    counts = np.searchsorted(np.sort(distances), limits, side="right")
    return limits, counts / max(len(distances), 1)
