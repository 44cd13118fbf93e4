"""Requests that a server answers to itself before it calls a version available.

They lie in assets.extra/tf_serving_warmup_requests of a SavedModel, a TFRecord file of
PredictionLogs, where TensorFlow Serving looks for them, too.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from facemodel.records import read_records
from facemodel.saved_model.metadata import WARMUP_REQUESTS
from serving.server.status import ServingError, from_error, invalid

MAX_REQUESTS = 1000


def replay(
    path: str | os.PathLike[str],
    predict: Callable[[predict_pb2.PredictRequest], object],
    *,
    batch_sizes: Sequence[int] = (),
) -> int:
    """Sends a version's warm-up requests to it.

    Args:
      path: Folder of the version.
      predict: Function that answers a request.
      batch_sizes: How many rows a request is sent with, too, once for each kind of request. Much of
        what a graph needs is made for the size of a batch, when one comes for the first time.

    Returns:
      How many there were; it is no error if there are none.

    Raises:
      ServingError: if a record is damaged, is no Predict request or fails, or there are more than
        MAX_REQUESTS.
    """
    file = pathlib.Path(path, WARMUP_REQUESTS)
    if not file.is_file():
        return 0
    count, kinds = 0, set()
    try:
        for record in read_records(file):
            count += 1
            if count > MAX_REQUESTS:
                raise invalid(f"{file}: more than {MAX_REQUESTS} warm-up requests")
            request = _parse(record, file)
            predict(request)
            if batch_sizes and (kind := _kind(request)) not in kinds:
                kinds.add(kind)
                for batch in _batches(request, batch_sizes):
                    predict(batch)
    except tf.errors.OpError as error:
        raise from_error(error) from None
    return count


def _parse(record: bytes, file: pathlib.Path) -> predict_pb2.PredictRequest:
    try:
        log = prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError:
        raise invalid(f"{file}: failed to parse a warm-up record") from None
    kind = log.WhichOneof("log_type")
    if kind != "predict_log":
        raise ServingError(
            grpc.StatusCode.UNIMPLEMENTED, f"{file}: unsupported log_type for warm-up: {kind}"
        )
    return log.predict_log.request


def _kind(request: predict_pb2.PredictRequest) -> tuple:
    """Signature, outputs, and types and shapes of the inputs."""
    inputs = [
        (name, tensor.dtype, tensor.tensor_shape.SerializeToString(deterministic=True))
        for name, tensor in sorted(request.inputs.items())
    ]
    return request.model_spec.signature_name, tuple(request.output_filter), tuple(inputs)


def _batches(
    request: predict_pb2.PredictRequest, sizes: Sequence[int]
) -> Iterator[predict_pb2.PredictRequest]:
    """Requests with the first row of one, so many times; none if it has no rows."""
    arrays = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    if all(array.ndim and len(array) for array in arrays.values()):
        for size in sizes:
            batch = predict_pb2.PredictRequest()
            batch.CopyFrom(request)
            for name, array in arrays.items():
                rows = np.repeat(array[:1], size, axis=0)
                batch.inputs[name].CopyFrom(tf.make_tensor_proto(rows))
            yield batch
