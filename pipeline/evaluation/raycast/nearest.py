"""The face of a model that is nearest to any face of the same topology: the model's own floor."""

from __future__ import annotations

import functools

import numpy as np

from facemodel.evaluation.metrics import similarity_align, vertex_error_mm
from facemodel.morphable.model import MorphableModel

ROUNDS = 6


class NearestFace:
    """Least-squares faces of a model, after similarity alignment, on the inner face.

    Args:
      model: the face model.
    """

    def __init__(self, model: MorphableModel):
        self._mean = model.mean[model.inner_face].astype(np.float64)
        basis = model.basis[:, model.inner_face].reshape(model.coefficient_count, -1)
        self._basis = basis.astype(np.float64)

    @functools.cached_property
    def _gram(self) -> np.ndarray:
        return self._basis @ self._basis.T

    def __call__(self, truth: np.ndarray) -> tuple[np.ndarray, float]:
        """Finds the nearest face.

        The pose is part of each linear system, as small moves of the aligned truth.

        Args:
          truth: [V, 3] mm, the inner face.

        Returns:
          Vertices [V, 3] mm of the model's face, and their mean distance in mm from the truth
          after alignment.
        """
        truth = np.asarray(truth, np.float64)
        estimate, best = self._mean, np.inf
        for _ in range(ROUNDS):
            aligned = similarity_align(truth, estimate)
            estimate = self._solve(aligned)
            error = float(vertex_error_mm(estimate, truth))
            if best - error < 1e-4:
                break
            best = error
        return estimate, error

    def _solve(self, aligned: np.ndarray) -> np.ndarray:
        moves = _moves(aligned)
        cross = self._basis @ moves.T
        gram = np.block([[self._gram, -cross], [-cross.T, moves @ moves.T]])
        target = (aligned - self._mean).ravel()
        right = np.concatenate([self._basis @ target, -moves @ target])
        gram[np.diag_indices_from(gram)] *= 1 + 1e-9
        solved = np.linalg.solve(gram, right)[: len(self._basis)]
        return self._mean + (solved @ self._basis).reshape(-1, 3)


def _moves(points: np.ndarray) -> np.ndarray:
    """[7, V * 3] how points move with shifts, turns about x, y, z, and scale."""
    x, y, z = (points - points.mean(0)).T
    zero, one = np.zeros_like(x), np.ones_like(x)
    rows = [(one, zero, zero), (zero, one, zero), (zero, zero, one),
            (zero, -z, y), (z, zero, -x), (-y, x, zero), (x, y, z)]  # fmt: skip
    return np.stack([np.stack(row, -1).ravel() for row in rows])
