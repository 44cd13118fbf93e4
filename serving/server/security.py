"""TLS and bearer tokens from files, read again when these change."""

from __future__ import annotations

import dataclasses
import hmac
import logging
import os
import pathlib
import ssl
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

MIN_TOKEN_CHARACTERS = 16
BEARER = "bearer"


class SecurityFileError(ValueError):
    """A certificate, key or token file that cannot be used; one line that begins with its name."""


class WatchedFiles(Generic[_T]):
    """What was read from files, read again once one of them has changed.

    Files that have become unusable change nothing but a line in the log: a server goes on with what
    it had.

    Args:
      paths: Files to watch.
      read: Reads them.

    Raises:
      SecurityFileError: if they cannot be read now.
    """

    def __init__(self, paths: Sequence[pathlib.Path], read: Callable[[], _T]):
        self._paths, self._read = paths, read
        self._lock = threading.Lock()
        self._marks = self._look()
        self._value = read()

    def current(self) -> _T:
        """The files' content; usable from several threads."""
        with self._lock:
            marks = self._look()
            if marks != self._marks:
                try:
                    self._value = self._read()
                    _log.info("read again: %s", ", ".join(map(str, self._paths)))
                except SecurityFileError as error:
                    _log.error("%s; what was read before stays in use", error)
                self._marks = marks
            return self._value

    def _look(self) -> list[tuple[int, ...] | None]:
        return [_mark(path) for path in self._paths]


def _mark(path: pathlib.Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _read_bytes(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SecurityFileError(f"{path}: cannot be read ({error.strerror})") from None


@dataclasses.dataclass(frozen=True)
class Certificates:
    """Contents of PEM files.

    Attributes:
      chain: The server's certificate and those above it.
      key: Its private key.
      client_authorities: Certificates that sign those of clients; None if clients need none.
    """

    chain: bytes
    key: bytes = dataclasses.field(repr=False)
    client_authorities: bytes | None = None


@dataclasses.dataclass(frozen=True)
class TlsFiles:
    """Where the PEM files of a server are.

    Attributes:
      chain: The server's certificate and those above it.
      key: Its private key, not encrypted.
      client_authorities: Certificates that sign those of clients; None to ask clients for none.
    """

    chain: pathlib.Path
    key: pathlib.Path
    client_authorities: pathlib.Path | None = None

    @property
    def paths(self) -> list[pathlib.Path]:
        """All of them."""
        return [path for path in (self.chain, self.key, self.client_authorities) if path]

    def read(self) -> Certificates:
        """Reads and checks the files.

        Raises:
          SecurityFileError: if one cannot be read or is not what it should be, or the key is that
            of another certificate.
        """
        contents = {path: _read_bytes(path) for path in self.paths}
        self.context()
        authorities = self.client_authorities
        return Certificates(
            contents[self.chain], contents[self.key], contents[authorities] if authorities else None
        )

    def context(self) -> ssl.SSLContext:
        """A TLS context of the files as they are now; errors as of read."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.chain, self.key, password=_no_password)
        except (ssl.SSLError, OSError, ValueError) as error:
            raise SecurityFileError(
                f"{self.chain} and {self.key}: not a PEM certificate and its key ({_short(error)})"
            ) from None
        if self.client_authorities:
            context.verify_mode = ssl.CERT_REQUIRED
            try:
                context.load_verify_locations(self.client_authorities)
            except (ssl.SSLError, OSError) as error:
                raise SecurityFileError(
                    f"{self.client_authorities}: no PEM certificates ({_short(error)})"
                ) from None
        return context


def _no_password() -> str:
    """In place of OpenSSL's question at the terminal."""
    raise ValueError("the key is encrypted")


def _short(error: Exception) -> str:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)


def renewing_context(files: TlsFiles) -> ssl.SSLContext:
    """A context whose new connections use the files as they are then.

    Raises:
      SecurityFileError: if they cannot be used now.
    """
    watched = WatchedFiles(files.paths, files.context)
    context = files.context()

    def choose(connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = watched.current()

    context.sni_callback = choose
    return context


class Tokens:
    """The bearer tokens of a file, one in each line; a request needs one of them.

    Several make a change without a gap possible. Empty lines and those that begin with # are
    passed over.

    Raises:
      SecurityFileError: if the file cannot be read, has no token or one that is too short.
    """

    def __init__(self, path: str | os.PathLike[str]):
        path = pathlib.Path(path)
        self._watched = WatchedFiles([path], lambda: read_tokens(path))

    def accept(self, authorization: str | bytes | None) -> bool:
        """Whether the value of an Authorization header is "Bearer TOKEN" with one of the tokens.

        All tokens are compared, each in constant time.
        """
        value = authorization or b""
        value = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
        scheme, _, given = value.partition(b" ")
        matches = [hmac.compare_digest(given.strip(), one) for one in self._watched.current()]
        return scheme.lower() == BEARER.encode() and any(matches)


def read_tokens(path: pathlib.Path) -> list[bytes]:
    """The tokens of a file; errors as of Tokens."""
    lines = [line.strip() for line in _read_bytes(path).splitlines()]
    tokens = [line for line in lines if line and not line.startswith(b"#")]
    if not tokens:
        raise SecurityFileError(f"{path}: no token in this file")
    for token in tokens:
        if len(token) < MIN_TOKEN_CHARACTERS or not token.isascii() or b" " in token:
            raise SecurityFileError(
                f"{path}: a token should be at least {MIN_TOKEN_CHARACTERS} ASCII characters "
                f"without spaces, got one of {len(token)}"
            )
    return tokens
