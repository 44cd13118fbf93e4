"""How long the parts of a job take, for those who ask for it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

Stage = Callable[[str], AbstractContextManager[None]]
"""Gives a context that a part of a job runs in, by the part's name."""


def unmeasured(name: str) -> AbstractContextManager[None]:
    """A Stage that measures nothing."""
    return contextlib.nullcontext()


class Stopwatch:
    """Collects elapsed times; threads may share one.

    with stopwatch.stage("read"):
        ...

    Attributes:
      seconds: of each part, one number for each time that it ran, in the order of their first end.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A Stage; what ends by an error counts as well."""
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            with self._lock:
                self.seconds.setdefault(name, []).append(took)
