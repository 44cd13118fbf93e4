"""Clients that load a model server, and what they see of it."""

from __future__ import annotations

import collections
import dataclasses
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent import futures

import numpy as np

CODE_OK = "OK"
Send = Callable[[], str]
"""Sends one request, waits for its answer and returns the status code, CODE_OK if all is well.

What it raises ends the measurement, which raises it, too."""
Cpu = Callable[[], float]
"""Processor time that something has taken so far, s."""


@dataclasses.dataclass(frozen=True)
class Step:
    """What so many clients saw in some seconds.

    Attributes:
      clients: How many sent requests, each the next one when the last was answered; 0 where
        requests came at their own times.
      seconds: Time from the first request to the last answer, s.
      latencies_ms: Of the requests that were answered, sorted.
      errors: How many requests ended with each other status.
      faces: Faces of a request.
      cpu_s: Processor time of what answered, s.
      client_cpu_s: Processor time of what asked, s.
      rss_mib: Memory of what answered at the end, MiB.
    """

    clients: int
    seconds: float
    latencies_ms: Sequence[float]
    errors: dict[str, int]
    faces: int = 1
    cpu_s: float = 0.0
    client_cpu_s: float = 0.0
    rss_mib: float = 0.0

    @property
    def per_second(self) -> float:
        """Faces a second."""
        return self.faces * len(self.latencies_ms) / self.seconds

    @property
    def cpu_ms(self) -> tuple[float, float]:
        """Processor time for one face, of what answered and of what asked, ms; nan without any."""
        count = self.faces * len(self.latencies_ms) or np.nan
        return 1e3 * self.cpu_s / count, 1e3 * self.client_cpu_s / count

    def percentile_ms(self, percent: float) -> float:
        """Latency that so many percent of the answers did not exceed; nan without answers."""
        return float(np.percentile(self.latencies_ms, percent)) if self.latencies_ms else np.nan


@dataclasses.dataclass(frozen=True)
class Row:
    """The same step in several rounds.

    Attributes:
      rounds: The steps.
    """

    rounds: Sequence[Step]

    @property
    def per_second(self) -> float:
        """Median of the rounds' rates, faces a second."""
        return statistics.median(step.per_second for step in self.rounds)

    @property
    def together(self) -> Step:
        """All rounds as one: latencies, errors and processor time of all, memory of the last."""
        errors: collections.Counter[str] = collections.Counter()
        for step in self.rounds:
            errors.update(step.errors)
        last = self.rounds[-1]
        return dataclasses.replace(
            last,
            seconds=sum(step.seconds for step in self.rounds),
            latencies_ms=sorted(value for step in self.rounds for value in step.latencies_ms),
            errors=dict(errors),
            cpu_s=sum(step.cpu_s for step in self.rounds),
            client_cpu_s=sum(step.client_cpu_s for step in self.rounds),
        )


class _Seen:
    """Answers as they come, from several threads; and what a function raised that sends."""

    def __init__(self) -> None:
        self.raised: Exception | None = None
        self.latencies_ms: list[float] = []
        self.errors: collections.Counter[str] = collections.Counter()

    def call(self, send: Send, began: float) -> bool:
        """Sends a request that was due at a time; returns whether it was answered."""
        try:
            code = send()
        except Exception as error:
            self.raised = error
            return False
        if code == CODE_OK:
            self.latencies_ms.append(1e3 * (time.perf_counter() - began))
        else:
            self.errors[code] += 1
        return code == CODE_OK


def load(
    send: Send, *, clients: int, seconds: float, faces: int = 1, cpu: Cpu = lambda: 0.0
) -> Step:
    """Sends requests from several threads for some seconds, each when its last is answered.

    Args:
      send: Function that all threads call.
      clients: Threads.
      seconds: Time after which no more requests are sent.
      faces: Faces of a request.
      cpu: Of what answers.
    """
    seen, ends = _Seen(), time.perf_counter() + seconds

    def client() -> None:
        while (began := time.perf_counter()) < ends and seen.raised is None:
            if not seen.call(send, began):
                time.sleep(0.01)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    return _measured(seen, threads, clients=clients, faces=faces, cpu=cpu)


def arrivals(
    send: Send,
    *,
    per_second: float,
    seconds: float,
    random: bool = True,
    seed: int = 0,
    threads: int = 256,
    cpu: Cpu = lambda: 0.0,
) -> Step:
    """Sends requests at their own times, whether others are answered or not.

    A latency counts from when the request was due.

    Args:
      send: Function that threads call.
      per_second: Mean rate.
      seconds: Time after which no more requests are sent.
      random: Whether they come at random (a Poisson process), or evenly.
      seed: Of the random times.
      threads: Most requests that are open at a time.
      cpu: Of what answers.
    """
    seen, rng = _Seen(), np.random.default_rng(seed)
    count = max(1, round(per_second * seconds))
    gaps = rng.exponential(1 / per_second, count) if random else np.full(count, 1 / per_second)
    times = np.cumsum(gaps)

    def dispatch() -> None:
        with futures.ThreadPoolExecutor(min(count, threads)) as pool:
            begins = time.perf_counter()
            for due in begins + times:
                if seen.raised is not None:
                    return
                time.sleep(max(0.0, due - time.perf_counter()))
                pool.submit(seen.call, send, due)

    return _measured(seen, [threading.Thread(target=dispatch)], clients=0, faces=1, cpu=cpu)


def _measured(
    seen: _Seen, threads: Sequence[threading.Thread], *, clients: int, faces: int, cpu: Cpu
) -> Step:
    """Runs threads to their end and says what they saw; raises what a request raised."""
    before, own, began = cpu(), time.process_time(), time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if seen.raised is not None:
        raise seen.raised
    return Step(
        clients,
        time.perf_counter() - began,
        sorted(seen.latencies_ms),
        dict(seen.errors),
        faces=faces,
        cpu_s=cpu() - before,
        client_cpu_s=time.process_time() - own,
    )
