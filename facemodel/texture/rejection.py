"""Which pixels inside the outline of a head show its skin, and not hair, hands or background."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

OFFSET = 0.04
"""Added to colours before their logarithm: in the dark noise is large."""
_DARK_SD, _BRIGHT_SD, _CHROMA_SD = 0.22, 0.28, 0.075
"""Standard deviations of log colour over prediction on skin: shadow, highlight, chroma."""
_SPREAD_GAIN = 1.5
_PARZEN_SD = 0.12
"""Of the other things' colours, natural logarithms."""
_LIMITS = (-2.6, 1.4)
_BINS = 32
_NOWHERE = 0.02
"""Density of colours that neither skin nor what surrounds the head has."""
_ODDS_LIMIT = 4.0
_HOLE_MM2 = 450.0
"""Larger holes in skin, such as sunglasses, stay."""
_RIM_MM = (1.2, 4.5)
"""Beside what is no skin nothing is taken up to the first distance, all from the other on."""
_SMOOTH_MM, _SMOOTH_EDGE = 4.0, 0.08
"""Radius, and log luma step that smoothing keeps."""


def skin_pixels(
    image: np.ndarray,
    predicted: np.ndarray,
    spread: np.ndarray,
    prior: np.ndarray,
    *,
    px_per_mm: float,
) -> np.ndarray:
    """Compares a photo with what model and light predict, and with what surrounds the head.

    Args:
      image: [h, w, 3] sRGB.
      predicted: [h, w, 3] sRGB, the fitted model under the fitted light; outside the mesh the
        skin's mean colour.
      spread: [h, w] standard deviation of the model's albedo there, sRGB: large at brows, eyes,
        lips and where beards grow, where the prediction may be wrong about skin.
      prior: [h, w] how probable skin is by its place alone; 0 outside the mesh.
      px_per_mm: Resolution.

    Returns:
      [h, w] in [0, 1], the probability of skin, smooth within edges of the photo.
    """
    logs = np.log(image + OFFSET)
    skin = _skin_density(logs - np.log(predicted + OFFSET), spread / (predicted.mean(-1) + OFFSET))
    other = _surroundings_density(logs, prior, skin)
    chance = np.clip(prior, 0.0, 0.995)
    odds = np.log(chance * skin + 1e-9) - np.log((1.0 - chance) * other + 1e-9)
    odds = np.clip(odds, -_ODDS_LIMIT, _ODDS_LIMIT).astype(np.float32)
    smooth = guided(odds, logs.mean(-1).astype(np.float32), radius=_SMOOTH_MM * px_per_mm)
    likely = (prior > 0) / (1.0 + np.exp(-2.0 * smooth))
    whole = _filled(_connected(likely, prior), _HOLE_MM2 * px_per_mm**2)
    return _eroded(whole, px_per_mm)


def _skin_density(ratio: np.ndarray, relative: np.ndarray) -> np.ndarray:
    """[h, w] density of log colour over prediction [h, w, 3] on skin."""
    luma = ratio.mean(-1)
    chroma = ((ratio - luma[..., None]) ** 2).sum(-1)
    luma_sd = np.hypot(np.where(luma < 0, _DARK_SD, _BRIGHT_SD), _SPREAD_GAIN * relative)
    chroma_sd = np.hypot(_CHROMA_SD, 0.5 * _SPREAD_GAIN * relative)
    # sqrt(3) luma and the two chroma directions are orthonormal.
    exponent = (luma / luma_sd) ** 2 + chroma / chroma_sd**2
    scale = (2 * np.pi) ** 1.5 * np.sqrt(3.0) * luma_sd * chroma_sd**2
    density: np.ndarray = np.exp(-0.5 * exponent) / scale
    return density


def _surroundings_density(logs: np.ndarray, prior: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """[h, w] density of log colours [h, w, 3] around the head, without what looks like skin."""
    low, high = _LIMITS
    width = (high - low) / _BINS
    low -= 0.6
    cell = np.clip(((logs - low) / width).astype(np.intp), 0, _BINS - 1)
    cell = (cell[..., 0] * _BINS + cell[..., 1]) * _BINS + cell[..., 2]
    weight = (1.0 - prior) * np.clip(1.0 - skin / 10.0, 0.0, 1.0)
    counts = np.bincount(cell.ravel(), weight.ravel(), _BINS**3).reshape((_BINS,) * 3)
    table = ndimage.gaussian_filter(counts, _PARZEN_SD / width, truncate=3.0)
    table /= max(table.sum(), 1e-9) * width**3
    density: np.ndarray = (0.9 * table.ravel() + 0.1 * _NOWHERE)[cell]
    return density


def _connected(likely: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Without the parts that no skin connects to the middle of the face."""
    _, labels = cv2.connectedComponents((likely > 0.5).astype(np.uint8), connectivity=4)
    weight = np.bincount(labels.ravel(), (prior > 0.9).ravel())
    weight[0] = 0.0
    kept = weight >= max(0.1 * weight.max(), 1.0)
    near = cv2.dilate(kept[labels].astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return likely * near


def _filled(likely: np.ndarray, largest: float) -> np.ndarray:
    """With small holes in skin closed: moles, highlights, nostrils, stubble. Areas in px."""
    _, labels, found, _ = cv2.connectedComponentsWithStats(
        (likely < 0.5).astype(np.uint8), connectivity=8
    )
    small = found[:, cv2.CC_STAT_AREA] <= largest
    small[0] = False
    small[np.unique(np.r_[labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = False
    return np.where(small[labels], 0.9, likely)


def _eroded(likely: np.ndarray, px_per_mm: float) -> np.ndarray:
    """Without a rim of some millimetres beside larger parts that are no skin."""
    other = cv2.morphologyEx(
        (likely < 0.5).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)
    )
    away = cv2.distanceTransform(1 - other, cv2.DIST_L2, 5) / px_per_mm
    return likely * np.clip((away - _RIM_MM[0]) / (_RIM_MM[1] - _RIM_MM[0]), 0.0, 1.0)


def guided(values: np.ndarray, guide: np.ndarray, *, radius: float) -> np.ndarray:
    """Smooths values [h, w] but not across edges of a guide [h, w].

    Source: He, Sun and Tang 2010, guided image filtering.
    """
    side = 2 * max(1, round(radius)) + 1

    def mean(image: np.ndarray) -> np.ndarray:
        blurred: np.ndarray = cv2.blur(image, (side, side), borderType=cv2.BORDER_REFLECT)
        return blurred

    mean_guide, mean_values = mean(guide), mean(values)
    variance = mean(guide * guide) - mean_guide**2
    slope = (mean(guide * values) - mean_guide * mean_values) / (variance + _SMOOTH_EDGE**2)
    offset = mean_values - slope * mean_guide
    return mean(slope) * guide + mean(offset)
