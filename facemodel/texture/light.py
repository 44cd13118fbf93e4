"""Order-2 spherical-harmonic light of a photo, and its careful use where nothing was seen."""

from __future__ import annotations

import numpy as np

DARK, BRIGHT = 0.02, 0.98
"""Below and above, a channel may have been clipped."""
PRIOR_SD = np.array([0.6, 0.4, 0.4, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1])
"""Standard deviations of the coefficients relative to the first one's mean."""
TINT_SD = 0.08
"""How much the light's colour differs from grey, relative to the light."""
_HIDDEN_LOW, _HIDDEN_HIGH = 0.02, 0.95
"""Quantiles of the seen light between which light on hidden parts is kept."""


def harmonics(normals: np.ndarray) -> np.ndarray:
    """The nine functions 1, y, z, x, xy, yz, 3zz - 1, xz, xx - yy of unit normals [..., 3].

    Up to constant factors the real spherical harmonics of bands 0 to 2.
    """
    x, y, z = np.moveaxis(normals, -1, 0)
    parts = [np.ones_like(x), y, z, x, x * y, y * z, (3 * z * z - 1) / 2, x * z, (x * x - y * y)]
    return np.stack(parts, -1)


def fit_light(
    observed: np.ndarray, albedo: np.ndarray, shapes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Fits light to colours of known albedo.

    Args:
      observed: [M, 3] sRGB.
      albedo: [M, 3] sRGB.
      shapes: [M, 9] harmonics of the normals, camera frame.
      weights: [M] inverse variances of the colours.

    Returns:
      [9, 3] coefficients; light is shapes @ coefficients, and observed = albedo * light.

    Source: Ramamoorthi and Hanrahan 2001 (paper reference 28 uses the same nine functions).
    """
    grey = _solve(observed, albedo, shapes, weights, np.r_[1.0, np.zeros(8)][:, None], PRIOR_SD)
    grey = grey.mean(1, keepdims=True)
    spread = TINT_SD * max(float(grey[0, 0]), 0.05) * np.where(np.arange(9) == 0, 2.0, 1.0)
    return _solve(observed, albedo, shapes, weights, grey, spread)


def _solve(observed, albedo, shapes, weights, mean, spread) -> np.ndarray:
    """Ridge regression towards mean [9, 1], one channel at a time: [9, 3]."""
    columns = []
    for k in range(3):
        rows = shapes * albedo[:, k : k + 1]
        normal = rows.T @ (weights[:, None] * rows) + np.diag(1.0 / spread**2)
        rest = rows.T @ (weights * (observed[:, k] - rows @ mean[:, 0]))
        columns.append(mean[:, 0] + np.linalg.solve(normal, rest))
    return np.stack(columns, -1)


def unclipped(observed: np.ndarray) -> np.ndarray:
    """[...] 1 where no channel of [..., 3] sRGB is near its limits, 0.1 where one is."""
    return np.where(((observed < DARK) | (observed > BRIGHT)).any(-1), 0.1, 1.0)


def light_on(shapes: np.ndarray, coefficients: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Light on a surface; on hidden parts it stays in the range that was seen.

    Second-order light is unbounded by what was observed: on a hidden side it would go on falling
    and end in black.

    Args:
      shapes: [V, 9].
      coefficients: [9, 3] from fit_light.
      seen: [V] in [0, 1] how well the photo shows the vertex.

    Returns:
      [V, 3], positive.
    """
    light = shapes @ coefficients
    grey = light.mean(-1)
    known = grey[seen > 0.5]
    if len(known) < 10:
        return np.broadcast_to(np.maximum(coefficients[0], 0.05), light.shape).copy()
    low, middle, high = np.quantile(known, (_HIDDEN_LOW, 0.5, _HIDDEN_HIGH))
    low = max(low, 0.3 * middle, 0.02)
    kept = _softly_between(grey, low, max(high, low * 1.01))
    floor = np.maximum(grey, 0.25 * middle)
    share = np.clip(seen, 0.0, 1.0)
    target = share * floor + (1.0 - share) * kept
    tint = np.clip(light / np.maximum(grey, 0.1 * middle)[:, None], 0.8, 1.25)
    whole = coefficients[0] / max(float(coefficients[0].mean()), 1e-3)
    tint = share[:, None] * tint + (1.0 - share[:, None]) * np.clip(whole, 0.8, 1.25)
    result: np.ndarray = target[:, None] * tint
    return result


def _softly_between(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values pressed into a range by a hyperbolic tangent that leaves its middle alone."""
    middle, half = (low + high) / 2.0, (high - low) / 2.0
    result: np.ndarray = middle + half * np.tanh((values - middle) / half)
    return result
