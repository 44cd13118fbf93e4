"""What stands around the gRPC core of a server: REST, metrics, TLS, tokens, reflection."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
import socket
import threading
from collections.abc import Callable, Sequence

import grpc

from serving.server.call import Services
from serving.server.http_bodies import RestLimits
from serving.server.http_server import HttpServer, TokenGate
from serving.server.interceptors import (
    MalformedInterceptor,
    MetricsInterceptor,
    TokenInterceptor,
)
from serving.server.metrics import Metrics
from serving.server.prometheus import PrometheusMetrics
from serving.server.rest import (
    HEALTH_PATH,
    METRICS_PATH,
    PhotoService,
    RestParts,
    create_app,
)
from serving.server.security import (
    Certificates,
    TlsFiles,
    Tokens,
    WatchedFiles,
    renewing_context,
)
from serving.server_access import is_loopback

_log = logging.getLogger(__name__)

KEEPALIVE_OPTIONS = (
    # Clients may ask this often whether the connection is alive, also between calls.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


@dataclasses.dataclass(frozen=True)
class FrontOptions:
    """What a server offers besides gRPC, and who may ask.

    Attributes:
      rest_port: Port of REST, 0 for a free one; None for no REST.
      limits: Of a REST request.
      tls: Certificate files for both ports; None for no encryption.
      token_file: File of bearer tokens for both ports; None to ask for none.
      photos: Makes what answers /v1/reconstruct; None for no such endpoint.
    """

    rest_port: int | None = None
    limits: RestLimits = RestLimits()
    tls: TlsFiles | None = None
    token_file: pathlib.Path | None = None
    photos: Callable[[Services, Metrics], PhotoService] | None = None


class Front:
    """Holds these parts for one server.

    Args:
      options: What there is.
      host: Address to listen on.

    Raises:
      SecurityFileError: if a certificate, key or token file cannot be used.
    """

    def __init__(self, options: FrontOptions, host: str):
        self._options, self._host = options, host
        if options.token_file and not options.tls and not is_loopback(host):
            _log.warning("%s: tokens are sent without encryption", host)
        self.metrics = PrometheusMetrics()
        self._tokens = Tokens(options.token_file) if options.token_file else None
        self._certificates = (
            WatchedFiles(options.tls.paths, options.tls.read) if options.tls else None
        )
        self._listening: socket.socket | None = None
        self._http: HttpServer | None = None
        self._stopping = threading.Event()
        self.rest_port: int | None = None
        """On which REST listens, once it has started."""

    @property
    def interceptors(self) -> list[grpc.ServerInterceptor]:
        """For the gRPC server, the outer ones first."""
        token = [TokenInterceptor(self._tokens)] if self._tokens else []
        return [*token, MetricsInterceptor(self.metrics), MalformedInterceptor()]

    def add_port(self, server: grpc.Server, address: str) -> int:
        """Adds a port to a gRPC server, with TLS if there is to be; see grpc.Server."""
        if self._certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, _credentials(self._certificates))

    def bind_rest(self) -> None:
        """Takes the port of REST, if there is to be one.

        Raises:
          OSError: if it is unavailable.
        """
        if self._options.rest_port is not None:
            self._listening = _bound(self._host, self._options.rest_port)
            self.rest_port = self._listening.getsockname()[1]

    def start(self, services: Services) -> None:
        """Begins to answer REST on the port that was taken.

        Raises:
          ConnectionError, ServingError: if the model cannot be used for /v1/reconstruct.
        """
        if self._listening is None:
            return
        options, app = self._options, create_app(self._parts(services))
        gate = TokenGate(app, self._tokens, (METRICS_PATH, HEALTH_PATH)) if self._tokens else app
        tls = renewing_context(options.tls) if options.tls else None
        self._http = HttpServer(gate, self._listening, tls=tls)
        self._http.start()

    def _parts(self, services: Services) -> RestParts:
        make = self._options.photos
        return RestParts(
            services,
            self.metrics,
            self.metrics.text,
            lambda: not self._stopping.is_set(),
            make(services, self.metrics) if make else None,
            self._options.limits,
        )

    def stop(self, seconds: float) -> None:
        """Takes no more REST requests and finishes those it has, within so many seconds."""
        self._stopping.set()
        if self._http:
            self._http.stop(seconds)
        if self._listening:
            self._listening.close()


def _credentials(certificates: WatchedFiles[Certificates]) -> grpc.ServerCredentials:
    """Credentials that follow their files; each new connection gets the newest."""
    last = certificates.current()

    def changed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal last
        current = certificates.current()
        if current is last:
            return None
        last = current
        return _configuration(current)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(last),
        changed,
        require_client_authentication=last.client_authorities is not None,
    )


def _configuration(certificates: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificates.key, certificates.chain)], certificates.client_authorities
    )


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except OSError:
        listening.close()
        raise
    return listening


def add_reflection(server: grpc.Server) -> None:
    """Lets tools such as grpcurl list what a server offers."""
    from grpc_health.v1 import health_pb2
    from grpc_reflection.v1alpha import reflection
    from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

    described: Sequence = (
        prediction_service_pb2.DESCRIPTOR.services_by_name["PredictionService"],
        model_service_pb2.DESCRIPTOR.services_by_name["ModelService"],
        health_pb2.DESCRIPTOR.services_by_name["Health"],
    )
    names = [service.full_name for service in described]
    reflection.enable_server_reflection([*names, reflection.SERVICE_NAME], server)
