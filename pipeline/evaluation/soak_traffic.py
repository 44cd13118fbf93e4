"""Requests of all sorts, right and wrong, and whether their answers are as they should be."""

from __future__ import annotations

import base64
import collections
import dataclasses
import io
import json
import queue
import socket
import threading

import grpc
import httpx
import numpy as np
from PIL import Image
from tensorflow_serving.apis import predict_pb2

from pipeline.evaluation.serving_requests import CHANNEL, PREDICT
from pipeline.evaluation.soak_versions import NAME, OUTPUTS

PATIENCE_S = 60
MESSAGE_BYTES = BODY_BYTES = 2**19
"""The server's limits."""
REFUSED = {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "503", "429"}
"""What an overloaded server says to any request."""
TOLERANCE = 5e-3
REST_CONNECTIONS = 16


@dataclasses.dataclass(frozen=True)
class Truth:
    """The faces of requests, and what both kinds of versions answer.

    Attributes:
      images: uint8 [N, H, W, 3].
      points: float32 [N, 478, 2] px.
      answers: [2, N, n] of even and of odd versions.
    """

    images: np.ndarray
    points: np.ndarray
    answers: np.ndarray

    def fits(self, face: int, answer: np.ndarray, version: int | None = None) -> bool:
        """Whether an answer is that of a version, or of any if None."""
        kinds = self.answers[:, face] if version is None else self.answers[[version % 2], face]
        if answer.shape != kinds.shape[1:]:
            return False
        return bool((np.abs(kinds - answer) < TOLERANCE).all(-1).any())


def grpc_request(truth: Truth, face: int) -> predict_pb2.PredictRequest:
    """A request for the OUTPUTS of a face."""
    import tensorflow as tf

    request = predict_pb2.PredictRequest(output_filter=OUTPUTS)
    request.model_spec.name = NAME
    for name, value in (("image", truth.images), ("landmarks", truth.points)):
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value[face : face + 1]))
    return request


def rest_body(truth: Truth, face: int) -> bytes:
    """A :predict body for a face, whose image is a PNG."""
    file = io.BytesIO()
    Image.fromarray(truth.images[face]).save(file, "PNG")
    image = {"b64": base64.b64encode(file.getvalue()).decode()}
    row = {"image_bytes": image, "landmarks": truth.points[face].tolist()}
    return json.dumps({"signature_name": "encoded", "instances": [row]}).encode()


class Traffic:
    """Sends requests of a seed to a server; usable from several threads.

    Args:
      address: HOST:PORT of gRPC.
      rest_address: HOST:PORT of REST.
      truth: Of the answers.
    """

    def __init__(self, address: str, rest_address: str, truth: Truth):
        self._truth, self._rest = truth, rest_address
        self._channel = grpc.insecure_channel(address, options=CHANNEL)
        self._predict = self._channel.unary_unary(PREDICT, None, None)
        self._http: queue.SimpleQueue[httpx.Client] = queue.SimpleQueue()
        for _ in range(REST_CONNECTIONS):
            self._http.put(httpx.Client(trust_env=False, timeout=PATIENCE_S))
        faces = range(len(truth.images))
        self._grpc_bodies = [grpc_request(truth, face).SerializeToString() for face in faces]
        self._rest_bodies = [rest_body(truth, face) for face in faces]
        self._lock = threading.Lock()
        self.seen: collections.Counter[tuple[str, str]] = collections.Counter()
        """How often each sort of request had each outcome."""
        self.wrong: dict[str, str] = {}
        """What should not have been, and what the first such error said."""
        self.versions: set[int] = set()
        """Which answered right."""

    def close(self) -> None:
        """Ends the connections."""
        self._channel.close()
        for _ in range(REST_CONNECTIONS):
            self._http.get().close()

    def send(self, seed: int) -> str:
        """Sends the request of a seed and looks at its answer; gives the outcome."""
        rng = np.random.default_rng(seed)
        name, said = str(rng.choice(list(SORTS), p=list(SORTS.values()))), ""
        try:
            outcome, right = getattr(self, f"_{name}")(rng)
        except Exception as error:  # a connection, an answer that cannot be read: never meant to be
            outcome, right, said = type(error).__name__, False, str(error)
        with self._lock:
            self.seen[name, outcome] += 1
            if not right:
                self.wrong.setdefault(f"{name}: {outcome}", said)
        return outcome

    def _good(self, rng) -> tuple[str, bool]:
        face = int(rng.integers(len(self._grpc_bodies)))
        return self._call(self._grpc_bodies[face], face=face)

    def _hurried(self, rng) -> tuple[str, bool]:
        face = int(rng.integers(len(self._grpc_bodies)))
        seconds = float(rng.uniform(0.001, 0.2))
        return self._call(self._grpc_bodies[face], "DEADLINE_EXCEEDED", face=face, seconds=seconds)

    def _malformed(self, rng) -> tuple[str, bool]:
        body = b"\xff" + rng.bytes(int(rng.integers(1, 1000)))
        return self._call(body, "INVALID_ARGUMENT")

    def _misshapen(self, rng) -> tuple[str, bool]:
        request = predict_pb2.PredictRequest.FromString(self._grpc_bodies[0])
        request.inputs["landmarks"].tensor_shape.dim[1].size = int(rng.integers(1, 478))
        return self._call(request.SerializeToString(), "INVALID_ARGUMENT")

    def _oversized(self, _rng) -> tuple[str, bool]:
        return self._call(bytes(MESSAGE_BYTES + 1), "RESOURCE_EXHAUSTED")

    def _cancelled(self, rng) -> tuple[str, bool]:
        future = self._predict.future(self._grpc_bodies[0], timeout=PATIENCE_S)
        threading.Event().wait(float(rng.uniform(0, 0.1)))
        future.cancel()
        return "cancelled", True

    def _rest_good(self, rng) -> tuple[str, bool]:
        face = int(rng.integers(len(self._rest_bodies)))
        answer = self._post(self._rest_bodies[face])
        if answer.status_code != 200:
            return str(answer.status_code), str(answer.status_code) in REFUSED
        row = answer.json()["predictions"][0]
        values = np.concatenate([row[name] for name in OUTPUTS])
        right = self._truth.fits(face, values)
        return ("200" if right else "200 and wrong"), right

    def _rest_malformed(self, rng) -> tuple[str, bool]:
        return self._status(self._post(b"{" + rng.bytes(100)), "400")

    def _rest_oversized(self, _rng) -> tuple[str, bool]:
        return self._status(self._post(b" " * (BODY_BYTES + 1)), "413")

    def _disconnected(self, rng) -> tuple[str, bool]:
        """Sends a part of a request, or all of it, and is gone."""
        host, _, port = self._rest.rpartition(":")
        body = self._rest_bodies[0]
        head = f"POST {_path()} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        text = head.encode() + body
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as connection:
            connection.sendall(text[: int(rng.integers(1, len(text) + 1))])
        return "gone", True

    def _call(
        self,
        body: bytes,
        expected: str = "OK",
        *,
        face: int | None = None,
        seconds: float = PATIENCE_S,
    ) -> tuple[str, bool]:
        try:
            answer = self._predict(body, timeout=seconds)
        except grpc.RpcError as error:
            code = error.code().name  # type: ignore[attr-defined]
            return code, code == expected or code in REFUSED
        if face is None:
            return "OK", False
        response = predict_pb2.PredictResponse.FromString(answer)
        values = np.concatenate(
            [np.frombuffer(response.outputs[n].tensor_content, np.float32) for n in OUTPUTS]
        )
        version = response.model_spec.version.value
        right = self._truth.fits(face, values, version)
        if right:
            self.versions.add(version)
        return ("OK" if right else "OK and wrong"), right

    def _post(self, body: bytes) -> httpx.Response:
        # A client that threads share may close a connection that another is about to use.
        client = self._http.get()
        try:
            return client.post(f"http://{self._rest}{_path()}", content=body)
        finally:
            self._http.put(client)

    def _status(self, answer: httpx.Response, expected: str) -> tuple[str, bool]:
        status = str(answer.status_code)
        return status, status == expected or status in REFUSED


def _path() -> str:
    return f"/v1/models/{NAME}:predict"


SORTS = {
    "good": 0.7,
    "hurried": 0.05,
    "malformed": 0.03,
    "misshapen": 0.03,
    "oversized": 0.02,
    "cancelled": 0.06,
    "rest_good": 0.05,
    "rest_malformed": 0.02,
    "rest_oversized": 0.01,
    "disconnected": 0.03,
}
"""Shares of the sorts of requests; each is a method of Traffic with an underscore."""
