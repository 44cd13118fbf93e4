"""A model server under twice the load it can bear, with everything that goes wrong: `make soak`.

Clients leave, cancel, send nonsense and too much, and the served version changes all the time. Each
request has to be answered right, or refused with the right code, and the server may not grow.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Annotated

import psutil
import typer

from pipeline.commands.options import CommandError
from pipeline.evaluation.serving_load import Step, arrivals, load
from pipeline.evaluation.serving_processes import server
from pipeline.evaluation.soak_traffic import BODY_BYTES, MESSAGE_BYTES, Traffic, Truth
from pipeline.evaluation.soak_versions import (
    LONGEST,
    NAME,
    Changes,
    export_kinds,
    known_answers,
    make_faces,
    warm_up_requests,
)

FACES = 16
OVERLOAD = 2.0
ANSWERED = {"good": "OK", "rest_good": "200"}
"""Outcomes that right requests should have, besides refusals."""
MORE_THREADS, MORE_FILES = 8, 8
"""More than these is growth; connections and requests come and go."""
PARAMETERS = """\
max_batch_size { value: 8 }
batch_timeout_micros { value: 1000 }
max_enqueued_batches { value: 4 }
num_batch_threads { value: 2 }
allowed_batch_sizes: [1, 2, 4, 8]
"""


@dataclasses.dataclass(frozen=True)
class Sample:
    """What a process took at a time.

    Attributes:
      seconds: Since the load began.
      rss_mib: Memory, MiB.
      threads: Number of threads.
      files: Number of file descriptors.
    """

    seconds: float
    rss_mib: float
    threads: int
    files: int


def problems(
    samples: Sequence[Sample], *, reference_s: float, window_s: float, growth: float
) -> list[str]:
    """What grew, a line each, from before the reference to before the end.

    Of memory the most in both windows counts: two versions are loaded for a part of the time that
    lies between two changes, a longer one where the machine is slow, and the least is what is taken
    just after one was freed. Of threads and files the median counts.

    Args:
      samples: In their order.
      reference_s: Time from which on nothing may grow, s.
      window_s: Length of both windows, s; longer than from one version to the next.
      growth: Share by which memory may be more or less.
    """
    ends = samples[-1].seconds
    early, late = (
        [one for one in samples if end - window_s < one.seconds <= end]
        for end in (reference_s, ends)
    )
    if not early or not late:
        return [f"no samples before {reference_s:g} s or {ends:g} s"]
    first, last = (max(one.rss_mib for one in window) for window in (early, late))
    lines = []
    if abs(last - first) > growth * first:
        lines.append(f"memory: {last:.0f} MiB after {first:.0f} MiB at {reference_s:g} s")
    for name, more in (("threads", MORE_THREADS), ("files", MORE_FILES)):
        before, after = (_median(window, name) for window in (early, late))
        if after > before + more:
            lines.append(f"{name}: {after:g} after {before:g} at {reference_s:g} s")
    return lines


def unanswered(seen: Mapping[tuple[str, str], int], versions: Set[int], newest: int) -> list[str]:
    """What never worked, a line each: a server that refuses all is not one that bears it.

    Args:
      seen: Outcomes, as Traffic.seen.
      versions: Which gave right answers.
      newest: How many versions there were; the last may not have had the time to be loaded.
    """
    lines = [
        f"{sort}: not one was answered" for sort, ok in ANSWERED.items() if not seen.get((sort, ok))
    ]
    if len(versions) < newest - 1:
        lines.append(f"versions: {len(versions)} of {newest} gave right answers")
    return lines


def _median(samples: Sequence[Sample], name: str) -> float:
    return statistics.median(getattr(one, name) for one in samples)


@contextlib.contextmanager
def sampling(process: psutil.Process, *, seconds: float) -> Iterator[list[Sample]]:
    """Looks at a process at this interval, in a thread; the samples so far."""
    samples: list[Sample] = []
    stopping, began = threading.Event(), time.monotonic()

    def look() -> None:
        while not stopping.wait(seconds):
            with contextlib.suppress(psutil.NoSuchProcess):
                rss, threads = process.memory_info().rss / 2**20, process.num_threads()
                passed = time.monotonic() - began
                samples.append(Sample(passed, rss, threads, process.num_fds()))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield samples
    finally:
        stopping.set()
        thread.join()


@dataclasses.dataclass(frozen=True)
class Soak:
    """What came of it.

    Attributes:
      capacity: Requests a second that the server answers when each client waits for its answer.
      step: The overload; latencies have refusals in them.
      traffic: Outcomes.
      samples: Of the server.
      versions: How many versions there were.
      problems: What should not have been, a line each.
    """

    capacity: float
    step: Step
    traffic: Traffic
    samples: Sequence[Sample]
    versions: int
    problems: Sequence[str]


def soak(
    *, minutes: float, change_s: float = 20.0, reference_s: float = 120.0, growth: float = 0.05
) -> Soak:
    """Runs it against a server process of its own.

    Args:
      minutes: Length of the overload.
      change_s: Seconds between two versions, at least.
      reference_s: See problems; half of the time, if that is less.
      growth: See problems.
    """
    seconds = 60 * minutes
    with contextlib.ExitStack() as stack:
        work = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        images, points = make_faces(FACES)
        kinds = export_kinds(work / "kinds", warm_up_requests(images[0], points[0]))
        truth = Truth(images, points, known_answers(kinds, images, points))
        (work / "versions").mkdir()
        changes = Changes(
            work / "versions",
            kinds,
            seconds=change_s,
            answered=lambda number: number in traffic.versions,
        )
        started = stack.enter_context(server(_options(work)))
        assert started.rest_address
        traffic = Traffic(started.address, started.rest_address, truth)
        stack.callback(traffic.close)
        capacity = _capacity(traffic)
        samples = stack.enter_context(sampling(started.process, seconds=0.5))
        with changes:
            step = _overload(traffic, OVERLOAD * capacity, seconds)
        died = ["the server is no more"] if started.ended else []
        grown = problems(
            list(samples),
            reference_s=min(reference_s, seconds / 2),
            window_s=min((LONGEST + 1) * change_s, seconds / 4),
            growth=growth,
        )
    idle = unanswered(traffic.seen, traffic.versions, changes.number)
    wrong = (f"{what} {said}".strip() for what, said in sorted(traffic.wrong.items()))
    found = [*died, *wrong, *idle, *grown]
    return Soak(capacity, step, traffic, samples, changes.number, found)


def _options(work: pathlib.Path) -> list[str]:
    file = work / "batching_parameters.txt"
    file.write_text(PARAMETERS, encoding="utf-8")
    return [
        *("--model", str(work / "versions"), "--name", NAME, "--rest-port", "0"),
        *("--max-message-bytes", str(MESSAGE_BYTES), "--max-requests", "48"),
        *("--rest-max-mib", str(BODY_BYTES / 2**20), "--poll-seconds", "0.5"),
        *("--enable-batching", "--batching-parameters-file", str(file)),
    ]


def _capacity(traffic: Traffic) -> float:
    """Requests a second of all sorts, sent by clients that wait for their answers."""
    seeds = iter(range(10**9, 2 * 10**9))
    return load(lambda: _sent(traffic, next(seeds)), clients=8, seconds=4.0).per_second


def _overload(traffic: Traffic, per_second: float, seconds: float) -> Step:
    seeds = iter(range(10**9))
    return arrivals(
        lambda: _sent(traffic, next(seeds)), per_second=per_second, seconds=seconds, threads=128
    )


def _sent(traffic: Traffic, seed: int) -> str:
    traffic.send(seed)
    return "OK"  # outcomes are counted by the traffic


def report(soak: Soak) -> str:
    """What came of it, as text."""
    counts = sorted(soak.traffic.seen.items())
    rate = len(soak.step.latencies_ms) / soak.step.seconds
    marks = [soak.samples[0], soak.samples[len(soak.samples) // 2], soak.samples[-1]]
    return "\n".join(
        [
            f"{soak.step.seconds:.0f} s with {rate:.0f} requests a second; clients that wait get "
            f"{soak.capacity:.0f}. Versions: {soak.versions}.",
            *(f"  {sort:15s} {outcome:20s} {count}" for (sort, outcome), count in counts),
            "server: time s, memory MiB, threads, files",
            *(f"  {s.seconds:8.0f} {s.rss_mib:8.0f} {s.threads:4d} {s.files:4d}" for s in marks),
            *(f"PROBLEM: {line}" for line in soak.problems),
        ]
    )


def command(
    minutes: Annotated[float, typer.Option(min=0.1, help="Length of the overload.")] = 10.0,
    change_seconds: Annotated[
        float, typer.Option(min=1, help="Between two versions, at least.")
    ] = 20.0,
) -> None:
    """Overload a model server with right and wrong requests while its versions change.

    Exit code 1 if a request was answered wrong, no right one was answered, a version was never seen
    but for the last, or the server's memory at its highest is 5 % off what it was after its second
    minute.

    Example: python -m pipeline.evaluation.soak --minutes 3
    """
    done = soak(minutes=minutes, change_s=change_seconds)
    typer.echo(report(done))
    if done.problems:
        raise CommandError(f"{len(done.problems)} problems", exit_code=1)


if __name__ == "__main__":
    from pipeline.cli import make_single_app, prepare_keras

    prepare_keras()
    make_single_app(command)()
