"""A face model behind a server: tensorflow_model_server or `facerelief serve`.

with RemoteModel("127.0.0.1:8500") as remote, Reconstructor(face_model=remote) as reconstructor:
    faces = reconstructor.reconstruct(image)
"""

from __future__ import annotations

import itertools
import random
import re
import time
from collections.abc import Callable, Mapping

import grpc
from typing_extensions import Self

from serving.quiet import without_notices
from serving.served_model import ATTEMPTS, RemoteModelError, ServedModel
from serving.server_access import ServerAccess

DEFAULT_NAME = "facerelief"
TIMEOUT_S = 30.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 3.0
MAX_MESSAGE_BYTES = 64 * 2**20


class RemoteModel(ServedModel):
    """Calls a model on a server; usable from several threads.

    When the server is started again, the next call connects to it.

    Args:
      address: HOST:PORT.
      name: Name of the model there.
      label: Label of the version; the newest if None.
      timeout_s: Deadline of one call with all its attempts, s.
      attempts: Tries of a call while the server is UNAVAILABLE; nothing else is retried.
      max_message_bytes: Limit of requests and answers.
      access: TLS, token and keep-alive; none of it if None.

    Raises:
      RemoteModelError: if the server or the model isn't there.
      ValueError: if the address isn't HOST:PORT, or a file of access cannot be used.
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
        access: ServerAccess | None = None,
    ):
        _check_address(address)
        with without_notices():
            from tensorflow_serving.apis import prediction_service_pb2_grpc
        self._timeout_s, self._access = timeout_s, access or ServerAccess()
        self._channel = self._access.channel(address, _channel_options(max_message_bytes))
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        try:
            super().__init__(
                self._predict, address=address, name=name, label=label, attempts=attempts
            )
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

    def _predict(self, request):
        """Predict, again while the server is unavailable and there is time."""
        ends, metadata = time.monotonic() + self._timeout_s, self._access.metadata()
        for attempt in itertools.count(1):
            try:
                left = max(0.001, ends - time.monotonic())
                return self._stub.Predict(request, timeout=left, metadata=metadata)
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
            grpc.StatusCode.UNAUTHENTICATED: lambda: f"does not accept the token ({details})",
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
        # Time for one try to connect, 20 s by default: so long a server is not looked for again
        # after it was away.
        ("grpc.min_reconnect_backoff_ms", 5000),
    ]
