"""Smooths what is measured frame by frame: without lag for a whole film, or with little as it runs.

The smoother is that of a Kalman filter for a value that moves at nearly constant speed (the mean of
all states given all frames, as by Rauch, Tung and Striebel), computed for all frames at once as the
solution of one banded system. Accelerations have heavy tails: a blink is a jump, not noise.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_solve_banded, cholesky_banded

STRENGTHS = tuple(10.0 ** np.arange(-1.0, 4.6, 0.5))
"""Noise over change of speed, as variances, that are tried."""
TAIL = 3.0
"""Degrees of freedom of the changes' t distribution; fewer have heavier tails."""
ROUNDS = 8


def smooth(
    values: np.ndarray, valid: np.ndarray, *, order: int = 2, strengths=STRENGTHS
) -> np.ndarray:
    """Smooths channels without lag; how much, each channel's own noise says.

    Args:
      values: [F, C] one row a frame; rows that are not valid may hold anything.
      valid: [F] bool, which frames have a measurement; the others are filled in.
      order: 2 for what moves at nearly constant speed, 3 at nearly constant acceleration.
      strengths: noise over change that are tried; the most probable is taken.

    Returns:
      [F, C].
    """
    known = np.where(valid[:, None], values, 0.0)
    if valid.sum() <= 2 * order:
        return np.where(valid[:, None], values, known.sum(0) / max(1, valid.sum()))
    columns = [_smooth_one(column, valid, order, strengths) for column in known.T]
    return np.stack(columns, 1)


def _smooth_one(values: np.ndarray, valid: np.ndarray, order: int, strengths) -> np.ndarray:
    offset, spread = values[valid].mean(), values[valid].std()
    if spread < 1e-9:
        return np.full(len(values), offset)
    scaled = np.where(valid, (values - offset) / spread, 0.0)
    found = [_heavy_tailed(scaled, valid, order, strength) for strength in strengths]
    _, best = min(found, key=lambda pair: pair[0])
    result: np.ndarray = offset + spread * best
    return result


def _heavy_tailed(values: np.ndarray, valid: np.ndarray, order: int, strength: float):
    """Minus twice the log likelihood, and the smoothed values, with t-distributed changes."""
    stiffness = np.ones(len(values) - order)
    smoothed, _ = solve(values, valid, 0.03 * strength * stiffness)
    noise = np.square((values - smoothed)[valid]).mean() + 1e-12
    freedom = max(1, int(valid.sum()) - order)
    for _ in range(ROUNDS):
        bent = np.square(np.diff(smoothed, order)) * strength
        stiffness = (TAIL + 1.0) / (TAIL + bent / noise)
        smoothed, log_determinant = solve(values, valid, strength * stiffness)
        bent = np.square(np.diff(smoothed, order)) * strength
        energy = (valid * np.square(values - smoothed)).sum() + (stiffness * bent).sum()
        noise = energy / freedom + 1e-12
    # The t distribution is a mixture of Gaussians: its own terms in place of the Gaussian's.
    mixture = ((TAIL + 1.0) * np.log1p(bent / noise / TAIL)).sum()
    gaussian = (stiffness * bent).sum() / noise
    cost = freedom * np.log(noise) + log_determinant - np.log(strength) * len(stiffness)
    return cost + mixture - gaussian, smoothed


def solve(values: np.ndarray, valid: np.ndarray, stiffness: np.ndarray) -> tuple[np.ndarray, float]:
    """The x [F] that minimise sum valid (v - x)^2 + sum stiffness (k-th difference of x)^2.

    Args:
      values: [F], v.
      valid: [F] bool.
      stiffness: [F - k] of each difference.

    Returns:
      [F], and the logarithm of the system's determinant.

    Source: Whittaker and Henderson; for k = 2 the smoother of a local linear trend.
    """
    order = len(values) - len(stiffness)
    signs = _difference(order)
    band = np.zeros((order + 1, len(values)))
    band[0] = valid + 1e-9
    for row in range(order + 1):
        for k in range(order + 1 - row):
            band[row, k : k + len(stiffness)] += signs[k] * signs[k + row] * stiffness
    factor = cholesky_banded(band, lower=True, check_finite=False)
    found = cho_solve_banded((factor, True), valid * values, check_finite=False)
    return found, 2.0 * float(np.log(factor[0]).sum())


def _difference(order: int) -> np.ndarray:
    """[order + 1] the coefficients of a difference: -1, 1; 1, -2, 1; ..."""
    signs = np.ones(1)
    for _ in range(order):
        signs = np.convolve(signs, (-1.0, 1.0))
    return signs


class OneEuro:
    """Smooths channels as frames come in: slow ones much, fast ones hardly, so that little lags.

    Args:
      min_cutoff_hz: below this frequency all passes; smaller means smoother at rest.
      beta: how much the cut-off grows with speed, in Hz for a unit a second.

    Source: Casiez, Roussel and Vogel, "1 Euro Filter", CHI 2012.
    """

    def __init__(self, *, min_cutoff_hz: float = 1.5, beta: float = 0.5):
        self._min_cutoff_hz, self._beta = min_cutoff_hz, beta
        self._value: np.ndarray | None = None
        self._speed = np.zeros(0)

    def reset(self) -> None:
        """Forgets what was: the next value stands for itself."""
        self._value = None

    def step(self, value: np.ndarray, seconds: float) -> np.ndarray:
        """The smoothed value [C] after a new one, seconds after the one before."""
        value = np.asarray(value, np.float64)
        if self._value is None:
            self._value, self._speed = value, np.zeros_like(value)
            return value
        speed = (value - self._value) / seconds
        self._speed = self._speed + _share(1.0, seconds) * (speed - self._speed)
        cutoff = self._min_cutoff_hz + self._beta * np.abs(self._speed)
        self._value = self._value + _share(cutoff, seconds) * (value - self._value)
        return self._value


def _share(cutoff_hz, seconds: float):
    """What a first-order low-pass takes of a new value."""
    turn = 2 * np.pi * cutoff_hz * seconds
    return turn / (turn + 1.0)
