"""What differs between the Keras backends, TensorFlow and JAX."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

Tensor = Any
"""A tensor of the Keras backend; outside compiled code also a numpy array."""


def backend_name() -> str:
    """The backend in use, tensorflow or jax."""
    return keras.backend.backend()


def dynamic_shapes() -> bool:
    """Whether shapes in a compiled step may depend on values, as on TensorFlow without XLA."""
    return backend_name() == "tensorflow"


def commit_to_device(variables: Iterable[Any]) -> None:
    """On JAX, ties variables to their device, as results are: else the step compiles thrice."""
    if backend_name() == "jax":
        import jax

        for variable in variables:
            variable.assign(jax.device_put(variable.value, jax.devices()[0]))


def support_new_jax() -> None:
    """Adds to newer JAX what fit() of Keras 3.6 enters: jax.spmd_mode, which is gone."""
    if backend_name() == "jax":
        import jax

        if not hasattr(jax, "spmd_mode"):
            jax.spmd_mode = contextlib.nullcontext


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
    return without_grappler() if backend_name() == "tensorflow" else contextlib.nullcontext()


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, traced once for each shape: tf.function on TensorFlow, jax.jit on JAX."""
    backend = backend_name()
    if backend == "tensorflow":
        import tensorflow

        return tensorflow.function(function, reduce_retracing=True)
    if backend == "jax":
        import jax

        return jax.jit(function)
    raise ValueError(f"the Keras backend should be tensorflow or jax, got {backend}")
