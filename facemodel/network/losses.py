"""The training loss: mean squared distance between two geometries, without building them."""

from __future__ import annotations

from keras import ops

from facemodel.backend import Tensor


def geometry_loss(predicted, target, gram_factor) -> Tensor:
    """Mean squared vertex distance of two coefficient vectors.

    With G = A A^T / V = F F^T, |A d|^2 / V = d^T G d = |d F|^2: no tensor of V vertices.

    Args:
      predicted: [..., n] coefficients.
      target: [..., n] coefficients.
      gram_factor: [n, n] F from geometry.gram_factor.

    Returns:
      [...] mm^2.

    Source: paper section 5.2, eq. 3.
    """
    return ops.sum(ops.square(ops.matmul(predicted - target, gram_factor)), -1)
