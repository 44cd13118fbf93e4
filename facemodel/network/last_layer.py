"""Last layers in closed form: the best linear corrections from what the network sees.

What comes before the last layer of figure 4 are features of an estimate, and the correction is
linear in them. Given the estimates that an iteration corrects and the ground truth, the best such
layer is a least-squares problem with one answer, whatever the metric: it also minimises eq. 3. So a
trained network learns another population or another detector's noise from some thousand faces,
without a GPU. Each iteration gets a layer of its own for the estimates that the ones before leave,
and one that corrects the landmarks.

Source: paper eq. 3 for the loss; one regressor for each step on the last one's results: Xiong and
De la Torre, "Supervised Descent Method and Its Applications to Face Alignment" (2013).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from facemodel.network.folding import fold_normalisations
from facemodel.network.regressor import IterativeRegressor, features_of, loop_view


@dataclasses.dataclass(frozen=True)
class NormalEquations:
    """Sums over N visited estimates, float64, from which the layer follows.

    Attributes:
      gram: [F + 1, F + 1] of the features and a one for the bias.
      moment: [F + 1, n] of features times the corrections that would reach the ground truth.
      count: N.
    """

    gram: np.ndarray
    moment: np.ndarray
    count: int

    @classmethod
    def empty(cls, features: int, outputs: int) -> NormalEquations:
        """Of no estimates."""
        return cls(np.zeros((features + 1,) * 2), np.zeros((features + 1, outputs)), 0)

    def add(self, features: np.ndarray, corrections: np.ndarray) -> NormalEquations:
        """With more estimates: features [N, F], corrections [N, n]."""
        rows = np.concatenate([features, np.ones((len(features), 1))], 1, dtype=np.float64)
        return NormalEquations(
            self.gram + rows.T @ rows, self.moment + rows.T @ corrections, self.count + len(rows)
        )

    def solve(self, layer: np.ndarray, *, trust: float) -> np.ndarray:
        """Finds the best layer near a given one.

        Args:
          layer: [F + 1, n] kernel and, as the last row, bias.
          trust: for how many estimates that layer counts; above 0.

        Returns:
          [F + 1, n].
        """
        variance = np.maximum(np.diag(self.gram) / max(self.count, 1), 1e-6)
        ridge = self.gram + trust * np.diag(variance)
        return layer + np.linalg.solve(ridge, self.moment - self.gram @ layer)


def get_layer(network: keras.Model) -> np.ndarray:
    """Kernel and bias of a network's last layer: [F + 1, n] float64."""
    kernel, bias = network.layers[-1].get_weights()
    return np.concatenate([kernel, bias[None]]).astype(np.float64)


class View(NamedTuple):
    """What the last layers get of B estimates.

    Attributes:
      features: [B, F] of the network.
      residuals: [B, L, 2] mm at the face's scale, given landmarks less those of the estimate.
      scale: [B] px/mm of the estimate.
    """

    features: Any
    residuals: Any
    scale: Any


def make_viewer(regressor: IterativeRegressor) -> Callable[[Any, Any, Any], View]:
    """Makes a function of grey [B, S, S], landmarks [B, L, 2] px and estimates [B, n]."""
    before = features_of(fold_normalisations(regressor.network))

    def view(grey, landmarks, estimate) -> View:
        image, residuals, pose = loop_view(regressor.geometry, estimate, landmarks, grey)
        return View(before([image, estimate], training=False), residuals, pose.scale)

    return view


def solve_heads(
    view: View,
    corrections: np.ndarray,
    shifts_mm: np.ndarray,
    layer: np.ndarray,
    *,
    trust: float,
    landmark_trust: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The best layers for N estimates that an iteration corrects.

    Args:
      view: what they look like, arrays.
      corrections: [N, n] that would reach the ground truth.
      shifts_mm: [N, L, 2] that would take the landmarks to their true places.
      layer: [F + 1, n] the network's own last layer.
      trust: for how many estimates that counts.
      landmark_trust: for how many estimates "no shift" counts.

    Returns:
      [F + 1, n] and [F + 2 L + 1, 2 L], as one iteration of LoopHeads has them.
    """
    features, flat = view.features, view.residuals.reshape(len(view.features), -1)
    sums = NormalEquations.empty(features.shape[1], corrections.shape[1])
    own = sums.add(features, corrections).solve(layer, trust=trust)
    rows, shifts = np.concatenate([features, flat], 1), shifts_mm.reshape(len(flat), -1)
    sums = NormalEquations.empty(rows.shape[1], shifts.shape[1])
    nothing = np.zeros((rows.shape[1] + 1, shifts.shape[1]))
    return own, sums.add(rows, shifts).solve(nothing, trust=landmark_trust)
