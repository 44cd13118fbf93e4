"""An ASGI application behind HTTP: uvicorn in a thread of this process."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from serving.server import json_answers
from serving.server.security import Tokens

CONNECTIONS = 64
"""More are answered with 503."""
IDLE_SECONDS = 30.0
"""Time that a connection stays without a request."""
HEAD_SECONDS = 10.0
"""Time for the head of a request to arrive."""
READ_SECONDS = 30.0
"""Time in which a client has to read a part, at least, of an answer that is ready."""
HEAD_BYTES = 16 * 1024
START_SECONDS = 10.0
NO_TOKEN = "a valid bearer token is needed: Authorization: Bearer TOKEN"


class HttpServer:
    """Serves until it is stopped.

    Args:
      app: ASGI application.
      listening: Bound socket.
      tls: Context for HTTPS; None for HTTP.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        listening: socket.socket,
        *,
        tls: ssl.SSLContext | None = None,
    ):
        config = uvicorn.Config(
            app,
            http=HastyProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=int(IDLE_SECONDS),
            h11_max_incomplete_event_size=HEAD_BYTES,
            ssl_context_factory=None if tls is None else lambda *_: tls,
        )
        self._server, self._listening = uvicorn.Server(config), listening
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._listening])

    def start(self) -> None:
        """Returns when requests are taken.

        Raises:
          RuntimeError: if that does not come about.
        """
        self._thread.start()
        ends = time.monotonic() + START_SECONDS
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > ends:
                raise RuntimeError("the HTTP server did not start")
            time.sleep(0.01)

    def stop(self, seconds: float) -> None:
        """Takes no more requests and finishes those it has; cancels them after so many seconds."""
        self._server.config.timeout_graceful_shutdown = max(1, int(seconds))
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join()


class HastyProtocol(H11Protocol):
    """Cuts off clients that take too long to send the head of a request, or to read an answer."""

    _timer: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self._has_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._has_read()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._has_read()

    def _wait_for_reader(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        self._reading = self.loop.call_later(READ_SECONDS, self._look_at_reader, unsent)

    def _look_at_reader(self, unsent: int) -> None:
        if self.transport.get_write_buffer_size() < unsent:
            self._wait_for_reader()
        else:
            self._reading = None
            self.transport.abort()

    def _has_read(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._forget()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._cut_off)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _cut_off(self) -> None:
        self._timer = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.abort()


class TokenGate:
    """ASGI middleware that answers requests without a valid token with 401.

    Args:
      app: Behind the gate.
      tokens: The valid ones.
      open_paths: Paths that need none.
    """

    def __init__(self, app: Callable[..., Any], tokens: Tokens, open_paths: Iterable[str]):
        self._app, self._tokens, self._open = app, tokens, frozenset(open_paths)

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) == 1 and self._tokens.accept(given[0]):
            await self._app(scope, receive, send)
            return
        content = json_answers.encode_error(NO_TOKEN)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            (b"www-authenticate", b"Bearer"),
            (b"connection", b"close"),
        ]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": content})
