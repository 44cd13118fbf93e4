"""How a client reaches a server: encryption, who it is, and how the connection is kept."""

from __future__ import annotations

import dataclasses
import ipaddress
import logging
import pathlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import grpc

_log = logging.getLogger(__name__)

KEEPALIVE_TIMEOUT_S = 10.0


@dataclasses.dataclass(frozen=True)
class ServerAccess:
    """What a client needs besides the address.

    Attributes:
      authorities: PEM file of the certificates that sign the server's: the connection uses TLS.
        None for no encryption.
      certificate: PEM file with the client's own certificate, for servers that want one.
      key: PEM file of its private key.
      token_file: File whose first line (of those that are not empty and begin with no #) is a
        bearer token; read at each call, so that it can change.
      keepalive_s: Interval at which an idle connection is tried, s; servers of others refuse less
        than 300. None for never.

    Raises:
      ValueError: if the files do not go together.
    """

    authorities: pathlib.Path | None = None
    certificate: pathlib.Path | None = None
    key: pathlib.Path | None = None
    token_file: pathlib.Path | None = None
    keepalive_s: float | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("a client's certificate and its key go together, got one of them")
        if self.certificate and not self.authorities:
            raise ValueError("a client's certificate needs the server's authorities, too")

    def channel(self, address: str, options: list[tuple[str, int]]) -> grpc.Channel:
        """Opens a channel.

        Raises:
          ValueError: if a file cannot be read or has no PEM in it.
        """
        import grpc

        options = [*options, *self._keepalive(), *_proxy(address)]
        if self.authorities is None:
            if self.token_file and not is_loopback(_host(address)):
                _log.warning("%s: the token is sent without encryption", address)
            return grpc.insecure_channel(address, options=options)
        credentials = grpc.ssl_channel_credentials(
            _pem(self.authorities),
            _pem(self.key) if self.key else None,
            _pem(self.certificate) if self.certificate else None,
        )
        return grpc.secure_channel(address, credentials, options=options)

    def metadata(self) -> list[tuple[str, str]]:
        """What goes with each call.

        Raises:
          ValueError: if the token's file cannot be read or has none.
        """
        if self.token_file is None:
            return []
        lines = [line.strip() for line in _read(self.token_file).decode("latin-1").splitlines()]
        tokens = [line for line in lines if line and not line.startswith("#")]
        if not tokens or not (tokens[0].isascii() and tokens[0].isprintable()):
            raise ValueError(f"{self.token_file}: no token in this file")
        return [("authorization", f"Bearer {tokens[0]}")]

    def _keepalive(self) -> list[tuple[str, int]]:
        if self.keepalive_s is None:
            return []
        return [
            ("grpc.keepalive_time_ms", int(1e3 * self.keepalive_s)),
            ("grpc.keepalive_timeout_ms", int(1e3 * KEEPALIVE_TIMEOUT_S)),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.max_pings_without_data", 0),
        ]


def _proxy(address: str) -> list[tuple[str, int]]:
    """Lets gRPC take the proxy of the environment, which must not be asked for this machine."""
    return [("grpc.enable_http_proxy", int(not is_loopback(_host(address))))]


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, which others do not reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _pem(path: pathlib.Path) -> bytes:
    content = _read(path)
    if b"-----BEGIN " not in content:
        raise ValueError(f"{path}: not a PEM file")
    return content


def _read(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
