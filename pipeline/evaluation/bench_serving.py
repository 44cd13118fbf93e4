"""Throughput, latency and memory of `facerelief serve` under load: `make bench-serving`.

Everything stands ready at once, the SavedModel without a server, a server without and one with
batching, each in a process of its own, and is loaded in turns: what else the machine does then
takes its share of each of them. The clients are threads of this process.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

import numpy as np
import typer

from facemodel.files import write_bytes
from pipeline.evaluation.serving_load import Row, Step, arrivals, load
from pipeline.evaluation.serving_page import Report, as_page
from pipeline.evaluation.serving_processes import BareModel, Server, server
from pipeline.evaluation.serving_requests import (
    Checked,
    grpc_body,
    grpc_caller,
    rest_body,
    rest_caller,
)

BARE = ((1, 1), (4, 1), (8, 1), (16, 1), (1, 2), (8, 2))
"""Batch and callers of the rows without a server."""
REST_CLIENTS = (1, 16)
PARAMETERS = """\
max_batch_size { value: 16 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 32 }
num_batch_threads { value: 2 }
"""
WITHOUT, WITH = "gRPC without batching", "gRPC with batching"
REST_WITHOUT, REST_WITH = "REST without batching", "REST with batching"
SHARE = 0.8
"""Of the best rate, at which requests come at their own times."""
TOLERANCE = 1e-3
"""Of coefficients, between the server and the SavedModel called without one."""


class WrongAnswer(RuntimeError):
    """A server whose answers are not those of the model."""


@dataclasses.dataclass(frozen=True)
class Target:
    """A way to reach a server."""

    server: Server
    caller: Checked

    def load(self, clients: int, seconds: float) -> Step:
        """A step of so many clients."""
        step = load(self.caller.send, clients=clients, seconds=seconds, cpu=self.server.cpu)
        return dataclasses.replace(step, rss_mib=self.server.rss_mib)

    def arrivals(self, per_second: float, seconds: float, *, random: bool) -> Step:
        """A step at a rate; see serving_load.arrivals."""
        send, cpu = self.caller.send, self.server.cpu
        step = arrivals(send, per_second=per_second, seconds=seconds, random=random, cpu=cpu)
        return dataclasses.replace(step, rss_mib=self.server.rss_mib)


@contextlib.contextmanager
def targets(size: int) -> Iterator[dict[str, Target]]:
    """Starts two servers, without and with batching; the ways to reach them by title."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        file = pathlib.Path(folder, "batching_parameters.txt")
        file.write_text(PARAMETERS, encoding="utf-8")
        batching = ["--enable-batching", "--batching-parameters-file", str(file)]
        body, rest = grpc_body(size), rest_body(size)
        found = {}
        for titles, options in ((WITHOUT, REST_WITHOUT), []), ((WITH, REST_WITH), batching):
            started = stack.enter_context(server(["--rest-port", "0", *options]))
            assert started.rest_address
            callers = (
                grpc_caller(started.address, body),
                rest_caller(started.rest_address, rest),
            )
            for title, caller in zip(titles, callers, strict=True):
                found[title] = Target(started, stack.enter_context(caller))
        yield found


def plan(
    bare: BareModel, reached: dict[str, Target], clients: Sequence[int], seconds: float
) -> dict[tuple[str, int, int], Callable[[], Step]]:
    """What one round measures, in its order: by title, clients or callers, and batch."""
    steps: dict[tuple[str, int, int], Callable[[], Step]] = {}
    for batch, callers in BARE:
        steps["", callers, batch] = lambda b=batch, c=callers: bare.load(
            batch=b, callers=c, seconds=seconds
        )
    for title, target in reached.items():
        for count in REST_CLIENTS if title.startswith("REST") else clients:
            steps[title, count, 1] = lambda t=target, c=count: t.load(c, seconds)
    return steps


def warm_up(bare: BareModel, reached: dict[str, Target], clients: int) -> None:
    """Runs everything once and compares the answers.

    Raises:
      WrongAnswer: if they are not those of the SavedModel.
    """
    for batch, callers in BARE:
        bare.load(batch=batch, callers=callers, seconds=0.1)
    for target in reached.values():
        target.load(clients, 0.5)
    check_answers(bare, reached)


def check_answers(bare: BareModel, reached: dict[str, Target]) -> None:
    """Compares the last answer of each server with the SavedModel's; see warm_up."""
    expected = bare.coefficients()
    for title, target in reached.items():
        if title.startswith("REST"):  # a JPEG of the image, so another face
            continue
        worst = float(np.abs(target.caller.coefficients() - expected).max())
        if not worst < TOLERANCE:
            raise WrongAnswer(f"{title}: a coefficient differs by {worst:g}")


def measure(
    size: int, *, clients: Sequence[int], seconds: float, rounds: int, arrival_seconds: float
) -> Report:
    """Measures everything in turns.

    Args:
      size: Of the images, px.
      clients: Numbers of gRPC clients.
      seconds: Of each step.
      rounds: Of all steps.
      arrival_seconds: Time for which requests come at their own times, s.

    Raises:
      WrongAnswer: if a server's answers are not those of the SavedModel.
    """
    busy = os.getloadavg()[0]
    with BareModel(size) as bare, targets(size) as reached:
        warm_up(bare, reached, min(8, max(clients)))
        steps = plan(bare, reached, clients, seconds)
        seen: dict[tuple[str, int, int], list[Step]] = {key: [] for key in steps}
        for _ in range(rounds):
            for key, step in steps.items():
                seen[key].append(step())
        rows = {key: Row(found) for key, found in seen.items()}
        best = max(row.per_second for (title, *_), row in rows.items() if title == WITH)
        arriving = {
            name: reached[WITH].arrivals(SHARE * best, arrival_seconds / 2, random=random)
            for name, random in (("even", False), ("random", True))
        }
        check_answers(bare, reached)
    return Report(rows, arriving, SHARE * best, busy, WITH)


def command(
    output: Annotated[
        pathlib.Path, typer.Option("--output", "-o", help="Page to write.")
    ] = pathlib.Path("docs/measurements/serving.md"),
    clients: Annotated[str, typer.Option(help="Numbers of clients.")] = "1,2,4,8,16,32,64",
    seconds: Annotated[float, typer.Option(min=0.1, help="For each row in each round.")] = 3.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds over all rows.")] = 3,
    arrival_seconds: Annotated[
        float,
        typer.Option(
            min=1, help="With requests that come at their own times, evenly and at random."
        ),
    ] = 60.0,
    size: Annotated[int, typer.Option(min=64, help="Of the images, px.")] = 512,
) -> None:
    """Measure the model server under load, with and without batching, over gRPC and REST.

    Example: python -m pipeline.evaluation.bench_serving --rounds 1 --clients 1,8 -o serving.md
    """
    report = measure(
        size,
        clients=_counts(clients),
        seconds=seconds,
        rounds=rounds,
        arrival_seconds=arrival_seconds,
    )
    page = as_page(report, size=size, seconds=seconds, rounds=rounds, parameters=PARAMETERS)
    write_bytes(output, page.encode())
    typer.echo(page)


def _counts(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isascii() and word.isdecimal() and 1 <= int(word) <= 1000 for word in words):
        raise ValueError(f"--clients should be numbers of 1 to 1000 with commas, got {text!r}")
    return [int(word) for word in words]


if __name__ == "__main__":
    from pipeline.cli import make_single_app, prepare_keras

    prepare_keras()
    make_single_app(command)()
