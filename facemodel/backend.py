"""What differs between the Keras backends, TensorFlow and JAX."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras


@contextlib.contextmanager
def without_grappler() -> Iterator[None]:
    """Graphs that first run in the body are not rewritten by TensorFlow's optimizer.

    It makes a sum of three or more one op, which begins with whichever term is free first: the last
    bit then changes from one time to the next. It also takes seconds to minutes to start.
    """
    import tensorflow as tf

    before = tf.config.optimizer.get_experimental_options()
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        before.setdefault("disable_meta_optimizer", False)
        tf.config.optimizer.set_experimental_options(before)


def deterministic() -> contextlib.AbstractContextManager[None]:
    """Steps of Keras in the body give the same bits each time, as they do on JAX anyway."""
    on_tensorflow = keras.backend.backend() == "tensorflow"
    return without_grappler() if on_tensorflow else contextlib.nullcontext()


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
