"""`facerelief serve`: a model server that speaks TensorFlow Serving's protocol."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

FRONT = "REST and security"
"""Title of a group of options."""


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
    rest_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="For REST, health and metrics over HTTP, 0 for a free one; none if not given. "
            "TensorFlow Serving's is 8501.",
            rich_help_panel=FRONT,
        ),
    ] = None,
    rest_max_mib: Annotated[
        float,
        typer.Option(min=0.01, help="Largest body of a REST request.", rich_help_panel=FRONT),
    ] = 32,
    reconstruct: Annotated[
        bool,
        typer.Option(
            "--reconstruct",
            help="Offer POST /v1/reconstruct, which takes a photo; loads the face detector.",
            rich_help_panel=FRONT,
        ),
    ] = False,
    tls_cert: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FILE",
            help="PEM file with the server's certificate chain: both ports then use TLS.",
            rich_help_panel=FRONT,
        ),
    ] = None,
    tls_key: Annotated[
        pathlib.Path | None,
        typer.Option(metavar="FILE", help="PEM file with its key.", rich_help_panel=FRONT),
    ] = None,
    tls_client_ca: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FILE",
            help="PEM file with what signs the certificates that clients then need.",
            rich_help_panel=FRONT,
        ),
    ] = None,
    token_file: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FILE",
            help="File of bearer tokens, one in each line, of which requests then need one.",
            rich_help_panel=FRONT,
        ),
    ] = None,
) -> None:
    """Serve a model over gRPC: TensorFlow Serving's Predict, GetModelMetadata, GetModelStatus.

    A newer version that appears in DIR is loaded and takes over, and no request is lost. SIGTERM
    and Ctrl-C finish what has begun. It listens to this machine only, unless --host says otherwise;
    then it should have --tls-cert, --tls-key and --token-file, too.

    Example: facerelief serve --port 8500
    """
    from pipeline.inference import serve, serve_front

    if not name:
        raise ValueError("--name should be the name of the model in requests, got ''")
    front = serve_front.read_front(
        name=name,
        rest_port=rest_port,
        rest_max_mib=rest_max_mib,
        reconstruct=reconstruct,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        token_file=token_file,
    )
    serve.run(
        model,
        name=name,
        port=port,
        host=host,
        labels=serve.read_labels(label or []),
        poll_seconds=poll_seconds,
        front=front,
    )
