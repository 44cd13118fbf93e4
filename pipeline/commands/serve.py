"""`facerelief serve`: a model server that speaks TensorFlow Serving's protocol."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer


def command(
    model: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of numbered versions, watched for new ones, or one SavedModel; "
            "the shipped model if not given.",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="Of the model in requests.")] = "facerelief",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="To listen on; 0 for a free one.")
    ] = 8500,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VERSION", help="Name for a version; can be given repeatedly."),
    ] = None,
    poll_seconds: Annotated[
        float, typer.Option(min=0.01, help="Between two looks for new versions.")
    ] = 1.0,
) -> None:
    """Serve a model over gRPC: TensorFlow Serving's Predict, GetModelMetadata, GetModelStatus.

    A newer version that appears in DIR is loaded and takes over, and no request is lost. SIGTERM
    and Ctrl-C finish what has begun. There is no authentication: it listens to this machine only,
    unless --host says otherwise.

    Example: facerelief serve --port 8500
    """
    from pipeline.inference import serve

    if not name:
        raise ValueError("--name should be the name of the model in requests, got ''")
    serve.run(
        model,
        name=name,
        port=port,
        host=host,
        labels=serve.read_labels(label or []),
        poll_seconds=poll_seconds,
    )
