"""The light of a photo, fitted robustly: lamps around the face for shading, and harmonics."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import optimize

ROUNDS = 6
SAMPLES = 2000
LAMPS = 80
_BACK = -0.5
"""Lamps lie where z is above this; those further behind reach no part of a face that is seen."""
_SCALE = 0.15
"""Log residuals beyond about this count less: shadows, highlights, hair."""
_RIDGE = np.array([0, 1, 1, 1, 3, 3, 3, 3, 3], np.float32) * 1e-3
_DARKEST = 0.05
_LAMP_RIDGE = 0.02


def harmonics(normals: np.ndarray) -> np.ndarray:
    """The nine real spherical harmonics of bands 0 to 2, as rendering.lighting has them.

    Args:
      normals: [..., 3] unit.

    Returns:
      [..., 9].
    """
    x, y, z = normals[..., 0], normals[..., 1], normals[..., 2]
    values = [
        np.full_like(x, 0.2820948), -0.4886025 * y, 0.4886025 * z, -0.4886025 * x,
        1.0925484 * x * y, -1.0925484 * y * z, 0.3153916 * (3.0 * z * z - 1.0),
        -1.0925484 * x * z, 0.5462742 * (x * x - y * y),
    ]  # fmt: skip
    return np.stack(values, -1)


class Light(NamedTuple):
    """Light of a photo, camera frame.

    Attributes:
      coefficients: [9, 3] harmonics of the irradiance of red, green and blue over that under which
        the face model's mean skin looks like its albedo.
      ambient: light from everywhere, white.
      directions: [J, 3] unit, to the lamps.
      strengths: [J] of the lamps, white; ambient and lamps are 1 in the mean of the seen skin.
    """

    coefficients: np.ndarray
    ambient: float
    directions: np.ndarray
    strengths: np.ndarray

    def log_shading(self, normals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log of white shading [...] at normals [..., 3], and its derivative by the normal."""
        flat = normals.reshape(-1, 3)
        facing = flat @ self.directions.T
        value = np.float32(max(self.ambient, _DARKEST)) + np.maximum(facing, 0) @ self.strengths
        reached = (facing > 0).astype(facing.dtype)
        slope = (reached @ (self.strengths[:, None] * self.directions)) / value[:, None]
        return np.log(value).reshape(normals.shape[:-1]), slope.reshape(normals.shape)


def lamp_directions(count: int = LAMPS) -> np.ndarray:
    """[<= count, 3] unit vectors spread evenly over the part of the sphere in front of _BACK."""
    z = 1 - (1 - _BACK) * (np.arange(count) + 0.5) / count
    around = np.pi * (1 + np.sqrt(5)) * np.arange(count)
    across = np.sqrt(1 - z * z)
    return np.stack([across * np.cos(around), across * np.sin(around), z], -1).astype(np.float32)


def fit_light(normals: np.ndarray, log_ratio: np.ndarray, weights: np.ndarray) -> Light:
    """Fits the light robustly to what the photo shows over what the mean albedo would.

    Lamps of strengths that are not negative can be fitted to few or one-sided normals without
    shading that is negative or rings, which harmonics of order 2 do.

    Args:
      normals: [N, 3] unit, camera frame.
      log_ratio: [N, 3] log of photo over albedo, linear RGB.
      weights: [N] >= 0.

    Returns:
      The light; of one brightness everywhere if nothing has weight.
    """
    kept = np.flatnonzero(weights > 0)
    if len(kept) < 50:
        even = np.zeros((9, 3), np.float32)
        even[0] = 2 * np.sqrt(np.pi)
        return Light(even, 1.0, np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
    kept = kept[:: max(1, len(kept) // SAMPLES)]
    normals, log_ratio = normals[kept].astype(np.float64), log_ratio[kept]
    level = np.median(log_ratio, 0)
    ratio = np.exp(log_ratio - level).astype(np.float64)
    ambient, directions, strengths, robust = _fit_lamps(
        normals, np.exp((log_ratio - level).mean(-1)), weights[kept]
    )
    each = robust / np.maximum(ratio.mean(-1), _DARKEST) ** 2
    coefficients = _weighted(harmonics(normals), ratio, each) * np.exp(level)
    return Light(coefficients.astype(np.float32), ambient, directions, strengths)


def _fit_lamps(normals, ratio, weights):
    """Ambient, directions, strengths, and the weights [N] that the samples end with."""
    directions = lamp_directions()
    basis = np.concatenate([np.ones((len(normals), 1)), np.maximum(normals @ directions.T, 0)], 1)
    shading, robust = np.ones(len(normals)), weights.astype(np.float64)
    ridge = _LAMP_RIDGE * np.eye(basis.shape[1])
    for _ in range(ROUNDS):
        root = np.sqrt(robust / robust.sum()) / shading
        stacked = np.concatenate([basis, ratio[:, None]], 1) * root[:, None]
        gram = stacked.T @ stacked
        gram[:-1, :-1] += ridge**2
        factor = np.linalg.cholesky(gram + 1e-10 * np.eye(len(gram))).T
        found, _ = optimize.nnls(factor[:-1, :-1], factor[:-1, -1])
        shading = np.maximum(basis @ found, _DARKEST)
        residual = np.log(np.maximum(ratio, 1e-3)) - np.log(shading)
        robust = weights / (1.0 + (residual / _SCALE) ** 2)
    on = found[1:] > 1e-3
    return float(found[0]), directions[on], found[1:][on].astype(np.float32), robust


def _weighted(basis, target, weights):
    scaled = basis * weights[:, None]
    total = weights.sum()
    return np.linalg.solve(basis.T @ scaled + np.diag(_RIDGE) * total, scaled.T @ target)
