"""`facerelief serve`: a model server that speaks TensorFlow Serving's protocol."""

from __future__ import annotations

import enum
import pathlib
from typing import Annotated

import typer

FRONT = "REST and security"
MODELS, BATCHING, LIMITS = "Several models", "Batching", "Limits and log"
"""Titles of groups of options."""


class LogFormat(str, enum.Enum):
    """How requests are logged."""

    none = "none"
    text = "text"
    json = "json"


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
    rest_timeout_seconds: Annotated[
        float,
        typer.Option(min=0.001, help="Deadline of an answer over REST.", rich_help_panel=FRONT),
    ] = 30,
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
    model_config_file: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FILE",
            help="TensorFlow Serving's models.config (ModelServerConfig, text), in place of "
            "--model, --name and --label. SIGHUP has it read again.",
            rich_help_panel=MODELS,
        ),
    ] = None,
    allow_reload_requests: Annotated[
        bool,
        typer.Option(
            "--allow-reload-requests",
            help="Let clients change which models are served (HandleReloadConfigRequest): they "
            "can name any folder of this machine.",
            rich_help_panel=MODELS,
        ),
    ] = False,
    enable_batching: Annotated[
        bool,
        typer.Option(
            "--enable-batching", help="Join requests that wait.", rich_help_panel=BATCHING
        ),
    ] = False,
    batching_parameters_file: Annotated[
        pathlib.Path | None,
        typer.Option(
            metavar="FILE",
            help="TensorFlow Serving's batching_parameters.txt; if not given its defaults, with "
            "batches of --max-rows.",
            rich_help_panel=BATCHING,
        ),
    ] = None,
    concurrent_runs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Requests computed at a time without batching; the number of cores if not given.",
            rich_help_panel=BATCHING,
        ),
    ] = None,
    max_requests: Annotated[
        int,
        typer.Option(
            min=1,
            max=10_000,
            help="In the server at a time; others are answered RESOURCE_EXHAUSTED.",
            rich_help_panel=LIMITS,
        ),
    ] = 256,
    max_concurrent_streams: Annotated[
        int | None,
        typer.Option(min=1, help="Requests of one connection at a time.", rich_help_panel=LIMITS),
    ] = None,
    max_message_bytes: Annotated[
        int,
        typer.Option(
            min=1024, max=2**31 - 1, help="Of a request or answer.", rich_help_panel=LIMITS
        ),
    ] = 2**31 - 1,
    max_image_pixels: Annotated[
        int,
        typer.Option(
            min=1, help="Of an image file in a request, by its header.", rich_help_panel=LIMITS
        ),
    ] = 120_000_000,
    max_rows: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Faces of a request; max_batch_size of the batching parameters if not given, 256 "
            "without a file of them.",
            rich_help_panel=LIMITS,
        ),
    ] = None,
    grace_seconds: Annotated[
        float,
        typer.Option(
            min=0, help="For unfinished requests when it is ended.", rich_help_panel=LIMITS
        ),
    ] = 30.0,
    request_log: Annotated[
        LogFormat,
        typer.Option(
            help="A line on standard error for each request, without anything of what was sent.",
            rich_help_panel=LIMITS,
        ),
    ] = LogFormat.none,
) -> None:
    """Serve models over gRPC with TensorFlow Serving's protocol.

    A newer version that appears in DIR is loaded and takes over, and no request is lost. SIGTERM
    and Ctrl-C finish what has begun. It listens to this machine only, unless --host says otherwise;
    then it should have --tls-cert, --tls-key and --token-file, too.

    Example: facerelief serve --port 8500

    Example: facerelief serve --model-config-file models.config --enable-batching
    --batching-parameters-file batching_parameters.txt
    """
    from pipeline.inference import serve, serve_front
    from serving.server.settings import ServerSettings

    if model_config_file and (model or label):
        raise ValueError("--model-config-file names the models: give no --model and no --label")
    if not name:
        raise ValueError("--name should be the name of the model in requests, got ''")
    front = serve_front.read_front(
        name=name,
        rest_port=rest_port,
        rest_max_mib=rest_max_mib,
        rest_timeout_seconds=rest_timeout_seconds,
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
        config_file=model_config_file,
        settings=ServerSettings(
            batching=serve.batching_from(
                enabled=enable_batching, file=batching_parameters_file, max_rows=max_rows
            ),
            concurrent_runs=concurrent_runs,
            max_message_bytes=max_message_bytes,
            max_image_pixels=max_image_pixels,
            max_rows=max_rows,
            max_concurrent_streams=max_concurrent_streams,
            max_requests=max_requests,
            grace_seconds=grace_seconds,
            request_log=request_log.value,
            allow_reload_requests=allow_reload_requests,
        ),
    )
