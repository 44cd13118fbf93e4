"""Errors of estimated coefficients on the inner face."""

from __future__ import annotations

import numpy as np

from facemodel.evaluation import metrics
from facemodel.morphable.model import MorphableModel


class InnerFaceErrors:
    """Distances between faces that are given by coefficients.

    Args:
      model: Face model.
    """

    def __init__(self, model: MorphableModel):
        self._mean = model.mean[model.inner_face]
        self._basis = model.basis[:, model.inner_face].reshape(model.coefficient_count, -1)

    def vertices(self, coefficients) -> np.ndarray:
        """[..., n] -> the inner face [..., V, 3] mm."""
        offsets = np.asarray(coefficients, np.float32) @ self._basis
        return self._mean + offsets.reshape(*offsets.shape[:-1], -1, 3)

    def errors_mm(self, estimates, truth) -> np.ndarray:
        """Mean distance of vertices after similarity alignment.

        Args:
          estimates: Coefficients [..., n].
          truth: Ground truth, [n] or of the estimates' shape.

        Returns:
          [...] mm; infinite for an estimate that is not finite: no face was found.
        """
        estimates = np.asarray(estimates, np.float32)
        found = np.isfinite(estimates).all(-1)
        estimated = self.vertices(np.where(found[..., None], estimates, 0.0))
        true = np.broadcast_to(self.vertices(truth), estimated.shape)
        return np.where(found, metrics.vertex_error_mm(estimated, true), np.inf)
