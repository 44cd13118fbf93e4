"""Requests of a load generator, made once as bytes, and the cheapest way to send them."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.client
import io
import json
import threading
from collections.abc import Callable, Iterator

import grpc
import numpy as np
from PIL import Image

from facemodel.morphable.landmarks import embedded_points
from facemodel.morphable.model import MorphableModel
from pipeline.evaluation.serving_load import CODE_OK

PREDICT = "/tensorflow.serving.PredictionService/Predict"
NAME = "facerelief"
PATIENCE_S = 300
CHANNEL = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]


def make_face(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A noise image with the landmarks of the mean face in its middle.

    Args:
      size: Width and height in px.

    Returns:
      uint8 [1, size, size, 3] and float32 [1, 478, 2] px.
    """
    model = MorphableModel.load()
    at = (model.triangles, model.landmark_triangles, model.landmark_barycentric)
    points = np.asarray(embedded_points(model.mean, *at))[:, :2]
    scale = 0.6 * size / np.ptp(points[:, 1])
    middle = (points.max(0) + points.min(0)) / 2
    pixels = (points - middle) * (scale, -scale) + size / 2
    image = np.random.default_rng(0).integers(0, 256, (1, size, size, 3), dtype=np.uint8)
    return image, pixels[None].astype(np.float32)


def grpc_body(size: int, *, name: str = NAME) -> bytes:
    """A Predict request of one face for `serving_default`, as it goes over the wire."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    for key, value in zip(("image", "landmarks"), make_face(size), strict=True):
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request.SerializeToString()


def rest_body(size: int) -> bytes:
    """A :predict body of one face for `encoded`, whose image is a JPEG."""
    image, points = make_face(size)
    file = io.BytesIO()
    Image.fromarray(image[0]).save(file, "JPEG")
    inputs = {
        "image_bytes": [{"b64": base64.b64encode(file.getvalue()).decode()}],
        "landmarks": points.tolist(),
    }
    return json.dumps({"signature_name": "encoded", "inputs": inputs}).encode()


class Checked:
    """Sends, and keeps the last answer as bytes, so that it can be read afterwards.

    Args:
      call: Sends the request; gives the status code and the answer.
      read: Coefficients of an answer.
    """

    def __init__(self, call: Callable[[], tuple[str, bytes]], read: Callable[[bytes], np.ndarray]):
        self._call, self._read = call, read
        self._last = b""

    def send(self) -> str:
        """See serving_load.Send."""
        code, answer = self._call()
        if code == CODE_OK:
            self._last = answer
        return code

    def coefficients(self) -> np.ndarray:
        """[n] of the last answer."""
        return self._read(self._last)


@contextlib.contextmanager
def grpc_caller(address: str, body: bytes) -> Iterator[Checked]:
    """Calls Predict with ready bytes; answers stay bytes."""
    with grpc.insecure_channel(address, options=CHANNEL) as channel:
        predict = channel.unary_unary(PREDICT, None, None)
        yield Checked(functools.partial(_grpc_call, predict, body), _read_grpc)


def _grpc_call(predict: Callable, body: bytes) -> tuple[str, bytes]:
    try:
        return CODE_OK, predict(body, timeout=PATIENCE_S)
    except grpc.RpcError as error:
        return error.code().name, b""  # type: ignore[attr-defined]


def _read_grpc(answer: bytes) -> np.ndarray:
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    response = predict_pb2.PredictResponse.FromString(answer)
    return tf.make_ndarray(response.outputs["coefficients"])[0]


@contextlib.contextmanager
def rest_caller(address: str, body: bytes, *, name: str = NAME) -> Iterator[Checked]:
    """Posts ready bytes to :predict, over one kept connection for each thread."""
    kept = threading.local()
    host, _, port = address.rpartition(":")

    def call() -> tuple[str, bytes]:
        connection = getattr(kept, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE_S)
            kept.connection = connection
        try:
            connection.request("POST", f"/v1/models/{name}:predict", body)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            return type(error).__name__, b""
        return (CODE_OK if answer.status == 200 else f"HTTP {answer.status}"), content

    yield Checked(call, _read_rest)


def _read_rest(answer: bytes) -> np.ndarray:
    return np.array(json.loads(answer)["outputs"]["coefficients"][0], np.float32)
