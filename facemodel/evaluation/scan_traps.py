"""Mistakes in scans and predictions that make figures wrong without making them impossible."""

from __future__ import annotations

import numpy as np

from facemodel.evaluation.scan_protocol import outer_eyes
from facemodel.evaluation.similarity import fit_similarity

UNITS_MM = {"mm": 1.0, "cm": 10.0, "dm": 100.0, "m": 1000.0, "in": 25.4, "um": 0.001}
"""Unit -> mm."""
_EYES_MM = (60.0, 135.0)
"""Outer corners of a person's eyes, from a small child to past the largest adult."""
_MIRRORED = 0.6
"""The reflected fit's residual as a part of the proper one's, below which axes are mirrored."""
_OFF_MESH = 0.15
"""Median distance of landmarks from their mesh, as a part of the distance of the eyes."""


def guess_unit(landmarks: np.ndarray) -> str | None:
    """In which unit landmarks [7, 3] are, by the distance of the eyes; None if it fits none.

    Inches are only guessed where no metric unit fits.
    """
    apart = outer_eyes(landmarks)
    metric = ("mm", "cm", "m", "dm", "um", "in")
    fitting = (unit for unit in metric if _EYES_MM[0] <= apart * UNITS_MM[unit] <= _EYES_MM[1])
    return next(fitting, None)


def is_mirrored(source: np.ndarray, target: np.ndarray) -> bool:
    """Whether landmarks [7, 3] fit others [7, 3] much better with a reflection than without.

    So it is where one axis has the wrong sign, or left and right were exchanged.
    """
    proper, reflected = (
        np.linalg.norm(fit_similarity(source, target, reflected=flip).apply(source) - target)
        for flip in (False, True)
    )
    return bool(reflected < _MIRRORED * proper)


def off_mesh(landmarks: np.ndarray, distances: np.ndarray) -> bool:
    """Whether landmarks [7, 3] are not on their mesh, from their distances [7] to it.

    So it is where their units or frames differ, or colours were read as positions.
    """
    return bool(np.median(distances) > _OFF_MESH * outer_eyes(landmarks))
