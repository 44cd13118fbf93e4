"""The face of a model that is nearest to any face of the same topology: the model's own floor."""

from __future__ import annotations

import numpy as np

from facemodel.evaluation.metrics import similarity_align, vertex_error_mm
from facemodel.morphable.model import MorphableModel

ROUNDS = 60
CONVERGED_MM = 2e-4
_SMALLEST = 1e-10
"""Directions whose share of the largest one's squared length is smaller are left out."""


class NearestFace:
    """Least-squares faces of a model, after similarity alignment, on the inner face.

    Args:
      model: the face model.
    """

    def __init__(self, model: MorphableModel):
        self._mean = model.mean[model.inner_face].astype(np.float64)
        basis = model.basis[:, model.inner_face].reshape(model.coefficient_count, -1)
        basis = basis.astype(np.float64)
        values, vectors = np.linalg.eigh(basis @ basis.T)
        kept = values > _SMALLEST * values[-1]
        self._directions = (vectors[:, kept] / np.sqrt(values[kept])).T @ basis

    def __call__(self, truth: np.ndarray) -> tuple[np.ndarray, float]:
        """Finds the nearest face by turns: aligns the truth with a face, finds its nearest face.

        Args:
          truth: [V, 3] mm, the inner face.

        Returns:
          Vertices [V, 3] mm of the model's face, and their mean distance in mm from the truth
          after alignment. Coefficients may be of any size.
        """
        truth = np.asarray(truth, np.float64)
        estimate, before = self._mean, np.inf
        for _ in range(ROUNDS):
            away = (similarity_align(truth, estimate) - self._mean).ravel()
            along = (self._directions @ away) @ self._directions
            estimate = self._mean + along.reshape(-1, 3)
            left = float(np.sqrt(((away - along) ** 2).sum() / len(truth)))
            if before - left < CONVERGED_MM:
                break
            before = left
        return estimate, float(vertex_error_mm(estimate, truth))
