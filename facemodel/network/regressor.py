"""The regression network of figure 4 and the loop in which it corrects its own estimate."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import layers, ops

from facemodel import camera
from facemodel.backend import Tensor, jax_scan, prefers_scans
from facemodel.camera import Pose
from facemodel.fitting.alignment import fit_face_pose
from facemodel.morphable.geometry import FaceGeometry, decode, decode_landmarks
from facemodel.network.heads import LoopHeads
from facemodel.network.normalisation import BatchNormalization
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
      momentum: Momentum of the batch normalisations' moving averages.
      precision: Dtype policy of the layers: float32, or mixed_bfloat16 for a GPU or a CPU with AMX;
        weights, input coefficients and result are float32.

    Returns:
      keras.Model: [image [B, S, S, 2] in [0, 1], coefficients [B, n]] -> correction [B, n].

    Source: paper figure 4.
    """
    make = _LayerMaker(momentum, precision)
    image = keras.Input((None, None, 2), name="image")
    coefficients = keras.Input((coefficient_count,), name="coefficients")
    x = make.relu(make.normalised(image, 32, 7, 2))
    for filters, stride in _BLOCKS:
        x = make.residual_block(x, filters, stride)
    x = layers.Conv2D(coefficient_count, 3, 1, "same", dtype=precision)(x)
    x = layers.GlobalAveragePooling2D(dtype=precision)(x)
    x = layers.Concatenate(dtype="float32")([x, coefficients])
    delta = layers.Dense(coefficient_count, kernel_initializer="zeros", dtype="float32")(x)
    return keras.Model([image, coefficients], delta, name="correction")


class _LayerMaker(NamedTuple):
    """Layers that share a batch normalisation's momentum and a dtype policy."""

    momentum: float
    dtype: str

    def relu(self, x):
        return layers.ReLU(dtype=self.dtype)(x)

    def normalised(self, x, filters: int, size: int, stride: int):
        x = layers.Conv2D(filters, size, stride, "same", use_bias=False, dtype=self.dtype)(x)
        return BatchNormalization(momentum=self.momentum, dtype=self.dtype)(x)

    def residual_block(self, x, filters: int, stride: int):
        y = self.relu(self.normalised(x, filters, 3, stride))
        y = self.normalised(y, filters, 3, 1)
        if stride != 1 or x.shape[-1] != filters:
            x = self.normalised(x, filters, 1, stride)
        return self.relu(layers.Add(dtype=self.dtype)([y, x]))


def loop_image(geometry: FaceGeometry, coefficients, landmarks, grey) -> Tensor:
    """What the network sees of an estimate: the photo masked by it, and its frontal shading.

    The pose is refitted to the landmarks, then shading and mask of the coarse mesh are rendered:
    in so small an image they hardly differ from finer ones and take two thirds of the time.

    Args:
      geometry: Face model tensors.
      coefficients: Current estimates [B, n].
      landmarks: Inner landmarks [B, 51, 2], px in the crop.
      grey: Crops [B, S, S] in [0, 1].

    Returns:
      [B, S, S, 2] in [0, 1].

    Source: paper section 5.1 and figure 3.
    """
    pose = fit_face_pose(geometry, coefficients, landmarks)
    return _image(geometry, coefficients, pose, grey)


def _image(geometry: FaceGeometry, coefficients, pose: Pose, grey) -> Tensor:
    vertices = decode(geometry.coarse, coefficients)
    shading, mask = render_shading(geometry.coarse, vertices, pose, size=grey.shape[1])
    return ops.stack([grey * mask, shading], -1)


def loop_view(geometry: FaceGeometry, coefficients, landmarks, grey) -> tuple[Tensor, Tensor, Pose]:
    """loop_image, how far the landmarks are from the estimate's, and the estimate's pose.

    Args: as loop_image.

    Returns:
      [B, S, S, 2]; residuals [B, 51, 2] mm at the face's scale, y down; the pose.
    """
    pose = fit_face_pose(geometry, coefficients, landmarks)
    own = camera.project(decode_landmarks(geometry, coefficients), pose)[..., :2]
    residuals = (landmarks - own) / pose.scale[:, None, None]
    return _image(geometry, coefficients, pose, grey), residuals, pose


class LoopResult(NamedTuple):
    """What the loop found.

    Attributes:
      estimates: [B, K + 1, n], the start first.
      landmarks: [B, K + 1, 51, 2] px in the crop, the given ones first; heads correct them.
    """

    estimates: Any
    landmarks: Any


class IterativeRegressor(keras.Model):
    """Iterative error feedback: K times render the estimate, compare it with the photo, correct it.

    Gradients flow through each correction but not from one iteration into the previous one.
    weights.py saves and loads the network, so neither this class nor the trainer has a get_config.

    Args:
      geometry: Face model tensors.
      network: Correction network from build_network.
      iterations: Number of iterations, K.
      step_decay: How much of its correction each iteration applies, of what the one before did; 1
        for the paper's loop, and for training.
      heads: Last layers of the iterations, in place of the network's own; training has none.

    Attributes:
      scanned: Whether iterations without heads are one compiled body that runs K times, which is
        compiled sooner; by default where backend.prefers_scans says so. JAX only; the same result.

    Source: paper section 5.1 and 5.3; on smaller and smaller steps where each answer is noisy,
    Robbins and Monro, "A Stochastic Approximation Method", 1951.
    """

    def __init__(
        self,
        geometry: FaceGeometry,
        network: keras.Model,
        *,
        iterations: int = ITERATIONS,
        step_decay: float = 1.0,
        heads: LoopHeads | None = None,
    ):
        super().__init__(name="iterative_regressor", dtype="float32")
        self.geometry, self.network, self.heads = geometry, network, heads
        self.iterations, self.step_decay = iterations, step_decay
        self.scanned = prefers_scans()
        self.built = True  # else fit() on JAX builds it with a first batch, and drops that

    def call(self, inputs, training=False) -> Tensor:
        """The estimates of `run`, with its arguments: [B, K + 1, n]."""
        return self.run(inputs, training=training).estimates

    def run(self, inputs, *, training: bool = False) -> LoopResult:
        """Runs the loop.

        Args:
          inputs: Dict of grey [B, S, S] in [0, 1], landmarks [B, 51, 2] px in the crop,
            start [B, n].
          training: Whether batch statistics are used and updated.
        """
        if self.heads is None and self.scanned:
            return self._scan(**inputs, training=training)
        grey, estimates, places = inputs["grey"], [inputs["start"]], [inputs["landmarks"]]
        for k in range(self.iterations):
            current, landmarks = ops.stop_gradient(estimates[-1]), places[-1]
            if self.heads is None:
                image = ops.stop_gradient(loop_image(self.geometry, current, landmarks, grey))
                step = self.network([image, current], training=training)
            else:
                image, residuals, pose = loop_view(self.geometry, current, landmarks, grey)
                features = features_of(self.network)([image, current], training=training)
                step, moved_mm = self.heads.correct(k, features, residuals)
                landmarks = landmarks + pose.scale[:, None, None] * moved_mm
            estimates.append(current + self.step_decay**k * step)
            places.append(landmarks)
        return LoopResult(ops.stack(estimates, 1), ops.stack(places, 1))

    def _scan(self, grey, landmarks, start, *, training: bool) -> LoopResult:
        """The loop without heads as a scan, which carries the normalisations' averages along."""
        averages = self.network.non_trainable_variables
        trained = [variable.value for variable in self.network.trainable_variables]

        def iterate(carried, share):
            current, state = ops.stop_gradient(carried[0]), carried[1]
            image = ops.stop_gradient(loop_image(self.geometry, current, landmarks, grey))
            step, state = self.network.stateless_call(
                trained, state, [image, current], training=training
            )
            estimate = current + share * step
            return (estimate, state), estimate

        shares = ops.convert_to_tensor([self.step_decay**k for k in range(self.iterations)])
        begun = (start, [variable.value for variable in averages])
        (_, state), found = jax_scan(iterate, begun, shares)
        for variable, value in zip(averages, state if training else ()):
            variable.assign(value)
        estimates = ops.concatenate([start[None], found])
        places = ops.repeat(landmarks[None], self.iterations + 1, 0)
        return LoopResult(ops.swapaxes(estimates, 0, 1), ops.swapaxes(places, 0, 1))


def features_of(network: keras.Model) -> keras.Model:
    """What a network computes before its last layer: [B, F], of the same inputs."""
    return keras.Model(network.inputs, network.layers[-1].input)
