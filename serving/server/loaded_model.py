"""One version of a SavedModel in memory, run as TensorFlow Serving runs it."""

from __future__ import annotations

import os

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from serving.server import warmup
from serving.server.predict import choose_outputs, find_signature, read_inputs
from serving.server.status import from_error

SERVE_TAG = "serve"
NEVER_SECONDS = 1e6
"""A deadline as far away as this is none."""


class LoadedModel:
    """A SavedModel in a session of its own, restored from its checkpoint and warmed up.

    Args:
      path: Folder of a version.

    Raises:
      ServingError, tf.errors.OpError, OSError, ValueError: if it is missing, damaged or its warm-up
        requests fail.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph, config=_session_config())
        try:
            with self._graph.as_default():
                loader = tf.compat.v1.saved_model.loader
                meta_graph = loader.load(self._session, [SERVE_TAG], os.fspath(path))
            self.signatures = dict(meta_graph.signature_def)
            """SignatureDefs by name."""
            self.warmed_up = warmup.replay(path, self.predict)
            """How many warm-up requests were replayed."""
        except BaseException:
            self.close()
            raise

    def predict(
        self, request: predict_pb2.PredictRequest, *, seconds: float | None = None
    ) -> predict_pb2.PredictResponse:
        """Answers a request; of its model_spec only the signature counts.

        Args:
          request: Inputs of the signature.
          seconds: Timeout of the call; None for none.

        Returns:
          The outputs, and the signature's name in model_spec.

        Raises:
          ServingError: with TensorFlow Serving's code if the request does not fit the signature or
            the graph fails.
        """
        name, signature = find_signature(self.signatures, request.model_spec.signature_name)
        feeds = read_inputs(signature, request.inputs)
        outputs = choose_outputs(signature, request.output_filter)
        options = tf.compat.v1.RunOptions()
        if seconds is not None and seconds < NEVER_SECONDS:
            options.timeout_in_ms = max(1, int(1e3 * seconds))
        fetches = {output: signature.outputs[output].name for output in outputs}
        try:
            values = self._session.run(fetches, feeds, options=options)
        except tf.errors.OpError as error:
            raise from_error(error) from None
        response = predict_pb2.PredictResponse()
        response.model_spec.signature_name = name
        for output, value in values.items():
            proto = tf.make_tensor_proto(value, dtype=signature.outputs[output].dtype)
            response.outputs[output].CopyFrom(proto)
        return response

    def close(self) -> None:
        """Frees what the session holds."""
        self._session.close()


def _session_config() -> tf.compat.v1.ConfigProto:
    """Graphs run as they are: optimizing these takes seconds and makes them no faster."""
    config = tf.compat.v1.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    return config
