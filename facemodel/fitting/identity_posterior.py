"""What many estimates of one person's identity say together: a Gaussian that grows narrower."""

from __future__ import annotations

import dataclasses

import numpy as np

SINGLE_SD = 0.45
"""How far the estimate of one good frame is from that of all, in standard deviations."""
SHARED_SD = 0.35
"""What all frames of a shot get wrong alike, which no number of frames takes away."""
YAW_DEG, PITCH_DEG = 30.0, 25.0
"""Turns at which a frame's weight has fallen to 1/e."""
LEAST_WEIGHT = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class IdentityPosterior:
    """A normal distribution of identity coefficients, each independent of the others.

    Attributes:
      mean: [I] standard deviations of the face model.
      precision: of each coefficient, without what all frames get wrong alike.
    """

    mean: np.ndarray
    precision: float

    @classmethod
    def prior(cls, count: int) -> IdentityPosterior:
        """Before the first frame: the face model's own distribution, N(0, 1)."""
        return cls(np.zeros(count), 1.0)

    def updated(self, identity: np.ndarray, weight: float) -> IdentityPosterior:
        """With one more frame.

        Args:
          identity: [I] its estimate.
          weight: How much it counts, in [0, 1].
        """
        gained = weight / SINGLE_SD**2
        precision = self.precision + gained
        step = gained / precision * (np.asarray(identity, np.float64) - self.mean)
        return IdentityPosterior(self.mean + step, precision)

    @property
    def sd(self) -> float:
        """Standard deviation of a coefficient."""
        return float(np.sqrt(1.0 / self.precision + SHARED_SD**2))


def posterior_of(identities: np.ndarray, weights: np.ndarray) -> IdentityPosterior:
    """The same from all frames at once: estimates [F, I] and their weights [F]."""
    gained = np.asarray(weights) / SINGLE_SD**2
    precision = 1.0 + gained.sum()
    return IdentityPosterior(gained @ np.asarray(identities, np.float64) / precision, precision)


def frame_weight(yaw_deg: float, pitch_deg: float, sharpness: float) -> float:
    """How much a frame says about identity: most if it is sharp and seen from in front.

    Args:
      yaw_deg: turn of the head.
      pitch_deg: its nod.
      sharpness: in [0, 1], relative to the sharpest frame so far.
    """
    turned = (yaw_deg / YAW_DEG) ** 2 + (pitch_deg / PITCH_DEG) ** 2
    return float(max(np.exp(-turned) * np.clip(sharpness, 0.0, 1.0), LEAST_WEIGHT))
