"""An imitation of the landmark detector: how its landmarks err, sampled at random."""

from __future__ import annotations

from keras import ops

from facemodel.backend import Tensor
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.synthesis.distributions import Range
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.streams import RandomStreams

AS_MEASURED = Range(1.0, 1.0)


def sample_landmark_noise(
    measured: LandmarkNoise, rng: RandomStreams, *, bias: Range = AS_MEASURED
) -> Tensor:
    """Draws errors of detected landmarks: [B, L, 2] mm; bias says how often the mean is in them."""
    count, _, shared = measured.factor.shape
    share = bias.low
    if bias.high > bias.low:
        share = bias.from_uniform(rng.uniform("landmarks/bias"))[:, None, None]
    errors = share * measured.mean + measured.rest_sd * rng.normal("landmarks/rest", (count, 2))
    if shared:
        weights = rng.normal("landmarks/shared", (shared,))
        directions = measured.factor.reshape(count * 2, shared)
        errors = errors + ops.reshape(ops.einsum("bk,lk->bl", weights, directions), (-1, count, 2))
    return errors


def simulate_detection(
    landmarks, scale, config: SynthesisConfig, rng: RandomStreams, measured: LandmarkNoise
) -> tuple[Tensor, Tensor]:
    """Imitates a detector.

    Args:
      landmarks: [B, L, 2] px, ground truth.
      scale: [B] px/mm of the faces.
      config: says how much stronger or weaker than measured the noise may be.
      rng: Random streams.
      measured: The real detector's errors at these L landmarks.

    Returns:
      [B, L, 2] px as detected, and [B] px, the standard deviation of the error.
    """
    strength = scale * config.landmark_noise.from_uniform(rng.uniform("landmarks/strength"))
    errors = sample_landmark_noise(measured, rng, bias=config.landmark_bias)
    return landmarks + strength[:, None, None] * errors, strength * measured.sigma_mm
