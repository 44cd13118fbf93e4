"""The network's last layer in closed form: the best linear correction from what the rest sees.

What comes before the last layer of figure 4 are features of an estimate, and the correction is
linear in them. Given the estimates that the loop visits and the ground truth, the best such layer
is a least-squares problem with one answer, whatever the metric: it also minimises eq. 3. So a
trained network learns another population or another detector's noise from some thousand faces,
without a GPU. A changed layer visits other estimates, so visiting and solving alternate.

Source: paper eq. 3 for the loss; Ross, Gordon and Bagnell, "A Reduction of Imitation Learning and
Structured Prediction to No-Regret Online Learning" (2011), for collecting what all rounds visit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from facemodel.network.regressor import IterativeRegressor, loop_image
from facemodel.synthesis.online import OnlineBatch


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


def set_layer(network: keras.Model, layer: np.ndarray) -> None:
    """Puts kernel and bias [F + 1, n] into a network's last layer."""
    network.layers[-1].set_weights([layer[:-1].astype(np.float32), layer[-1].astype(np.float32)])


def make_visitor(regressor: IterativeRegressor) -> Callable:
    """Makes a function that runs the loop and returns the last layer's inputs and ideal outputs.

    Args:
      regressor: the loop; the function follows later changes of its network's weights.

    Returns:
      A function of an OnlineBatch and starts [B, n], to be compiled: features [K B, F] and
      corrections [K B, n] of the K estimates that the loop corrects.
    """
    network, geometry = regressor.network, regressor.geometry
    last = network.layers[-1]
    before = keras.Model(network.inputs, last.input)

    def visit(batch: OnlineBatch, estimate):
        features, corrections = [], []
        for _ in range(regressor.iterations):
            image = loop_image(geometry, estimate, batch.landmarks, batch.grey)
            features.append(before([image, estimate], training=False))
            corrections.append(batch.coefficients - estimate)
            estimate = estimate + last(features[-1])
        return ops.concatenate(features), ops.concatenate(corrections)

    return visit
