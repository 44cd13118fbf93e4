"""Warm-up requests in a SavedModel: a server answers them before it takes others."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable, Iterator

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from facemodel.files import atomic_path
from facemodel.records import decode_images, parse_request
from facemodel.saved_model.metadata import MESH_OUTPUTS, WARMUP_REQUESTS


def predict_requests(
    records: Iterable[bytes], *, name: str
) -> Iterator[predict_pb2.PredictRequest]:
    """Asks for each record's face by every signature that takes images, and as clients do.

    Args:
      records: serialized tf.Examples.
      name: Name of the served model.
    """
    for record in records:
        image_bytes, landmarks = parse_request([record])
        pixels = {"image": decode_images(image_bytes), "landmarks": landmarks}
        inputs = {
            "serving_default": pixels,
            "mesh": pixels,
            "encoded": {"image_bytes": image_bytes, "landmarks": landmarks},
            "examples": {"examples": tf.constant([record])},
        }
        for signature, values in inputs.items():
            yield predict_request(values, name=name, signature=signature)
        asked = predict_request(pixels, name=name, signature="serving_default")
        asked.output_filter.extend(MESH_OUTPUTS)
        yield asked


def predict_request(values: dict, *, name: str, signature: str) -> predict_pb2.PredictRequest:
    """Puts tensors by input name into a request."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    for key, value in values.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def write_requests(
    path: str | os.PathLike[str], requests: Iterable[predict_pb2.PredictRequest]
) -> pathlib.Path:
    """Puts warm-up requests into a SavedModel that no server watches yet.

    Args:
      path: Folder of the version.
      requests: Requests to be replayed in this order.

    Returns:
      The file's path.
    """
    file = pathlib.Path(path, WARMUP_REQUESTS)
    file.parent.mkdir(exist_ok=True)
    with atomic_path(file) as temporary, tf.io.TFRecordWriter(os.fspath(temporary)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            writer.write(log.SerializeToString())
    return file
