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
      albedo_gain: multiple of the face model's fine variance of the albedo that counts as error.
      shape_gain: multiple of the coarse face's own squared fine shading that does.
      odd_mm: how far outliers spread.
      largest_shading: log shading that relief hardly exceeds.
      tilt: radians, how far relief tilts the normal in one direction, one standard deviation.
      excess: share of the variance above what is expected that counts as error.
      error_sd: log shading, error of the estimate on the plainest skin.
      slope: standard deviation of the relief's slopes.
      smooth_mm: relief of smaller scale is unlikely.
      largest_mm: relief of a larger wavelength belongs to the coarse face.
      rounds: Gauss-Newton steps.
      steps: of conjugate gradients in each.
    """

    low_mm: float = 2.0
    bands_mm: tuple[float, ...] = (0.7,)
    nearby_mm: float = 8.0
    loading: float = 0.01
    albedo_gain: float = 6.0
    shape_gain: float = 3.0
    odd_mm: float = 0.8
    largest_shading: float = 0.15
    tilt: float = 0.04
    excess: float = 0.5
    error_sd: float = 0.1
    slope: float = 0.6
    smooth_mm: float = 0.5
    largest_mm: float = 12.0
    rounds: int = 1
    steps: int = 6
