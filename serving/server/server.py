"""A small model server that speaks TensorFlow Serving's gRPC protocol.

PredictionService (Predict, GetModelMetadata), ModelService (GetModelStatus) and grpc.health.v1, and
around them what front.py has, such as REST. Clients of this server work with
tensorflow_model_server unchanged, and the other way round.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import logging
import os
import pathlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent import futures
from typing import TYPE_CHECKING

import grpc

from serving.server.versions import Versions

if TYPE_CHECKING:
    from grpc_health.v1.health import HealthServicer

    from serving.server.call import Services
    from serving.server.front import FrontOptions

_log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 1.0
DRAIN_SECONDS = 30.0
WORKERS = 16
WAKE_SECONDS = 0.5
"""How often the main thread looks for a signal: one that the system gave to another thread does not
wake it."""
MAX_MESSAGE_BYTES = 2**31 - 1
"""As tensorflow_model_server."""


class ServerStartError(ValueError):
    """A server that cannot start; one line."""


class ModelServer:
    """Serves one model until it is stopped.

    Args:
      folder: Folder of the model's versions, or of one version.
      name: Model name.
      port: Port to listen on; 0 for a free one.
      host: Address to listen on.
      labels: Version numbers by label.
      poll_seconds: Interval between two looks for new versions.
      front: REST, TLS and the like; none of it if None.

    Raises:
      SecurityFileError: if a file of front cannot be used.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        name: str = "facerelief",
        port: int = 0,
        host: str = LOOPBACK,
        labels: Mapping[str, int] | None = None,
        poll_seconds: float = POLL_SECONDS,
        front: FrontOptions | None = None,
    ):
        from serving.server.front import Front, FrontOptions
        from serving.server.loaded_model import LoadedModel
        from serving.server.metrics import measured

        self._front = Front(front or FrontOptions(), host)
        self.name, self._poll_seconds = name, poll_seconds
        self._host, self._wanted_port = host, port
        load = measured(LoadedModel, self._front.metrics, name)
        self._versions = Versions(name, pathlib.Path(folder), load, labels=labels)
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._keep_polling, name="versions", daemon=True)
        self._server: grpc.Server | None = None
        self._health: HealthServicer | None = None
        self.port: int | None = None
        """On which it listens, once it has started."""

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return f"{_bracketed(self._host)}:{self.port}"

    @property
    def rest_address(self) -> str | None:
        """HOST:PORT of REST, once it has started; None without REST."""
        port = self._front.rest_port
        return None if port is None else f"{_bracketed(self._host)}:{port}"

    @property
    def available(self) -> list[int]:
        """Numbers of the versions that are served."""
        return self._versions.available

    def start(self) -> None:
        """Loads the newest version that works, then begins to listen; logs why others do not.

        Raises:
          ServerStartError: if there is none, or the port is unavailable.
        """
        if not self._versions.folder.is_dir():
            raise ServerStartError(f"{self._versions.folder}: no such folder")
        self._versions.poll(settled=False)
        if not self._versions.available:
            raise ServerStartError(f"{self._versions.folder}: no version can be served")
        server = self._server = _grpc_server(self._front.interceptors)
        self._health, services = _add_services(server, self._versions)
        self.port = self._bind(server)
        self._front.start(services)
        server.start()
        self._poller.start()

    def _bind(self, server: grpc.Server) -> int:
        try:
            address = f"{_bracketed(self._host)}:{self._wanted_port}"
            port = self._front.add_port(server, address)
        except RuntimeError:
            port = 0
        if not port:
            raise ServerStartError(f"port {self._wanted_port} of {self._host} cannot be had")
        try:
            self._front.bind_rest()
        except OSError as error:
            raise ServerStartError(f"REST port of {self._host}: {error.strerror}") from None
        return port

    def _keep_polling(self) -> None:
        while not self._stopping.wait(self._poll_seconds):
            try:
                self._versions.poll()
            except Exception:
                _log.exception("looking for new versions failed; it is tried again")

    def stop(self, *, seconds: float = DRAIN_SECONDS) -> None:
        """Takes no more requests, finishes those it has and unloads the model.

        Args:
          seconds: Time after which unfinished requests are cancelled.
        """
        self._stopping.set()
        if self._server and self._health:
            self._health.enter_graceful_shutdown()
            ended = self._server.stop(seconds)
            self._front.stop(seconds)
            ended.wait()
        if self._poller.is_alive():
            self._poller.join()  # a version that is being loaded is loaded to its end
        self._versions.close()


def _grpc_server(interceptors: Sequence[grpc.ServerInterceptor]) -> grpc.Server:
    from serving.server.front import KEEPALIVE_OPTIONS

    options = [
        *KEEPALIVE_OPTIONS,
        ("grpc.so_reuseport", 0),  # or two servers would share a port
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ]
    workers = futures.ThreadPoolExecutor(WORKERS, thread_name_prefix="request")
    return grpc.server(workers, options=options, interceptors=interceptors)


def _add_services(server: grpc.Server, versions: Versions) -> tuple[HealthServicer, Services]:
    """Registers all services; returns that of the health, and the others for this process."""
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    from serving.server.call import Services
    from serving.server.front import add_reflection
    from serving.server.services import ModelService, PredictionService

    prediction, models = PredictionService(versions), ModelService(versions)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(prediction, server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(models, server)
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    for name in ("", "PredictionService", "ModelService"):
        servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    add_reflection(server)
    return servicer, Services(prediction, models)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def check_port(host: str, port: int) -> None:
    """Tries a port before anything slow is done.

    Raises:
      ServerStartError: if it is in use, or not allowed, or the host is none of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )[0]
        with socket.socket(family, kind, protocol) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServerStartError(
                f"port {port} of {host} is in use; choose another, or 0 for a free one"
            ) from None
        raise ServerStartError(f"port {port} of {host}: {error.strerror or error}") from None


def serve(server: ModelServer, *, started: Callable[[], None] = lambda: None) -> None:
    """Runs a server in the main thread until SIGTERM or SIGINT; what it has then is finished.

    A second signal ends the process at once.

    Args:
      server: not started yet.
      started: called when requests are taken.

    Raises:
      ServerStartError: if it cannot start.
    """
    with _signals() as stop:
        try:
            server.start()
            if not stop.asked:
                started()
            while not stop.asked:
                time.sleep(WAKE_SECONDS)
            _log.info("stopping: requests that have begun are finished")
        finally:
            server.stop()


@dataclasses.dataclass
class _Stop:
    """Whether a signal has come. No threading.Event: its lock may be held when a handler runs."""

    asked: bool = False


@contextlib.contextmanager
def _signals() -> Iterator[_Stop]:
    """Notes the first SIGTERM or SIGINT."""
    noted = _Stop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def stop(*_) -> None:
        restore()
        noted.asked = True

    for number in numbers:
        signal.signal(number, stop)
    try:
        yield noted
    finally:
        restore()
