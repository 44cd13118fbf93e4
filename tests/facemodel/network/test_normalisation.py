"""The fused batch normalisation against Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from facemodel.network.normalisation import BatchNormalization


def trained(kind, images, gradient):
    """What a layer gives in training, its gradients, and what it remembers."""
    layer = kind(momentum=0.9, name="bn")
    layer.build(images.shape)
    layer.gamma.assign(np.linspace(0.5, 2.0, 5))
    layer.beta.assign(np.linspace(-1.0, 1.0, 5))
    with tf.GradientTape() as tape:
        tape.watch(images)
        result = layer(images, training=True)
        loss = tf.reduce_sum(result * gradient)
    gradients = tape.gradient(loss, [images, *layer.trainable_variables])
    return [result, *gradients, layer.moving_mean.value, layer.moving_variance.value, layer(images)]


def test_it_is_keras_own_layer():
    """Results, gradients, averages, and results by these averages: two implementations."""
    rng = np.random.default_rng(0)
    images = tf.constant(rng.normal(3.0, 2.0, (3, 4, 6, 5)).astype(np.float32))
    gradient = tf.constant(rng.normal(size=images.shape).astype(np.float32))
    ours = trained(BatchNormalization, images, gradient)
    keras_own = trained(keras.layers.BatchNormalization, images, gradient)
    for one, other in zip(ours, keras_own, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_the_dtype_is_the_policys(precision):
    layer = BatchNormalization(dtype=precision)
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype(np.float32)
    result = layer(images, training=True)
    assert keras.backend.standardize_dtype(result.dtype) == layer.compute_dtype
    assert layer.moving_variance.dtype == "float32"
    np.testing.assert_allclose(np.asarray(result, np.float32).std((0, 1, 2)), 1.0, atol=0.02)
