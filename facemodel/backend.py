"""What differs between the Keras backends, TensorFlow and JAX."""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras

Tensor = Any
"""A tensor of the Keras backend; outside compiled code also a numpy array."""


_use_xla_steps = contextvars.ContextVar("use_xla_steps", default=False)


def backend_name() -> str:
    """The backend in use, tensorflow or jax."""
    return keras.backend.backend()


def dynamic_shapes() -> bool:
    """Whether shapes in a compiled step may depend on values, as on TensorFlow without XLA."""
    return backend_name() == "tensorflow"


def prefers_scans() -> bool:
    """Whether one body that runs several times beats several copies of it: on JAX but for CPUs.

    There XLA compiles it in a fraction of the time and frees what each time needs; its code for
    CPUs makes bodies of loops slow, and TensorFlow's gradient of a loop keeps all it has seen.
    """
    if backend_name() != "jax":
        return False
    import jax

    return jax.default_backend() != "cpu"


def jax_scan(body: Callable[..., Any], begun: Any, given: Any) -> tuple[Any, Any]:
    """jax.lax.scan; that of Keras 3.6 wants on TensorFlow that body returns the same twice.

    Args:
      body: (carried, one of given) -> (carried, result).
      begun: what is carried first.
      given: [K, ...].

    Returns:
      What is carried last, and the results [K, ...].
    """
    import jax

    return jax.lax.scan(body, begun, given)


def commit_to_device(variables: Iterable[Any]) -> None:
    """On JAX, ties variables to their device, as results are: else the step compiles thrice."""
    if backend_name() == "jax":
        import jax

        for variable in variables:
            variable.assign(jax.device_put(variable.value, jax.devices()[0]))


def prepare_jax() -> None:
    """On JAX: float32 products of float32, and what fit() of Keras 3.6 enters, jax.spmd_mode.

    Newer GPUs would multiply in TF32, which moves a landmark fit of exact landmarks by 0.4 mm;
    layers in bfloat16 stay as fast.
    """
    if backend_name() == "jax":
        import jax

        jax.config.update("jax_default_matmul_precision", "highest")
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


def normalise_batch(images, scale, offset, epsilon: float) -> tuple[Tensor, Tensor, Tensor] | None:
    """Normalises images by the statistics of their batch, where the backend has one op for it.

    Args:
      images: [B, H, W, C].
      scale: [C] variable.
      offset: [C] variable.
      epsilon: Added to the variance.

    Returns:
      [B, H, W, C] of the same dtype, and mean and variance [C] float32; None if there is no op.
    """
    if backend_name() != "tensorflow":
        return None
    import tensorflow as tf

    none = tf.zeros([0])
    result, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=images, scale=scale.value, offset=offset.value, mean=none, variance=none, epsilon=epsilon
    )
    count = tf.cast(tf.size(images) // images.shape[-1], tf.float32)
    return result, mean, variance * (count - 1.0) / count  # the op's variance is the unbiased one


def transpose_list(values) -> Tensor:
    """[N, C] -> [C, N], or back, float32, where N is the length of a list and differs each time.

    TensorFlow has oneDNN transpose floats, which writes code for each shape and keeps that of the
    last thousand: some 0.2 ms and 50 KiB each. An einsum is transposed by other code.
    """
    if backend_name() != "tensorflow":
        return keras.ops.transpose(values)
    import tensorflow as tf

    return tf.raw_ops.Einsum(inputs=[values], equation="nc->cn")


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


@contextlib.contextmanager
def use_xla_steps() -> Iterator[None]:
    """On TensorFlow, XLA compiles each step called in the body alone: no work is done twice."""
    token = _use_xla_steps.set(True)
    try:
        yield
    finally:
        _use_xla_steps.reset(token)


def xla_step(
    function: Callable[..., Any] | None = None, *, only: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """Marks a function of images [B, ...] as a step, see use_xla_steps; a decorator.

    Args:
      function: Function of tensors or named tuples of them.
      only: Function of the same arguments that returns [B], 0 for images that the step leaves as
        they are: its first argument, which separate steps then do not compute. None if all change.
    """
    if function is None:
        return functools.partial(xla_step, only=only)

    @functools.wraps(function)
    def call(*arguments):
        if not _use_xla_steps.get():
            return function(*arguments)
        if only is None:
            return _compiled_by_xla(function)(*arguments)
        return _change(function, arguments, only(*arguments))

    return call


def _change(function: Callable[..., Any], arguments: tuple, chosen) -> Any:
    import tensorflow as tf

    picked = tf.where(chosen > 0.0)[:, 0]
    changed = tf.map_fn(
        lambda k: _compiled_by_xla(function)(
            *tf.nest.map_structure(lambda part: tf.gather(part, k[None]), arguments)
        )[0],
        picked,
        parallel_iterations=1,
        fn_output_signature=tf.TensorSpec(arguments[0].shape[1:], tf.float32),
    )
    return tf.tensor_scatter_nd_update(arguments[0], picked[:, None], changed)


@functools.cache
def _compiled_by_xla(function: Callable[..., Any]) -> Callable[..., Any]:
    import tensorflow as tf

    atexit.register(_compiled_by_xla.cache_clear)  # TensorFlow complains of what is left after it
    return tf.function(function, autograph=False, jit_compile=True)
