"""`facerelief web`: a page on this machine that turns photos into heads."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer


def command(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="To listen on; 0 for a free one.")
    ] = 8600,
    host: Annotated[
        str,
        typer.Option(help="Address to listen on. Others than this machine's own are for everybody "
                     "who reaches them, without encryption."),
    ] = "127.0.0.1",
    model: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="DIR", help="SavedModel to use; the shipped model if not given."),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Model server to use in place of a SavedModel: the "
                     "part of each photo around a face goes there."),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
) -> None:  # fmt: skip
    """Show a page that turns photos into heads, to look at, move and download.

    It runs on this machine until Ctrl-C. Photos stay in memory, a few and until half an hour after
    their last use; nothing is written. Nothing leaves the machine unless --server names another
    one, or --host lets others in: their photos travel here, unencrypted.

    Example: facerelief web

    Example: facerelief web --port 0 --no-open
    """
    from pipeline.inference import web

    web.run(host=host, port=port, model=model, server=server, open_page=open_page)
