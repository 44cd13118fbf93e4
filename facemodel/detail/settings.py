"""How the detail step weighs shading, skin colour, noise and smoothness."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, eq=False)
class Settings:
    """Settings of the detail step; docs/detail.md says how they were chosen.

    Attributes:
      low_mm: standard deviation of the Gaussian below which structure is fine.
      bands_mm: Scales between bands that are separated on their own.
      nearby_mm: from how far around statistics are taken.
      loading: share of the variance added to each channel's own.
      albedo_gain: multiple of the face model's fine covariance.
      odd_mm: how far outliers spread.
      largest_shading: log shading that relief hardly exceeds.
      band_tilts: radians, how far relief of each band tilts the normal in one direction, one
        standard deviation.
      excess: share of the variance above what is expected that counts as error.
      least_share: share of the variance that always does.
      error_sd: log shading, error of the estimate.
      slope: standard deviation of the relief's slopes.
      smooth_mm: relief of smaller scale is unlikely.
      largest_mm: relief of a larger wavelength belongs to the coarse face.
      rounds: Gauss-Newton steps.
      steps: of conjugate gradients in each.
    """

    low_mm: float = 3.0
    bands_mm: tuple[float, ...] = (0.5, 1.0, 2.0)
    nearby_mm: float = 8.0
    loading: float = 0.04
    albedo_gain: float = 1.0
    odd_mm: float = 0.8
    largest_shading: float = 0.2
    band_tilts: tuple[float, ...] = (0.02, 0.015, 0.013, 0.01)
    excess: float = 1.0
    least_share: float = 0.1
    error_sd: float = 0.02
    slope: float = 0.1
    smooth_mm: float = 0.5
    largest_mm: float = 20.0
    rounds: int = 2
    steps: int = 12
