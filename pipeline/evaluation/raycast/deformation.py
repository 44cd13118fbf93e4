"""Smooth random deformations that take a head out of a face model's span.

A deformation is a function of places on the mean head, so meshes of all levels, the eyes and the
inside of the mouth follow it without a gap.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facemodel.texture.projection import smoothstep

WAVES = 96
SCALES = ((60.0, 0.7), (30.0, 0.6), (15.0, 0.6), (8.0, 0.33))
"""Length scale in mm of each random field, and its standard deviation in mm for each axis."""
STRENGTH = (0.75, 1.25)
NASION_MM, SUBNASALE_MM, CHIN_MM = -7.0, -60.0, -128.0
"""Heights on the default model's mean face."""
NOSE_LENGTH, LOWER_FACE = (0.0, 2.5), (-3.0, 3.0)
"""Mean and standard deviation in mm of what is added to nasion-subnasale and subnasale-chin; the
model's own lower face is about 4 mm longer than published means."""
_NOSE_TIP, _NOSE_BRIDGE = (0.0, -52.0, 44.0), (0.0, -27.0, 34.0)
_SOFT_MM = 12.0


@dataclasses.dataclass(frozen=True, eq=False)
class Deformation:
    """A smooth displacement of a head.

    Attributes:
      frequencies: [K, 3] 1/mm of the waves; phases: [K]; amplitudes: [K, 3] mm.
      nose_length, lower_face: mm added to nasion-subnasale and to subnasale-chin.
      nose: width (share), tip and bridge forwards (mm).
      widths: shares by which the whole head, its jaw and its depth grow.
    """

    frequencies: np.ndarray
    phases: np.ndarray
    amplitudes: np.ndarray
    nose_length: float
    lower_face: float
    nose: tuple[float, float, float]
    widths: tuple[float, float, float]

    def __call__(self, places: np.ndarray) -> np.ndarray:
        """Displacements [N, 3] mm at places [N, 3] mm of the mean head, model space."""
        places = np.asarray(places, np.float64)
        waves = np.cos(places @ self.frequencies.T + self.phases)
        return waves @ self.amplitudes + self._proportions(places)

    def _proportions(self, places: np.ndarray) -> np.ndarray:
        x, y, z = places.T
        moved = np.zeros_like(places)
        front = smoothstep((z + 90.0) / 60.0, 0.0, 1.0)
        moved[:, 1] -= front * (
            self.nose_length * _ramp(y, NASION_MM, SUBNASALE_MM)
            + self.lower_face * _ramp(y, SUBNASALE_MM, CHIN_MM)
        )
        width, tip, bridge = self.nose
        near_tip, near_bridge = _bump(places, _NOSE_TIP, 15.0), _bump(places, _NOSE_BRIDGE, 9.0)
        moved[:, 2] += tip * near_tip + bridge * near_bridge
        head, jaw, depth = self.widths
        below = smoothstep((-60.0 - y) / 60.0, 0.0, 1.0) * front
        moved[:, 0] += x * (width * near_tip + head + jaw * below)
        moved[:, 2] += depth * (z + 50.0)
        return moved


def sample_deformation(rng: np.random.Generator) -> Deformation:
    """Draws a deformation: Gaussian random fields of several scales, and other proportions."""
    strength = rng.uniform(*STRENGTH)
    frequencies = [rng.standard_normal((WAVES, 3)) / scale for scale, _ in SCALES]
    amplitudes = [
        strength * spread * np.sqrt(2 / WAVES) * rng.standard_normal((WAVES, 3))
        for _, spread in SCALES
    ]
    return Deformation(
        frequencies=np.concatenate(frequencies),
        phases=rng.uniform(0, 2 * np.pi, WAVES * len(SCALES)),
        amplitudes=np.concatenate(amplitudes),
        nose_length=rng.normal(*NOSE_LENGTH),
        lower_face=rng.normal(*LOWER_FACE),
        nose=(rng.normal(0, 0.06), rng.normal(0, 1.5), rng.normal(0, 0.8)),
        widths=(rng.normal(0, 0.02), rng.normal(0, 0.03), rng.normal(0, 0.02)),
    )


def displace(
    deformation: Deformation, vertices: np.ndarray, places: np.ndarray, rigid: list[np.ndarray]
) -> np.ndarray:
    """Deforms a head.

    Args:
      deformation: the displacement.
      vertices: [V, 3] mm, of this head.
      places: [V, 3] mm, of the same vertices on the mean head.
      rigid: vertex numbers of parts that move as a whole, such as an eyeball.

    Returns:
      [V, 3] float32 mm.
    """
    moved = deformation(places)
    for part in rigid:
        moved[part] = moved[part].mean(0)
    return (vertices + moved).astype(np.float32)


def _ramp(y: np.ndarray, top: float, bottom: float) -> np.ndarray:
    """0 above top, 1 below bottom, straight between, with soft ends (a difference of softplus)."""

    def soft(values):
        return np.logaddexp(0.0, values / _SOFT_MM * 2.0) * _SOFT_MM / 2.0

    return (soft(top - y) - soft(bottom - y)) / (top - bottom)


def _bump(places: np.ndarray, middle: tuple[float, float, float], radius: float) -> np.ndarray:
    """[N] 1 at a place, falling off as a Gaussian."""
    return np.exp(-((places - middle) ** 2).sum(1) / (2 * radius**2))
