"""Where the training loop starts: at the landmark fit, at the mean face, or at a mixture."""

from __future__ import annotations

from keras import ops

from facemodel import camera
from facemodel.backend import Tensor
from facemodel.fitting.landmark_fit import landmark_fit
from facemodel.morphable.geometry import FaceGeometry
from facemodel.network.training_config import TrainingConfig
from facemodel.synthesis.online import OnlineBatch
from facemodel.synthesis.streams import RandomStreams

MIN_SIGMA_MM = 0.3
"""The landmark fit never trusts landmarks more than this."""


def sample_starts(
    geometry: FaceGeometry, batch: OnlineBatch, rng: RandomStreams, config: TrainingConfig
) -> Tensor:
    """Chooses where the loop starts for each face of a batch.

    Args:
      geometry: Face model tensors.
      batch: Faces of the step.
      rng: Random streams for as many faces.
      config: Training hyperparameters, here the shares of the three kinds of start.

    Returns:
      Coefficients [B, n]: the landmark fit, zero, or uniformly between another face of the batch
      and the ground truth.

    Source: paper section 6.2 (mixtures) and 5.3 (zero).
    """
    least = MIN_SIGMA_MM * camera.crop_px_per_mm(config.size)
    fit = landmark_fit(geometry, batch.landmarks, ops.maximum(batch.sigma_px, least))
    truth, other = batch.coefficients, ops.roll(batch.coefficients, 1, axis=0)
    mixture = other + rng.uniform("start/share", (1,)) * (truth - other)
    kind = rng.uniform("start/kind", (1,))
    started = ops.where(kind < config.landmark_fit_starts + config.zero_starts, 0.0, mixture)
    return ops.where(kind < config.landmark_fit_starts, fit, started)
