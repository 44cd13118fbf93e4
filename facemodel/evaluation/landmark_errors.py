"""Errors of 68 landmarks in a photo, normalised as 300W and AFLW2000-3D do."""

from __future__ import annotations

import dataclasses

import numpy as np

OUTER_EYES = (36, 45)
"""iBUG points: the outer corners of the eyes."""
FAILURE = 0.08
"""An error above this is a failure; the curve's area is taken up to it."""
YAW_BINS_DEG = (0.0, 30.0, 60.0, 90.0)
"""Of AFLW2000-3D, for the absolute yaw."""


def inter_ocular(truth: np.ndarray) -> float:
    """Distance in px of the outer corners of the eyes, of points [68, 2]: 300W's unit."""
    return float(np.linalg.norm(truth[OUTER_EYES[0]] - truth[OUTER_EYES[1]]))


def box_size(truth: np.ndarray) -> float:
    """sqrt(width * height) in px of the box around points [68, 2]: AFLW2000-3D's unit."""
    return float(np.sqrt(np.prod(truth.max(0) - truth.min(0))))


def mean_error(points: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance in px of points [N, 2] from the ground truth [N, 2]."""
    return float(np.linalg.norm(points - truth, axis=-1).mean())


@dataclasses.dataclass(frozen=True)
class ErrorSummary:
    """Normalised errors of many faces.

    Attributes:
      faces: with an error; those that were not found are not among them.
      mean, median: of these faces.
      failures: share above FAILURE, of all faces, with those that were not found.
      auc: area under the cumulative curve up to FAILURE, in [0, 1], of all faces.
    """

    faces: int
    mean: float
    median: float
    failures: float
    auc: float


def summarise(errors: np.ndarray) -> ErrorSummary:
    """Sums up errors [N]; infinite ones are of faces that were not found."""
    found = errors[np.isfinite(errors)]
    area = np.clip(1 - errors / FAILURE, 0, 1).mean() if len(errors) else np.nan
    return ErrorSummary(
        faces=len(found),
        mean=float(found.mean()) if len(found) else float("nan"),
        median=float(np.median(found)) if len(found) else float("nan"),
        failures=float((errors > FAILURE).mean()) if len(errors) else float("nan"),
        auc=float(area),
    )
