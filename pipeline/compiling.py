"""Compiles a function of tensors on whichever Keras backend is in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, traced once for each shape: tf.function on TensorFlow, jax.jit on JAX."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow

        return tensorflow.function(function, reduce_retracing=True)
    if backend == "jax":
        import jax

        return jax.jit(function)
    raise ValueError(f"the Keras backend should be tensorflow or jax, got {backend}")
