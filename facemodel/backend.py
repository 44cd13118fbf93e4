"""TensorFlow's graphs, run as they were written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras


@contextlib.contextmanager
def as_written() -> Iterator[None]:
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


def repeatable() -> contextlib.AbstractContextManager[None]:
    """Steps of Keras in the body give the same bits each time, as they do on JAX anyway."""
    on_tensorflow = keras.backend.backend() == "tensorflow"
    return as_written() if on_tensorflow else contextlib.nullcontext()
