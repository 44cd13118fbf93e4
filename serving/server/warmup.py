"""Requests that a server answers to itself before it calls a version available.

They lie in assets.extra/tf_serving_warmup_requests of a SavedModel, a TFRecord file of
PredictionLogs, where TensorFlow Serving looks for them, too.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from facemodel.records import read_records
from facemodel.saved_model.metadata import WARMUP_REQUESTS
from serving.server.status import ServingError, from_error, invalid

MAX_REQUESTS = 1000


def replay(
    path: str | os.PathLike[str], predict: Callable[[predict_pb2.PredictRequest], object]
) -> int:
    """Sends a version's warm-up requests to it.

    Args:
      path: Folder of the version.
      predict: Function that answers a request.

    Returns:
      How many there were; it is no error if there are none.

    Raises:
      ServingError: if a record is damaged, is no Predict request or fails, or there are more than
        MAX_REQUESTS.
    """
    file = pathlib.Path(path, WARMUP_REQUESTS)
    if not file.is_file():
        return 0
    count = 0
    try:
        for record in read_records(file):
            count += 1
            if count > MAX_REQUESTS:
                raise invalid(f"{file}: more than {MAX_REQUESTS} warm-up requests")
            predict(_parse(record, file))
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
