"""Last layers of the loop: what each iteration makes of the network's features.

The network of figure 4 has one last layer for all iterations. What it sees differs from iteration
to iteration, and so does the best linear correction. It also sees how far photo and shading lie
apart, so the landmarks can be corrected with the face: then the next iteration is rendered in a
better pose. facemodel.network.last_layer finds these layers in closed form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from facemodel.backend import Tensor

PREFIX = "heads."


class LoopHeads(NamedTuple):
    """Linear layers for the K iterations; the last row of each is the bias.

    Attributes:
      corrections: [K, F + 1, n] from the network's features to a correction of the coefficients.
      landmarks: [K, F + 2 L + 1, 2 L] from features and residuals to a correction of the L inner
        landmarks; both in mm at the face's scale, (x, y) of the image, landmark after landmark.
    """

    corrections: Any
    landmarks: Any

    @property
    def iterations(self) -> int:
        """K, how many iterations have layers of their own; later ones use the last."""
        return int(self.corrections.shape[0])

    def correct(self, k: int, features, residuals) -> tuple[Tensor, Tensor]:
        """What iteration k (from 0) changes.

        Args:
          k: number of the iteration.
          features: [B, F] that the network's last layer gets.
          residuals: [B, L, 2] mm, detected landmarks less those of the estimate.

        Returns:
          Corrections of the coefficients [B, n] and of the landmarks [B, L, 2] mm.
        """
        k = min(k, self.iterations - 1)
        flat = ops.reshape(residuals, (-1, self.landmarks.shape[-1]))
        moved = _affine(ops.concatenate([features, flat], -1), self.landmarks[k])
        step = _affine(features, self.corrections[k])
        return step, ops.reshape(moved, (-1, flat.shape[-1] // 2, 2))

    def arrays(self) -> dict[str, np.ndarray]:
        """Names and arrays for a weights file."""
        return {
            PREFIX + name: ops.convert_to_numpy(value) for name, value in self._asdict().items()
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> LoopHeads | None:
        """Those among the arrays of a weights file; None if it has none."""
        if not all(PREFIX + field in arrays for field in cls._fields):
            return None
        return cls(*(np.asarray(arrays[PREFIX + field], np.float32) for field in cls._fields))


def _affine(rows, layer):
    return ops.matmul(rows, layer[:-1]) + layer[-1]
