"""The page as a process: what `facerelief web` does."""

from __future__ import annotations

import contextlib
import pathlib
import webbrowser

from rich.console import Console

from serving.model_store import read_saved_model
from serving.quiet import without_notices
from serving.server.process import serve
from serving.server.server import check_port
from serving.server_access import is_loopback


def run(
    *,
    host: str,
    port: int,
    model: pathlib.Path | None = None,
    server: str | None = None,
    open_page: bool = True,
) -> None:
    """Serves the page until SIGTERM or SIGINT; writes its address when it is there.

    Args:
      host: Address to listen on.
      port: 0 for a free one.
      model: Folder of a SavedModel; the default model if None.
      server: HOST:PORT of a model server that is used in its place.
      open_page: Open the page in the user's browser.

    Raises:
      ValueError: if there are both a model and a server, or the model cannot be used.
      ConnectionError: if the model server does not answer.
      ServerStartError: if the port is unavailable.
    """
    if model is not None and server is not None:
        raise ValueError("--model and --server exclude each other")
    if model is not None:
        read_saved_model(model)  # before what takes long
    check_port(host, port)
    console = Console(highlight=False, soft_wrap=True)
    console.print("Loading the model ...")
    with contextlib.ExitStack() as stack:
        with without_notices():
            from serving.client import RemoteModel
            from serving.web.server import WebServer
            from serving.web.studio import Studio
            from serving.web.workshop import FaceWorkshop

            remote = stack.enter_context(RemoteModel(server)) if server else None
            workshop = stack.enter_context(FaceWorkshop(model, remote=remote))
            workshop.prepare()
        page = WebServer(Studio(workshop), host=host, port=port, model_server=server)
        serve(page, started=lambda: _say(console, page.url, host, open_page=open_page))


def _say(console: Console, url: str, host: str, *, open_page: bool) -> None:
    if not is_loopback(host):
        console.print(f"note: everybody who reaches {host} can use this page, unencrypted")
    console.print(f"The page is at {url} (Ctrl-C ends it)", markup=False)
    if open_page and not webbrowser.open(url):
        console.print("note: no browser could be opened; open the address yourself")
