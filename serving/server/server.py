"""A small model server that speaks TensorFlow Serving's gRPC protocol.

PredictionService (Predict, GetModelMetadata), ModelService (GetModelStatus,
HandleReloadConfigRequest) and grpc.health.v1, and around them what front.py has, such as REST.
Clients of this server work with
tensorflow_model_server unchanged, and the other way round.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import pathlib
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import TYPE_CHECKING

import grpc

from serving.server.model_config import ModelEntry, read_model_config
from serving.server.models import Models
from serving.server.request_log import RequestLog
from serving.server.scheduler import Scheduler
from serving.server.settings import ServerSettings
from serving.server.status import ServingError
from serving.server.text_protos import ConfigFileError

if TYPE_CHECKING:
    from grpc_health.v1.health import HealthServicer

    from serving.server.call import Services
    from serving.server.front import FrontOptions
    from serving.server.versions import ServedModel

_log = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
POLL_SECONDS = 1.0


class ServerStartError(ValueError):
    """A server that cannot start; one line."""


class ModelServer:
    """Serves models until it is stopped.

    Args:
      folder: Folder of the model's versions, or of one version; not used with config_file.
      name: Model name.
      port: Port to listen on; 0 for a free one.
      host: Address to listen on.
      labels: Version numbers by label.
      poll_seconds: Interval between two looks for new versions.
      config_file: models.config that names the models, in place of folder, name and labels.
      settings: Limits, batching and life cycle; the defaults if None.
      front: REST, TLS and the like; none of it if None.

    Raises:
      SecurityFileError: if a file of front cannot be used.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] = "",
        *,
        name: str = "facerelief",
        port: int = 0,
        host: str = LOOPBACK,
        labels: Mapping[str, int] | None = None,
        poll_seconds: float = POLL_SECONDS,
        config_file: str | os.PathLike[str] | None = None,
        settings: ServerSettings | None = None,
        front: FrontOptions | None = None,
    ):
        from serving.server.front import Front, FrontOptions

        settings = self._settings = settings or ServerSettings()
        self._front = Front(front or FrontOptions(), host)
        self._poll_seconds, self.config_file = poll_seconds, config_file
        self._host, self._wanted_port = host, port
        self._single = ModelEntry(name, pathlib.Path(folder), labels=dict(labels or {}))
        self._scheduler = Scheduler(
            settings.batching, threads=settings.concurrent_runs, observer=self._front.metrics
        )
        self._models = Models(self._load)
        self._stopping = threading.Event()
        self._poller = threading.Thread(target=self._keep_polling, name="versions", daemon=True)
        self._server: grpc.Server | None = None
        self._health: HealthServicer | None = None
        self.port: int | None = None
        """On which it listens, once it has started."""

    def _load(self, name: str, path: pathlib.Path) -> ServedModel:
        from serving.server.loaded_model import LoadedModel
        from serving.server.metrics import measured

        batching = self._settings.batching

        def load(folder: pathlib.Path) -> LoadedModel:
            return LoadedModel(
                folder,
                name=name,
                scheduler=self._scheduler,
                max_image_pixels=self._settings.max_image_pixels,
                max_rows=self._settings.row_limit,
                batch_sizes=batching.allowed_batch_sizes if batching else (),
            )

        return measured(load, self._front.metrics, name)(path)

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
    def available(self) -> dict[str, list[int]]:
        """Numbers of the versions that are served, by model name."""
        return self._models.available

    def start(self) -> None:
        """Loads the versions to be served, then begins to listen; logs why others do not work.

        Raises:
          ServerStartError: if a model has none that works, or the port is unavailable.
          ConfigFileError: if the configuration file cannot be used.
        """
        entries = read_model_config(self.config_file) if self.config_file else [self._single]
        for entry in entries:
            if not entry.folder.is_dir():
                raise ServerStartError(f"{entry.folder}: no such folder")
        with contextlib.suppress(ServingError):  # said below, with the folder
            self._models.apply(entries)
        for entry in entries:
            if not self._models.available[entry.name]:
                raise ServerStartError(f"{entry.folder}: no version can be served")
        server = self._server = _grpc_server(self._settings, self._front.interceptors)
        reload = self._models.apply if self._settings.allow_reload_requests else None
        self._health, services = _add_services(server, self._models, reload)
        self.port = self._bind(server)
        self._front.start(services)
        server.start()
        self._poller.start()

    def reload(self) -> None:
        """Reads the configuration file again; what cannot be followed is logged."""
        if not self.config_file:
            return
        try:
            self._models.apply(read_model_config(self.config_file))
            _log.info("%s was read again", self.config_file)
        except (ConfigFileError, ServingError) as error:
            _log.error("the configuration was not followed: %s", error)

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
                self._models.poll()
            except Exception:
                _log.exception("looking for new versions failed; it is tried again")

    def stop(self, *, seconds: float | None = None) -> None:
        """Takes no more requests, finishes those it has and unloads the models.

        Args:
          seconds: Time after which unfinished requests are cancelled; the setting if None.
        """
        self._stopping.set()
        if self._server and self._health:
            self._health.enter_graceful_shutdown()
            grace = self._settings.grace_seconds if seconds is None else seconds
            ended = self._server.stop(grace)
            self._front.stop(grace)
            ended.wait()
        if self._poller.is_alive():
            self._poller.join()  # a version that is being loaded is loaded to its end
        self._models.close()
        self._scheduler.close()


def _grpc_server(
    settings: ServerSettings, interceptors: Sequence[grpc.ServerInterceptor]
) -> grpc.Server:
    from serving.server.front import KEEPALIVE_OPTIONS

    # A thread for each request that is let in: it waits for its turn in the scheduler.
    workers = futures.ThreadPoolExecutor(settings.max_requests, thread_name_prefix="request")
    log = settings.request_log
    logged = [] if log == "none" else [RequestLog(as_json=log == "json")]
    one_port = ("grpc.so_reuseport", 0)  # or two servers would share a port
    return grpc.server(
        workers,
        interceptors=[*logged, *interceptors],
        options=[*KEEPALIVE_OPTIONS, one_port, *settings.grpc_options],
        maximum_concurrent_rpcs=settings.max_requests,
    )


def _add_services(
    server: grpc.Server, served: Models, reload: Callable[[list[ModelEntry]], None] | None
) -> tuple[HealthServicer, Services]:
    """Registers all services; returns that of the health, and the others for this process."""
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    from serving.server.call import Services
    from serving.server.front import add_reflection
    from serving.server.services import ModelService, PredictionService

    prediction, models = PredictionService(served), ModelService(served, reload=reload)
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
