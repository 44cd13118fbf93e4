"""The face of a model that is nearest to any face of the same topology: the model's own floor."""

from __future__ import annotations

import numpy as np

from facemodel.evaluation.metrics import similarity_align, vertex_error_mm
from facemodel.morphable.model import MorphableModel

ROUNDS = 20
CONVERGED_MM = 1e-5
_SMALLEST = 1e-10
"""Directions whose share of the largest one's squared length is smaller are left out."""

_FLATTEST = 3e-2
"""Moves that faces of the model make almost as well are left to the next alignment."""


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
        """Finds the nearest face.

        Each round aligns the truth with the last face, then solves for a face and a small move of
        the truth at once, as a face of the model may differ from another by much of a move.

        Args:
          truth: [V, 3] mm, the inner face.

        Returns:
          Vertices [V, 3] mm of the model's face, and their mean distance in mm from the truth
          after alignment. Coefficients may be of any size.
        """
        truth = np.asarray(truth, np.float64)
        estimate, best = self._mean, np.inf
        for _ in range(ROUNDS):
            found = self._solve(similarity_align(truth, estimate))
            apart = similarity_align(found, truth) - truth
            left = float(np.sqrt((apart**2).sum() / len(truth)))
            if best - left < CONVERGED_MM:
                break
            estimate, best = found, left
        return estimate, float(vertex_error_mm(estimate, truth))

    def _solve(self, aligned: np.ndarray) -> np.ndarray:
        away, moves = (aligned - self._mean).ravel(), _moves(aligned)
        outside = moves - (moves @ self._directions.T) @ self._directions
        step = np.linalg.lstsq(outside @ outside.T, -outside @ away, rcond=_FLATTEST)[0]
        along = (self._directions @ (away + step @ moves)) @ self._directions
        return self._mean + along.reshape(-1, 3)


def _moves(points: np.ndarray) -> np.ndarray:
    """[7, V * 3] how points move with shifts, turns about x, y, z, and scale; of length 1."""
    x, y, z = (points - points.mean(0)).T
    zero, one = np.zeros_like(x), np.ones_like(x)
    rows = [(one, zero, zero), (zero, one, zero), (zero, zero, one),
            (zero, -z, y), (z, zero, -x), (-y, x, zero), (x, y, z)]  # fmt: skip
    moves = np.stack([np.stack(row, -1).ravel() for row in rows])
    return moves / np.linalg.norm(moves, axis=1, keepdims=True)
