"""Work that overlaps: items in several steps, with results in the order of the items."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple


class Step(NamedTuple):
    """One step of the work.

    Attributes:
      work: Takes an item, or what the step before gave for it.
      threads: How many items may be in it at once.
    """

    work: Callable[[Any], Any]
    threads: int = 1


class Once:
    """A function without arguments that runs once: later calls return or raise the same."""

    def __init__(self, function: Callable[[], Any]):
        self._function, self._lock = function, threading.Lock()
        self._outcome: Future = Future()

    def __call__(self) -> Any:
        """Runs the function, or waits for another thread that does."""
        with self._lock:
            if not self._outcome.done():
                try:
                    self._outcome.set_result(self._function())
                except BaseException as error:
                    self._outcome.set_exception(error)
        return self._outcome.result()


def in_order(
    items: Iterable[Any], steps: Sequence[Step], *, ahead: int
) -> Iterator[Callable[[], Any]]:
    """Works on items, each in all steps one after the other, several items at once.

    A step begins the items in their order. Where one raises, the later steps leave the item out.

    Args:
      items: what is worked on.
      steps: at least one.
      ahead: Number of items that are begun and whose result has not been asked for.

    Yields:
      For each item, in their order, a function that returns the last step's result or raises what
      a step raised. When the caller stops earlier, no further item is begun.
    """
    pools = [ThreadPoolExecutor(step.threads) for step in steps]
    waiting: collections.deque[Future] = collections.deque()
    try:
        for item in items:
            if len(waiting) == ahead:
                yield waiting.popleft().result
            waiting.append(_begin(pools, steps, item))
        while waiting:
            yield waiting.popleft().result
    finally:
        for pool in pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for pool in pools:
            pool.shutdown()


def _begin(pools: Sequence[ThreadPoolExecutor], steps: Sequence[Step], item: Any) -> Future:
    """Puts an item into the first step's queue, and its results into those of the next steps."""
    future = pools[0].submit(steps[0].work, item)
    for pool, step in zip(pools[1:], steps[1:], strict=True):
        future = pool.submit(lambda work, before: work(before.result()), step.work, future)
    return future
