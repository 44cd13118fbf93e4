"""A face model behind a server: tensorflow_model_server or `facerelief serve`.

with RemoteModel("127.0.0.1:8500") as remote, Reconstructor(face_model=remote) as reconstructor:
    faces = reconstructor.reconstruct(image)
"""

from __future__ import annotations

import itertools
import json
import random
import re
import time
from collections.abc import Callable, Mapping

import grpc
import numpy as np
from typing_extensions import Self

from serving.model_store import SavedFaceModel
from serving.quiet import without_notices

DEFAULT_NAME = "facerelief"
TIMEOUT_S = 30.0
ATTEMPTS = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 3.0
MAX_MESSAGE_BYTES = 64 * 2**20
OUTPUTS = frozenset(
    {"coefficients", "vertices", "rotation", "scale", "translation", "crop_from_image"}
    | {"iterations", "shading", "mask", "crop"}
)
ARRAYS = ("mean", "triangles", "albedo_mean", "regions")
LANDMARK_ARRAYS = ("landmark_triangles", "landmark_barycentric")


class RemoteModelError(ConnectionError):
    """A server that cannot be reached or does not answer as it should; one line with HOST:PORT.

    Attributes:
      code: the grpc.StatusCode of the answer; None if there was an answer that cannot be used.
    """

    def __init__(self, address: str, message: str, code: grpc.StatusCode | None = None):
        super().__init__(f"{address}: {message}")
        self.code = code


class RemoteModel:
    """Calls a model on a server; usable from several threads.

    Args:
      address: HOST:PORT.
      name: Name of the model there.
      label: Label of the version; the newest if None.
      timeout_s: Deadline of one call with all its attempts, s.
      attempts: Tries of a call while the server is UNAVAILABLE; nothing else is retried.
      max_message_bytes: Limit of requests and answers.

    Raises:
      RemoteModelError: if the server or the model isn't there.
      ValueError: if the address isn't HOST:PORT.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str = DEFAULT_NAME,
        label: str | None = None,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ):
        _check_address(address)
        with without_notices():
            from tensorflow_serving.apis import prediction_service_pb2_grpc
        self.address, self._name, self._label = address, name, label
        self._timeout_s, self._attempts = timeout_s, attempts
        self._channel = grpc.insecure_channel(address, options=_channel_options(max_message_bytes))
        self._predict = prediction_service_pb2_grpc.PredictionServiceStub(self._channel).Predict
        self._models: dict[int, SavedFaceModel] = {}
        try:
            self._last = self._describe(self._ask_metadata(None))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection."""
        self._channel.close()

    @property
    def model(self) -> SavedFaceModel:
        """What the server says of the version that answered last."""
        return self._last

    def run(
        self, image: np.ndarray, landmarks: np.ndarray
    ) -> tuple[dict[str, np.ndarray], SavedFaceModel]:
        """See reconstructor.Predictor.

        Raises:
          RemoteModelError: if there is no answer in time, or not the expected one.
        """
        inputs = {"image": image, "landmarks": landmarks}
        for _ in range(self._attempts):
            response = self._call(self._request("serving_default", inputs))
            outputs = self._outputs(response, OUTPUTS)
            try:
                self._last = self._model_of(response)
            except RemoteModelError as error:
                if error.code is not grpc.StatusCode.NOT_FOUND:
                    raise
            else:
                return outputs, self._last
        raise RemoteModelError(self.address, "the served version changes with every call")

    def _model_of(self, response) -> SavedFaceModel:
        """What is known of the version that made a response; asks for it if it is a new one."""
        version = response.model_spec.version.value
        if version not in self._models:
            self._models[version] = self._describe(self._ask_metadata(version))
        return self._models[version]

    def _ask_metadata(self, version: int | None):
        inputs = {"request": np.array([b""], object)}
        return self._call(self._request("metadata", inputs, version=version))

    def _describe(self, response) -> SavedFaceModel:
        names = {*ARRAYS, *LANDMARK_ARRAYS, "description"}
        outputs = {name: value[0] for name, value in self._outputs(response, names).items()}
        try:
            facts = json.loads(outputs.pop("description"))
        except ValueError:
            raise RemoteModelError(
                self.address, f"model {self._name} has damaged metadata"
            ) from None
        saved = SavedFaceModel(None, facts, outputs)
        self._models[response.model_spec.version.value] = saved
        return saved

    def _request(self, signature: str, inputs: Mapping, *, version: int | None = None):
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = self._name, signature
        if version is not None:
            request.model_spec.version.value = version
        elif self._label is not None:
            request.model_spec.version_label = self._label
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        return request

    def _outputs(self, response, names) -> dict[str, np.ndarray]:
        import tensorflow as tf

        missing = sorted(set(names) - set(response.outputs))
        if missing:
            raise RemoteModelError(
                self.address,
                f"model {self._name} does not give {', '.join(missing)}: "
                "not a SavedModel of this version of facerelief",
            )
        return {name: tf.make_ndarray(response.outputs[name]) for name in names}

    def _call(self, request):
        """Predict, again while the server is unavailable and there is time."""
        ends = time.monotonic() + self._timeout_s
        for attempt in itertools.count(1):
            try:
                return self._predict(request, timeout=max(0.001, ends - time.monotonic()))
            except grpc.RpcError as error:
                pause = _pause(attempt)
                again = attempt < self._attempts and time.monotonic() + pause < ends
                if error.code() is not grpc.StatusCode.UNAVAILABLE or not again:
                    raise self._explained(error) from None
                time.sleep(pause)

    def _explained(self, error) -> RemoteModelError:
        code, details = error.code(), " ".join((error.details() or "").split())
        say: Mapping[grpc.StatusCode, Callable[[], str]] = {
            grpc.StatusCode.UNAVAILABLE: lambda: f"cannot be reached ({details})",
            grpc.StatusCode.DEADLINE_EXCEEDED: lambda: f"no answer within {self._timeout_s:g} s",
            grpc.StatusCode.NOT_FOUND: lambda: f"serves no model {self._name} ({details})",
            grpc.StatusCode.RESOURCE_EXHAUSTED: lambda: f"too much for one message ({details})",
        }
        text = say.get(code, lambda: f"refused the request: {code.name}: {details}")()
        return RemoteModelError(self.address, text, code)


def _check_address(address: str) -> None:
    found = re.fullmatch(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):([0-9]{1,5})", address)
    if not found:
        raise ValueError(f"server should be HOST:PORT, got {address!r}")
    if not 1 <= int(found[1]) <= 65535:  # grpc would take it modulo 65536
        raise ValueError(f"server should be HOST:PORT with a port of 1 to 65535, got {address!r}")


def _pause(attempt: int) -> float:
    """Seconds before the next attempt: doubling, and different for each client."""
    return random.uniform(0.5, 1.0) * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (attempt - 1))


def _channel_options(max_message_bytes: int) -> list[tuple[str, int]]:
    return [
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.enable_retries", 0),  # the attempts are counted here
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.enable_http_proxy", 0),
    ]
