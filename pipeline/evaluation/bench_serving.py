"""Throughput, latency and memory of `facerelief serve` under load: `make bench-serving`.

The server is a process, the clients are threads of this one. The same run measures the SavedModel
called in its own process, without a server, at several batch sizes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Annotated

import grpc
import numpy as np
import psutil
import typer

from facemodel.files import write_bytes
from pipeline.evaluation.serving_load import Step, load, make_face

BARE_BATCHES = (1, 2, 4, 8, 16)
PARAMETERS = """\
max_batch_size { value: 16 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 8 }
num_batch_threads { value: 1 }
"""
PATIENCE_S = 300
START = ("-m", "pipeline.cli", "serve", "--port", "0")


def bare_rates(
    size: int, *, seconds: float, batches: Sequence[int] = BARE_BATCHES
) -> dict[int, float]:
    """Faces a second of the SavedModel called in this process, by batch size."""
    from serving.model_store import default_model_dir
    from serving.server.loaded_model import LoadedModel

    model, rates = LoadedModel(default_model_dir()), {}
    for batch in batches:
        request = predict_request(size, batch=batch)
        model.predict(request)
        step = load(functools.partial(model.predict, request), clients=1, seconds=seconds)
        rates[batch] = batch * step.per_second
    model.close()
    return rates


@functools.cache
def predict_request(size: int, *, batch: int = 1, name: str = "facerelief"):
    """A Predict request of so many faces in images of size x size px."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    request = predict_pb2.PredictRequest()
    request.model_spec.name = name
    for key, value in zip(("image", "landmarks"), make_face(size)):
        request.inputs[key].CopyFrom(tf.make_tensor_proto(np.repeat(value, batch, axis=0)))
    return request


@contextlib.contextmanager
def server(options: Sequence[str]) -> Iterator[tuple[str, psutil.Process]]:
    """Starts a server; gives its address and process, and ends it."""
    process = subprocess.Popen(
        [sys.executable, *START, *options], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        assert process.stdout
        line = process.stdout.readline()  # until it serves, or has ended
        if " on " not in line:
            raise RuntimeError("the server did not start")
        yield line.rpartition(" on ")[2].strip(), psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def server_steps(
    options: Sequence[str], size: int, clients: Sequence[int], *, seconds: float
) -> list[Step]:
    """Loads a server with more and more clients."""
    from tensorflow_serving.apis import prediction_service_pb2_grpc

    channel_options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
    with server(options) as (address, process), contextlib.ExitStack() as stack:
        channel = stack.enter_context(grpc.insecure_channel(address, options=channel_options))
        predict = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        send = functools.partial(predict, predict_request(size), timeout=PATIENCE_S)
        load(send, clients=max(clients), seconds=1.0)  # warm-up
        steps = []
        for count in clients:
            step = load(send, clients=count, seconds=seconds)
            steps.append(dataclasses.replace(step, rss_mib=process.memory_info().rss / 2**20))
    return steps


def as_table(steps: Sequence[Step]) -> str:
    """Steps as a table of a Markdown page."""
    lines = [
        "| clients | answers/s | p50 ms | p95 ms | p99 ms | errors | server's memory, MiB |",
        "|---|---|---|---|---|---|---|",
    ]
    for step in steps:
        percentiles = " | ".join(f"{step.percentile_ms(p):.0f}" for p in (50, 95, 99))
        errors = ", ".join(f"{n} {code}" for code, n in sorted(step.errors.items())) or "0"
        lines.append(
            f"| {step.clients} | {step.per_second:.1f} | {percentiles} | {errors} | "
            f"{step.rss_mib:.0f} |"
        )
    return "\n".join(lines)


def as_page(
    bare: dict[int, float],
    steps: dict[str, Sequence[Step]],
    *,
    after: float,
    size: int,
    seconds: float,
    busy: float,
) -> str:
    """The measurements as a Markdown page."""
    best = max(bare.values())
    rates = "\n".join(f"| {batch} | {rate:.1f} |" for batch, rate in bare.items())
    parts = [
        "# Measurements: serving",
        f"`make bench-serving`: the shipped model on {os.cpu_count()} cores, one face in an image "
        f"of {size} x {size} px a request, {seconds:g} s a row, gRPC on the loopback address, "
        "clients in a process of their own on the same cores. Each client sends its next request "
        f"when the last is answered. Load average of the machine before: {busy:.1f} (what else "
        "runs there takes its share of every figure).",
        "## Without a server",
        "The SavedModel called in its own process.",
        f"| batch | faces/s |\n|---|---|\n{rates}",
        f"The best of these once more, after all else: {after:.1f} faces/s. Where that differs, so "
        "did the machine, and what follows compares badly.",
    ]
    for title, rows in steps.items():
        reached = max(step.per_second for step in rows) / best
        parts += [
            f"## {title}",
            as_table(rows),
            f"Best: {100 * reached:.0f} % of the best without a server.",
        ]
    parts.append(f"Batching is by this file:\n\n```\n{PARAMETERS}```")
    return "\n\n".join(parts) + "\n"


def command(
    output: Annotated[
        pathlib.Path, typer.Option("--output", "-o", help="Page to write.")
    ] = pathlib.Path("docs/measurements/serving.md"),
    clients: Annotated[str, typer.Option(help="Numbers of clients.")] = "1,2,4,8,16,32,64",
    seconds: Annotated[float, typer.Option(min=0.1, help="For each row.")] = 20.0,
    size: Annotated[int, typer.Option(min=64, help="Of the images, px.")] = 512,
) -> None:
    """Measure the model server under load, with and without batching.

    Example: python -m pipeline.evaluation.bench_serving --seconds 5 --clients 1,8 -o serving.md
    """
    from serving.quiet import without_notices

    with without_notices():
        import tensorflow as tf

        tf.get_logger().setLevel(logging.ERROR)  # deprecations, otherwise
    busy = os.getloadavg()[0]
    counts = [int(count) for count in clients.split(",")]
    bare = bare_rates(size, seconds=seconds)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "batching_parameters.txt")
        file.write_text(PARAMETERS, encoding="utf-8")
        batching = ["--enable-batching", "--batching-parameters-file", str(file)]
        measure = functools.partial(server_steps, size=size, clients=counts, seconds=seconds)
        steps = {"Without batching": measure([]), "With batching": measure(batching)}
    best = max(bare, key=lambda batch: bare[batch])
    after = bare_rates(size, seconds=seconds, batches=[best])[best]
    page = as_page(bare, steps, after=after, size=size, seconds=seconds, busy=busy)
    write_bytes(output, page.encode())
    typer.echo(page)


if __name__ == "__main__":
    from pipeline.cli import make_single_app, prepare_keras

    prepare_keras()
    make_single_app(command)()
