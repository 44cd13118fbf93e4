"""Batch normalisation whose training step is one pass over memory."""

from __future__ import annotations

from typing import Any

from keras import layers

from facemodel.backend import normalise_batch


class BatchNormalization(layers.BatchNormalization):
    """Keras's layer, of the last axis; with statistics of a batch it uses the backend's fused op.

    Keras takes the mean, the variance and the result in separate passes, each in float32: with
    bfloat16 on a CPU that costs more than the convolutions.
    """

    def call(self, inputs, training=None, mask=None) -> Any:
        """Normalises [B, ..., C]; in training by the batch, whose statistics are remembered."""
        if not training or mask is not None:
            return super().call(inputs, training=training, mask=mask)
        fused = normalise_batch(inputs, self.gamma, self.beta, self.epsilon)
        if fused is None:
            return super().call(inputs, training=training)
        result, mean, variance = fused
        for average, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(average * self.momentum + value * (1.0 - self.momentum))
        return result
