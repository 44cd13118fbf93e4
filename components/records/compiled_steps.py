"""Calls the steps of a photo's making compiled by XLA, each one alone."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable

import tensorflow as tf


def run_compiled(step: Callable, *arguments, only=None):
    """Calls a step of effects.photograph, compiled; each one alone, so that no work is repeated.

    Args:
      step: the function.
      arguments: tensors [B, ...] or tuples of them; with only, the first is changed by the step.
      only: [B], 0 for images that the step leaves unchanged; None if it changes all.
    """
    if only is None:
        return _compiled(step)(*arguments)
    picked = tf.where(only > 0.0)[:, 0]
    changed = tf.map_fn(
        lambda k: _compiled(step)(
            *tf.nest.map_structure(lambda part: tf.gather(part, k[None]), arguments)
        )[0],
        picked,
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec(arguments[0].shape[1:], tf.float32),
    )
    return tf.tensor_scatter_nd_update(arguments[0], picked[:, None], changed)


@functools.cache
def _compiled(function: Callable) -> Callable:
    atexit.register(_compiled.cache_clear)  # TensorFlow complains of what is left after it
    return tf.function(function, autograph=False, jit_compile=True)
