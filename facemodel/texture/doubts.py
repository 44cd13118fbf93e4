"""What in a photo makes the face that was made of it less trustworthy."""

from __future__ import annotations

import numpy as np

from facemodel.texture.analysis import Analysis
from facemodel.texture.skin_model import SkinModel

COVERED = 1 / 3
"""Share of the inner face that is turned to the camera and shows no skin: masks, hands, caps."""
UNEVEN_STOPS = 1.6
"""Difference of the two sides' mean light, in powers of two."""
MIDDLE_MM = 10.0
"""Half of the strip that belongs to neither side."""
_GAMMA, _DARKEST = 2.2, 1e-3
_TURNED_TO_CAMERA = 0.3


def doubts(model: SkinModel, found: Analysis) -> tuple[str, ...]:
    """Some of "covered_face" and "uneven_light"."""
    checks = {
        "covered_face": covered_share(model, found) > COVERED,
        "uneven_light": abs(light_difference(model, found)) > UNEVEN_STOPS,
    }
    return tuple(name for name, holds in checks.items() if holds)


def covered_share(model: SkinModel, found: Analysis) -> float:
    """Share in [0, 1] of the inner face towards the camera that something else covers."""
    towards = np.where(model.core > 0.5, found.facing, 0.0)
    return float(1.0 - (found.seen * towards).sum() / max(towards.sum(), 1e-6))


def light_difference(model: SkinModel, found: Analysis) -> float:
    """How much lighter the subject's left side is than the right one, in powers of two.

    Photos are taken to be sRGB with a gamma of 2.2. Zero if only one side is seen.
    """
    light = found.observed.mean(-1) ** _GAMMA
    clear = (model.core > 0.5) & (found.facing > _TURNED_TO_CAMERA)
    across = model.positions[:, 0]
    left, right = (light[clear & (sign * across > MIDDLE_MM)] for sign in (1, -1))
    if not len(left) or not len(right):
        return 0.0
    return float(np.log2((left.mean() + _DARKEST) / (right.mean() + _DARKEST)))
