"""Warm-up requests in a SavedModel: a server answers them before it takes others."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Sequence

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from facemodel import examples

REQUESTS_FILE = pathlib.Path("assets.extra", "tf_serving_warmup_requests")
"""Where TensorFlow Serving looks for them."""


def predict_requests(
    records: Sequence[bytes], *, name: str
) -> Iterator[predict_pb2.PredictRequest]:
    """Asks for each record's face by every signature that takes pictures.

    Args:
      records: serialized tf.Examples.
      name: of the served model.
    """
    for record in records:
        image_bytes, landmarks = examples.parse_request([record])
        inputs = {
            "serving_default": {
                "image": examples.decode_images(image_bytes),
                "landmarks": landmarks,
            },
            "encoded": {"image_bytes": image_bytes, "landmarks": landmarks},
            "examples": {"examples": tf.constant([record])},
        }
        for signature, values in inputs.items():
            yield predict_request(values, name=name, signature=signature)


def predict_request(values: dict, *, name: str, signature: str) -> predict_pb2.PredictRequest:
    """Puts tensors by input name into a request."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for key, value in values.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def write_requests(
    path: str | os.PathLike[str], records: Sequence[bytes], *, name: str
) -> pathlib.Path:
    """Writes warm-up requests made of records.

    Args:
      path: of a SavedModel that no server watches yet.
      records: serialized tf.Examples.
      name: of the served model.

    Returns:
      The file's path.
    """
    file = pathlib.Path(path) / REQUESTS_FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(os.fspath(file)) as writer:
        for request in predict_requests(records, name=name):
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())
    return file
