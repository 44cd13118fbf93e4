"""The page's server: a port, the photos, and a clock that forgets them."""

from __future__ import annotations

import socket
import threading

from serving.server.http_server import HttpServer
from serving.server_access import is_loopback
from serving.web.app import create_app
from serving.web.studio import Studio

LOOK_SECONDS = 15.0
"""Between two looks for photos that are too old."""
BACKLOG = 64


class WebServer:
    """Serves the page from start() to stop(); serving.server.process.serve runs it.

    Args:
      studio: Has the photos; closed at the end.
      host: Address to listen on.
      port: 0 for a free one.
      model_server: HOST:PORT that crops of photos go to; None if they stay here.

    Raises:
      OSError: if the port is unavailable.
    """

    def __init__(self, studio: Studio, *, host: str, port: int, model_server: str | None = None):
        self._studio, self._stopping = studio, threading.Event()
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        self._listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self.port = self._listening.getsockname()[1]
        app = create_app(studio, loopback=is_loopback(host), model_server=model_server)
        self._http = HttpServer(app, self._listening)
        self._clock = threading.Thread(target=self._watch, name="forget", daemon=True)
        self.url = page_url(host, self.port)

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            self._studio.kept.forget_old()

    def start(self) -> None:
        """Returns when requests are taken."""
        self._http.start()
        self._clock.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Takes no more requests, finishes those it has within so many seconds, forgets all."""
        self._stopping.set()
        self._http.stop(seconds)
        self._listening.close()
        self._studio.close()


def page_url(host: str, port: int) -> str:
    """Address of the page. IPv6 addresses are in brackets; names are not, whatever they mean."""
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
