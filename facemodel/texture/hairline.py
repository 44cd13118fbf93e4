"""Where hair begins on the forehead: beyond the first hair on the way up nothing counts as skin.

Hair in the light has the colour of somebody's skin, but seldom that of this skin in this light.
What the whole face's statistics let pass is compared here with the skin between brows and hair.
"""

from __future__ import annotations

import itertools

import numpy as np
from scipy import ndimage

EYES_MM, LIDS_MM, BROWS_MM = -11.0, 2.0, 25.0
"""Heights on the mean shape: between the eyes, above the lids, above most brows."""
FOREHEAD_MM, FOREHEAD_HALF_WIDTH_MM = (26.0, 42.0), 40.0
BRIDGE_MM, BRIDGE_HALF_WIDTH_MM = (-3.0, 20.0), 9.0
BROW_HALF_WIDTH_MM, BROW_TOP_MM = (14.0, 48.0), 34.0
_BROW = -0.18
"""Natural logarithm of a brow over the skin around it."""
_LEAST_PIXELS = 100
_DARK_SD, _BRIGHT_SD, _CHROMA_SD = 0.2, 0.35, 0.07
"""Standard deviations of log colours on one forehead: shadow, highlight, chroma."""
_HAIR, _EDGE, _OTHER = 1.5, 1.0, 2.5
"""Deviation of hair from skin, of its edge and shadow, and of a forehead from the bridge of the
nose that is none."""
_BLUR_PX = 1.2
_SECTORS = np.arange(15.0, 165.1, 3.0)
"""Degrees around the middle between the eyes; 90 is up."""
_STEP_MM, _EDGE_STEPS = 2.0, 4
_RIM_MM = (1.0, 5.0)
"""Below the hairline nothing is taken up to the first distance, all from the other on."""
_NEVER_MM = 1e3


def below_hairline(skin: np.ndarray, ratio: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Skin without what lies above the hairline.

    Args:
      skin: [h, w] in [0, 1], skin by colours and place.
      ratio: [h, w, 3] natural logarithm of colours over their prediction.
      places: [h, w, 2] mm, x and y on the mean shape; NaN outside the mesh.

    Returns:
      [h, w] in [0, 1].
    """
    x, y = places[..., 0], places[..., 1]
    reach = np.hypot(x, y - EYES_MM)
    degrees = np.degrees(np.arctan2(y - EYES_MM, x))
    above = (y > LIDS_MM) & (degrees > _SECTORS[0]) & (degrees < _SECTORS[-1])
    strange = _strangeness(skin, ratio, x, y)
    strange[skin < 0.5] = np.inf
    begins = _hairline(strange[above], reach[above], degrees[above], y[above] > BROWS_MM)
    middles = (_SECTORS[:-1] + _SECTORS[1:]) / 2
    distance = np.interp(degrees[above], middles, begins) - reach[above]
    result = skin.copy()
    result[above] *= np.clip((distance - _RIM_MM[0]) / (_RIM_MM[1] - _RIM_MM[0]), 0.0, 1.0)
    return result


def shows_brows(skin: np.ndarray, ratio: np.ndarray, places: np.ndarray) -> bool:
    """Whether there are brows in the skin above the lids; arguments as of below_hairline."""
    x, y = places[..., 0], places[..., 1]
    sides = (np.abs(x) > BROW_HALF_WIDTH_MM[0]) & (np.abs(x) < BROW_HALF_WIDTH_MM[1])
    zone = sides & (y > LIDS_MM) & (y < BROW_TOP_MM) & (skin > 0.5)
    column = np.floor(x[zone] / _STEP_MM).astype(np.intp)
    if not len(column):
        return False
    luma = ratio[zone].mean(-1)
    dark = luma < np.median(luma) + _BROW
    return len(np.unique(column[dark])) > 0.5 * len(np.unique(column))


def _strangeness(skin: np.ndarray, ratio: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[h, w] how far colours are from the forehead's own, in standard deviations."""
    sure = skin > 0.8
    forehead, bridge = (
        _median(ratio[sure & (y > low) & (y < high) & (np.abs(x) < half)])
        for (low, high), half in (
            (FOREHEAD_MM, FOREHEAD_HALF_WIDTH_MM), (BRIDGE_MM, BRIDGE_HALF_WIDTH_MM),
        )
    )  # fmt: skip
    if forehead is None or (bridge is not None and _deviation(forehead - bridge) > _OTHER):
        forehead = bridge  # hair to the brows
    if forehead is None:
        return np.zeros(skin.shape)
    blurred: np.ndarray = ndimage.gaussian_filter(_deviation(ratio - forehead), _BLUR_PX)
    return blurred


def _median(ratio: np.ndarray) -> np.ndarray | None:
    """[3] of colours [N, 3]; None of too few."""
    return np.median(ratio, axis=0) if len(ratio) >= _LEAST_PIXELS else None


def _deviation(away: np.ndarray) -> np.ndarray:
    """[...] size of differences [..., 3] of log colours, in standard deviations."""
    luma = away.mean(-1)
    chroma = np.linalg.norm(away - luma[..., None], axis=-1)
    light = luma / np.where(luma < 0, _DARK_SD, _BRIGHT_SD)
    result: np.ndarray = np.hypot(light, chroma / _CHROMA_SD)
    return result


def _hairline(
    strange: np.ndarray, reach: np.ndarray, degrees: np.ndarray, forehead: np.ndarray
) -> np.ndarray:
    """[sectors] mm from the middle to the lower edge of the first hair above the brows.

    A mole or a scar is no hairline: of five sectors the middle one counts.
    """
    step = (reach / _STEP_MM).astype(np.intp)
    begins = np.full(len(_SECTORS) - 1, _NEVER_MM)
    for number, (first, last) in enumerate(itertools.pairwise(_SECTORS)):
        inside = (degrees >= first) & (degrees < last)
        if not inside.any():
            continue
        pixels, hair, edge = (
            np.bincount(step[inside], weights, step[inside].max() + 1)
            for weights in (
                forehead[inside], (strange > _HAIR)[inside] & forehead[inside],
                (strange > _EDGE)[inside],
            )
        )  # fmt: skip
        covered = (hair > 0.5 * pixels) & (pixels > 0)
        if covered.any():
            begins[number] = _STEP_MM * _lower_edge(int(np.argmax(covered)), edge > 0)
    smooth: np.ndarray = ndimage.minimum_filter(ndimage.median_filter(begins, 5), 3)
    return smooth


def _lower_edge(hair: int, strange: np.ndarray) -> int:
    """Steps from the first hair down to the nearest with skin alone; none if brows are there."""
    near = max(hair - _EDGE_STEPS, 0)
    skin = np.flatnonzero(~strange[near:hair])
    return int(near + skin[-1] + 1 if len(skin) else hair)
