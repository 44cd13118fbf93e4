"""What of a photo's fine structure is shading and what is colour of the skin.

Shading changes all channels alike, pigments change them unequally, and the face model knows where
skin varies much. The estimate is that of linear Gaussian models with heavy tails.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facemodel.detail.settings import Settings
from facemodel.detail.surface import COVARIANCE
from facemodel.vectors import dot, mean_channel


def _reduced(values: np.ndarray, weights: np.ndarray, sigma_px: float):
    """Gaussian sums of [H, W, C] by weights, and of the weights, at a lower resolution."""
    small = max(1, int(sigma_px / 3))
    area = tuple(max(1, n // small) for n in weights.shape[::-1])
    both = np.concatenate([values * weights[..., None], weights[..., None]], -1)
    parts = []
    for k in range(0, both.shape[-1], 4):  # OpenCV reduces up to four channels
        part = cv2.resize(both[..., k : k + 4], area, interpolation=cv2.INTER_AREA)
        parts.append(cv2.GaussianBlur(part, (0, 0), sigma_px / small).reshape(*area[::-1], -1))
    smooth = np.concatenate(parts, -1)
    return smooth[..., :-1] / np.maximum(smooth[..., -1:], 1e-3)


def _enlarged(values: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    large = cv2.resize(values, shape[::-1], interpolation=cv2.INTER_LINEAR)
    return large.reshape(*shape, -1)


def low_pass(values: np.ndarray, weights: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian average of [H, W, C] by weights [H, W]; 0 where there is no weight near."""
    return _enlarged(_reduced(values, weights, sigma_px), weights.shape)


def high_pass(residual: np.ndarray, weights: np.ndarray, sigma_px: float, *, robust: float):
    """Residuals [H, W, C] less a smooth local light and albedo, which ignores outliers."""
    rest = residual - low_pass(residual, weights, sigma_px)
    trusted = weights / (1.0 + (mean_channel(rest) / robust) ** 2)
    return residual - low_pass(residual, trusted, sigma_px), trusted


class Shading(NamedTuple):
    """Estimated log shading that the coarse surface does not explain.

    Attributes:
      value: [H, W] natural logarithm.
      precision: [H, W] one over the variance of its error.
    """

    value: np.ndarray
    precision: np.ndarray


def separate(
    fine: np.ndarray, weights: np.ndarray, doubt: np.ndarray, sensitivity: np.ndarray,
    px_per_mm: float, settings: Settings, *, grey: bool,
) -> Shading:  # fmt: skip
    """Estimates the part of fine structure that is shading.

    Args:
      fine: [H, W, 3] log of linear RGB, high-pass.
      weights: [H, W] of pixels that are no outliers.
      doubt: [H, W] variance of log shading by what is known before: noise, albedo, coarse shape.
      sensitivity: [H, W] how much log shading changes when the normal tilts by one radian.
      px_per_mm: Scale of the crop.
      settings: what relief and albedo are expected.
      grey: the photo has no colour, so that channels say nothing about pigments.
    """
    value: np.ndarray = np.zeros_like(weights)
    variance: np.ndarray = np.zeros_like(weights)
    for band in _bands(fine, weights, px_per_mm, settings):
        mix, around = _channel_weights(band, weights, px_per_mm, settings, grey=grey)
        value += dot(mix, band)
        variance += around
    unexpected = np.maximum(variance - (settings.tilt * sensitivity) ** 2, 0)
    odd = cv2.GaussianBlur(value * value, (0, 0), settings.odd_mm * px_per_mm)
    tails = (1.0 + odd / settings.largest_shading**2) ** 2
    error = settings.error_sd**2 + settings.excess * unexpected + doubt
    return Shading(value, 1.0 / (error * tails))


def _bands(fine, weights, px_per_mm: float, settings: Settings):
    """Fine structure by scale, finest first; the sum is all of it."""
    rest = fine
    for size_mm in settings.bands_mm:
        smooth = low_pass(rest, weights, size_mm * px_per_mm)
        yield rest - smooth
        rest = smooth
    yield rest


def _channel_weights(band, weights, px_per_mm: float, settings: Settings, *, grey: bool):
    """Weights [H, W, 3] of channels with sum 1 that let shading pass and little else.

    The variance of the weighted mean is least, by the covariance of the band nearby. Shading is
    in it too, and would be cancelled where channels do not show it quite alike; a share of the
    variance added to the diagonal prevents that.

    Returns:
      The weights, and the variance [H, W] of the weighted mean.

    Source: Capon 1969, "High-resolution frequency-wavenumber spectrum analysis"; Cox et al. 1987 on
    the added share.
    """
    products = np.stack([band[..., i] * band[..., j] for i, j in COVARIANCE], -1)
    found = _reduced(products, weights, settings.nearby_mm * px_per_mm)
    a, b, c, d, e, f = np.moveaxis(found, -1, 0)
    load = settings.loading * (a + d + f) / 3 + 1e-6
    rows = _inverse_row_sums(a + load, b, c, d + load, e, f + load)
    if grey:
        rows = np.ones_like(rows)
    mix = rows / rows.sum(0)
    terms = zip((a, b, c, d, e, f), COVARIANCE)
    variance = sum(v * mix[i] * mix[j] * (1 if i == j else 2) for v, (i, j) in terms)
    both = _enlarged(np.stack([*mix, variance], -1).astype(np.float32), weights.shape)
    return both[..., :3], both[..., 3]


def _inverse_row_sums(a, b, c, d, e, f) -> np.ndarray:
    """[3, ...] sums of the rows of the adjugate of symmetric matrices."""
    return np.stack([
        d * f - e * e + c * e - b * f + b * e - c * d,
        c * e - b * f + a * f - c * c + b * c - a * e,
        b * e - c * d + b * c - a * e + a * d - b * b,
    ])  # fmt: skip
