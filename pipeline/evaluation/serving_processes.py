"""What a measurement of serving runs beside itself: servers, and the SavedModel without one."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import multiprocessing
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent import futures

import numpy as np
import psutil

from pipeline.evaluation.serving_load import CODE_OK, Step, load
from pipeline.evaluation.serving_requests import make_face

PATIENCE_S = 120
START = ("-m", "pipeline.cli", "serve", "--port", "0")


class Server:
    """A server that takes requests.

    Attributes:
      address: HOST:PORT of gRPC.
      rest_address: HOST:PORT of REST; None without.
      process: Its process.
    """

    def __init__(self, printed: Sequence[str], process: psutil.Popen):
        found = {line.split()[0]: line.split()[-1] for line in printed}
        self.address, self.rest_address = found["serving"], found.get("REST")
        self.process = process

    @property
    def ended(self) -> bool:
        """Whether it is no more."""
        return self.process.poll() is not None

    def cpu(self) -> float:
        """Processor time so far, s."""
        times = self.process.cpu_times()
        return times.user + times.system

    @property
    def rss_mib(self) -> float:
        """Memory, MiB."""
        return self.process.memory_info().rss / 2**20


@contextlib.contextmanager
def server(options: Sequence[str]) -> Iterator[Server]:
    """Starts `facerelief serve` on a free port of the loopback address, and ends it.

    Raises:
      RuntimeError: if it does not start.
    """
    process = psutil.Popen(
        [sys.executable, *START, *options], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        yield Server(_until_it_serves(process), process)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _until_it_serves(process: psutil.Popen) -> list[str]:
    """The lines that a server prints until it serves, or has ended."""
    assert process.stdout
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if re.match(r"serving .* on \S+$", line):
            return lines
    raise RuntimeError("the server did not start")


class BareModel:
    """The default SavedModel in a process of its own, called without any server.

    Args:
      size: Of the images, px.
    """

    def __init__(self, size: int):
        context = multiprocessing.get_context("spawn")
        self._pool = futures.ProcessPoolExecutor(
            1, mp_context=context, initializer=_prepare, initargs=(size,)
        )

    def __enter__(self) -> BareModel:
        return self

    def __exit__(self, *_) -> None:
        self._pool.shutdown()

    def load(self, *, batch: int, callers: int, seconds: float) -> Step:
        """Calls it for some seconds with one batch after the other, from so many threads."""
        return self._pool.submit(_load_bare, batch, callers, seconds).result()

    def coefficients(self) -> np.ndarray:
        """[n] of the face that all requests have."""
        return self._pool.submit(_coefficients).result()


_bare: dict = {}
"""Of the process in which the model is: its function, and the images' size."""


def _prepare(size: int) -> None:
    """Loads the model, once in that process; calls then run on all its threads."""
    from pipeline.cli import prepare_keras
    from serving.quiet import without_notices

    prepare_keras()
    with without_notices():
        import tensorflow as tf

        from serving.model_store import default_model_dir

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        _bare["model"] = tf.saved_model.load(str(default_model_dir()))
    _bare["size"] = size


@functools.cache
def _inputs(batch: int) -> dict:
    """A batch as tensors; the model has seen its shape when this returns."""
    import tensorflow as tf

    image, points = make_face(_bare["size"])
    arrays = {"image": image, "landmarks": points}
    inputs = {name: tf.constant(np.repeat(a, batch, 0)) for name, a in arrays.items()}
    _bare["model"].signatures["serving_default"](**inputs)
    return inputs


def _load_bare(batch: int, callers: int, seconds: float) -> Step:
    inputs, predict = _inputs(batch), _bare["model"].signatures["serving_default"]

    def send() -> str:
        for output in predict(**inputs).values():
            output.numpy()
        return CODE_OK

    step = load(send, clients=callers, seconds=seconds, faces=batch, cpu=time.process_time)
    return dataclasses.replace(step, client_cpu_s=0.0)


def _coefficients() -> np.ndarray:
    outputs = _bare["model"].signatures["serving_default"](**_inputs(1))
    return outputs["coefficients"].numpy()[0]
