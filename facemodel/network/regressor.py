"""The regression network of figure 4 and the loop in which it corrects its own estimate."""

from __future__ import annotations

import keras
from keras import layers, ops

from facemodel.fitting.alignment import fit_face_pose
from facemodel.morphable.geometry import FaceGeometry, decode
from facemodel.network.training_config import ITERATIONS
from facemodel.rendering.shading import render_shading

_BLOCKS = ((32, 1), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1))


def build_network(
    coefficient_count: int, *, momentum: float = 0.98, precision: str = "float32"
) -> keras.Model:
    """Builds the network that sees photo and shading and outputs a correction to the coefficients.

    The image may have any size (training can grow it from 100 to 200). The last layer starts at
    zero, so that the untrained loop leaves its start unchanged.

    Args:
      coefficient_count: n; 284 gives the paper's 3.6 M parameters.
      momentum: of the batch normalisations' moving averages.
      precision: Keras' name of what it computes in: float32, or mixed_bfloat16 for a GPU; weights,
        input coefficients and result are float32.

    Returns:
      keras.Model: [image [B, S, S, 2] in [0, 1], coefficients [B, n]] -> correction [B, n].

    Source: paper figure 4.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return _network(coefficient_count, momentum)
    finally:
        keras.config.set_dtype_policy(before)


def _network(coefficient_count: int, momentum: float) -> keras.Model:
    image = keras.Input((None, None, 2), name="image")
    coefficients = keras.Input((coefficient_count,), name="coefficients", dtype="float32")
    x = layers.Conv2D(32, 7, 2, "same", use_bias=False)(image)
    x = layers.ReLU()(layers.BatchNormalization(momentum=momentum)(x))
    for filters, stride in _BLOCKS:
        x = _residual_block(x, filters, stride, momentum)
    x = layers.Conv2D(coefficient_count, 3, 1, "same")(x)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Concatenate(dtype="float32")([x, coefficients])
    delta = layers.Dense(coefficient_count, kernel_initializer="zeros", dtype="float32")(x)
    return keras.Model([image, coefficients], delta, name="correction")


def _residual_block(x, filters: int, stride: int, momentum: float):
    def normalised(y, size, step):
        y = layers.Conv2D(filters, size, step, "same", use_bias=False)(y)
        return layers.BatchNormalization(momentum=momentum)(y)

    y = layers.ReLU()(normalised(x, 3, stride))
    y = normalised(y, 3, 1)
    if stride != 1 or x.shape[-1] != filters:
        x = normalised(x, 1, stride)
    return layers.ReLU()(layers.Add()([y, x]))


def loop_image(geometry: FaceGeometry, coefficients, landmarks, grey):
    """What the network sees of an estimate: the photo masked by it, and its frontal shading.

    The pose is fitted anew to the landmarks, then shading and mask of the coarse mesh are rendered:
    in so small an image they hardly differ from finer ones and take two thirds of the time.

    Args:
      geometry: of the face model.
      coefficients: [B, n] the current estimate.
      landmarks: [B, 51, 2] px in the crop.
      grey: [B, S, S] crop in [0, 1].

    Returns:
      [B, S, S, 2] in [0, 1].

    Source: paper section 5.1 and figure 3.
    """
    pose = fit_face_pose(geometry, coefficients, landmarks)
    vertices = decode(geometry.coarse, coefficients)
    shading, mask = render_shading(geometry.coarse, vertices, pose, size=grey.shape[1])
    return ops.stack([grey * mask, shading], -1)


class IterativeRegressor(keras.Model):
    """Iterative error feedback: K times render the estimate, compare it with the photo, correct it.

    Gradients flow through each correction but not from one iteration into the previous one.

    Source: paper section 5.1 and 5.3.
    """

    def __init__(
        self, geometry: FaceGeometry, network: keras.Model, *, iterations: int = ITERATIONS
    ):
        super().__init__(name="iterative_regressor", dtype="float32")
        self.geometry, self.network, self.iterations = geometry, network, iterations

    def call(self, inputs, training=False):
        """Runs the loop.

        Args:
          inputs: a dict of grey [B, S, S] in [0, 1], landmarks [B, 51, 2] px in the crop,
            start [B, n].
          training: whether batch statistics are used and updated.

        Returns:
          [B, K + 1, n] the estimates, the start first.
        """
        estimates = [inputs["start"]]
        for _ in range(self.iterations):
            current = ops.stop_gradient(estimates[-1])
            image = loop_image(self.geometry, current, inputs["landmarks"], inputs["grey"])
            estimates.append(
                current + self.network([ops.stop_gradient(image), current], training=training)
            )
        return ops.stack(estimates, 1)
