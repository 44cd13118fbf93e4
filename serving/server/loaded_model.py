"""One version of a SavedModel in memory, run as TensorFlow Serving runs it."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import predict_pb2

from serving.server import warmup
from serving.server.batch_queues import Key
from serving.server.batching import Arrays
from serving.server.image_sizes import MAX_IMAGE_PIXELS, check_image_sizes
from serving.server.memory import return_memory
from serving.server.predict import (
    INITIALIZER,
    choose_outputs,
    find_signature,
    read_inputs,
    write_tensor,
)
from serving.server.scheduler import OnEnd, Scheduler
from serving.server.settings import MAX_ROWS
from serving.server.status import from_error, invalid

SERVE_TAG = "serve"
NEVER_SECONDS = 1e6
"""A deadline as far away as this is none."""
MAX_OUTPUT_SETS = 16
"""The session keeps an executor, which takes seconds to make, for each set of outputs that was
asked for. After so many of a signature all outputs are computed for any other set."""


class LoadedModel:
    """A SavedModel in a session of its own, restored from its checkpoint and warmed up.

    Args:
      path: Folder of a version.
      name: Name of the model.
      scheduler: Where requests wait for their turn; they run at once if None.
      max_image_pixels: Most pixels of an image file in a request.
      max_rows: Most rows of a request; of warm-up requests, which come with the model, any.
      batch_sizes: Sizes of batches in which warm-up requests are answered, too.

    Raises:
      ServingError, tf.errors.OpError, OSError, ValueError: if it is missing, damaged or its warm-up
        requests fail.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        name: str = "",
        scheduler: Scheduler | None = None,
        max_image_pixels: int = MAX_IMAGE_PIXELS,
        max_rows: int = MAX_ROWS,
        batch_sizes: Sequence[int] = (),
    ):
        self._scheduler: Scheduler | None = None  # a warm-up request waits for nobody
        self._name, self._max_image_pixels, self._max_rows = name, max_image_pixels, sys.maxsize
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph, config=_session_config())
        try:
            with graph.as_default():
                loader = tf.compat.v1.saved_model.loader
                meta_graph = loader.load(self._session, [SERVE_TAG], os.fspath(path))
            self.signatures = dict(meta_graph.signature_def)
            """SignatureDefs by name."""
            self._fetches = _add_fetches(graph, self.signatures)
            self._output_sets: dict[str, set[tuple[str, ...]]] = {}
            self.warmed_up = warmup.replay(path, self.predict, batch_sizes=batch_sizes)
            """How many warm-up requests there were."""
        except BaseException:
            self.close()
            raise
        self._scheduler, self._max_rows = scheduler, max_rows

    def predict(
        self,
        request: predict_pb2.PredictRequest,
        *,
        seconds: float | None = None,
        on_end: OnEnd | None = None,
    ) -> predict_pb2.PredictResponse:
        """Answers a request; of its model_spec only the signature counts.

        Args:
          request: Inputs of the signature.
          seconds: Timeout of the call; None for none.
          on_end: Registers what to do when the caller is gone, as `context.add_callback` of grpc.

        Returns:
          The outputs, and the signature's name in model_spec.

        Raises:
          ServingError: with TensorFlow Serving's code if the request does not fit the signature or
            the graph fails, or if it could not be run in time.
        """
        name, signature = find_signature(self.signatures, request.model_spec.signature_name)
        feeds = read_inputs(signature, request.inputs, max_rows=self._max_rows)
        for alias, info in signature.inputs.items():
            check_image_sizes(alias, feeds[info.name], limit=self._max_image_pixels)
        outputs = choose_outputs(signature, request.output_filter)
        computed = self._computed(name, outputs)
        seconds = None if seconds is None or seconds >= NEVER_SECONDS else seconds
        run = functools.partial(self._run, name, computed)
        if self._scheduler is None:
            values = run(feeds, seconds)
        else:
            key = Key(self._name, name, (self, computed))
            values = self._scheduler.run(key, run, feeds, seconds=seconds, on_end=on_end)
        response = predict_pb2.PredictResponse()
        response.model_spec.signature_name = name
        for output in outputs:
            write_tensor(values[output], signature.outputs[output].dtype, response.outputs[output])
        return response

    def _computed(self, signature: str, outputs: Sequence[str]) -> tuple[str, ...]:
        """The outputs to compute for those that were asked for."""
        wanted = tuple(sorted(outputs))
        known = self._output_sets.setdefault(signature, set())
        if wanted not in known and len(known) >= MAX_OUTPUT_SETS:
            return tuple(sorted(self._fetches[signature]))
        known.add(wanted)
        return wanted

    def _run(
        self, signature: str, outputs: Sequence[str], feeds: Arrays, seconds: float | None
    ) -> dict[str, np.ndarray]:
        """Computes outputs of a signature, and nothing that they do not need."""
        options = tf.compat.v1.RunOptions()
        if seconds is not None:
            options.timeout_in_ms = max(1, int(1e3 * seconds))
        fetches = {output: self._fetches[signature][output] for output in outputs}
        try:
            return self._session.run(fetches, feeds, options=options)
        except tf.errors.OpError as error:
            raise from_error(error) from None
        except UnicodeDecodeError as error:  # of a message that quotes what was sent
            raise invalid(bytes(error.object).decode(errors="replace")) from None

    def close(self) -> None:
        """Frees what session and graph hold.

        A graph is a circle of Python objects, megabytes of them, and Python looks for circles too
        seldom in a process with as many objects as TensorFlow makes. A look takes long, unless the
        process has put aside what it began with, as a server does.
        """
        self._session.close()
        del self._session
        if gc.get_freeze_count():
            gc.collect()
            return_memory()


def _add_fetches(
    graph: tf.Graph, signatures: Mapping[str, SignatureDef]
) -> dict[str, dict[str, str]]:
    """Adds an identity for each output; names of their tensors by signature and output.

    A signature is one call of a function. A session does not look into a call that is fetched
    itself; one behind an identity is inlined, so that what an output does not need is left out.
    """
    with graph.as_default():
        return {
            name: {
                output: tf.identity(graph.get_tensor_by_name(info.name)).name
                for output, info in signature.outputs.items()
            }
            for name, signature in signatures.items()
            if name != INITIALIZER
        }


def _session_config() -> tf.compat.v1.ConfigProto:
    """What is not needed is left out, calls are inlined, also those with variables; layers fused.

    Pruned first, the graph of the restore has no signature in it, and that of a request just one:
    inlining all of them takes seconds each time. Fused convolutions, normalisations and activations
    save a sixth of a face's time. Further optimization takes longer than it saves.
    """
    config = tf.compat.v1.ConfigProto()
    options = config.graph_options.rewrite_options
    options.optimizers.extend(["pruning", "function", "remap"])
    options.function_optimization = type(options).AGGRESSIVE
    options.meta_optimizer_iterations = type(options).ONE
    options.min_graph_nodes = -1
    return config
