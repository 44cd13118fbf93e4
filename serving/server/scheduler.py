"""Runs requests on a few threads, in batches or one by one, so that they do not fight for cores.

What waits for its turn costs nothing but memory, and is dropped when its deadline passes or its
caller is gone.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import grpc
import numpy as np

from serving.server import batching
from serving.server.batch_queues import Batch, BatchQueues, Key, Run, Task
from serving.server.batching import Arrays
from serving.server.batching_parameters import BatchingParameters, available_cores
from serving.server.status import ServingError, from_error

OnEnd = Callable[[Callable[[], None]], bool]
"""Has a function called when a call ends; false if it has ended: grpc's `context.add_callback`."""
_OF_THE_WHOLE_BATCH = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


class Observer(Protocol):
    """Is told what happens; called from several threads."""

    def batch(self, model: str, signature: str, size: int) -> None:
        """A batch of so many rows runs, padding included."""

    def queue_depth(self, model: str, signature: str, depth: int) -> None:
        """So many requests of a signature wait now, or parts of them."""


class Scheduler:
    """Threads that run the requests of all models and versions, the oldest batch first.

    Args:
      parameters: How requests are joined; None runs each one by itself and refuses none.
      threads: Runs at a time if parameters is None; as many as there are cores if None.
      observer: told of batches and of what waits, if given.
    """

    def __init__(
        self,
        parameters: BatchingParameters | None = None,
        *,
        threads: int | None = None,
        observer: Observer | None = None,
    ):
        self._parameters, self._observer = parameters, observer
        self._queues = BatchQueues(parameters)
        self._changed = threading.Condition()
        self._closing = False
        count = parameters.num_batch_threads if parameters else threads or available_cores()
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{k}", daemon=True)
            for k in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def run(
        self,
        key: Key,
        run: Run,
        feeds: Arrays,
        *,
        seconds: float | None = None,
        on_end: OnEnd | None = None,
    ) -> dict[str, np.ndarray]:
        """Waits for the request's turn and gives its outputs.

        Args:
          key: What has to be equal in a batch, besides the shapes of the rows.
          run: Function that runs it; the same for the same key.
          feeds: Arrays by name.
          seconds: Time to the deadline; None for none.
          on_end: Registers what to do when the caller is gone.

        Raises:
          ServingError: DEADLINE_EXCEEDED or CANCELLED while it waits; UNAVAILABLE if the queue is
            full; INVALID_ARGUMENT if it fits into no batch; or what `run` raises.
        """
        now = time.monotonic()
        deadline = math.inf if seconds is None else now + seconds
        with self._changed:
            tasks = self._queues.add(key, run, feeds, deadline=deadline, now=now)
            self._changed.notify(len(tasks))
            self._report(key)
        if on_end and not on_end(lambda: self._drop(tasks, _cancelled())):
            self._drop(tasks, _cancelled())
        for task in tasks:
            timeout = None if seconds is None else max(0.0, deadline - time.monotonic())
            if not task.finished.wait(timeout):
                self._drop(tasks, _too_late())
                task.finished.wait()  # it may be running: until then the model stays loaded
        problem = next((task.problem for task in tasks if task.problem), None)
        if problem:
            raise problem
        return batching.join([task.outputs for task in tasks if task.outputs is not None])

    def close(self) -> None:
        """Runs what waits, then ends the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _drop(self, tasks: Sequence[Task], problem: ServingError) -> None:
        with self._changed:
            keys = {task.batch.queue[0] for task in tasks if task.batch}
            self._queues.drop(tasks, problem)
            for key in keys:
                self._report(key)

    def _report(self, key: Key) -> None:
        if self._observer:
            self._observer.queue_depth(key.model, key.signature, self._queues.waiting(key))

    def _work(self) -> None:
        while (batch := self._next_batch()) is not None:
            self._run_batch(batch)

    def _next_batch(self) -> Batch | None:
        """Waits until a batch is due; None when the scheduler is closed and nothing waits."""
        with self._changed:
            while True:
                now = time.monotonic()
                batch = self._queues.take(math.inf if self._closing else now)
                if batch or self._closing:
                    self._changed.notify()  # another thread may have to wait for another batch
                    if batch:
                        self._report(batch.queue[0])
                    return batch
                due = self._queues.next_due()
                self._changed.wait(None if due == math.inf else max(0.0, due - now))

    def _run_batch(self, batch: Batch) -> None:
        """Finishes all tasks of a batch; if it fails as a whole, each is tried by itself."""
        now = time.monotonic()
        for task in batch.tasks:
            if task.deadline <= now:
                task.finish(_too_late())
        tasks = [task for task in batch.tasks if not task.finished.is_set()]
        problem = self._run_together(batch, tasks) if tasks else None
        if problem and len(tasks) > 1 and problem.code not in _OF_THE_WHOLE_BATCH:
            for task in tasks:  # one of them cannot be decoded, perhaps; the others can
                alone = self._run_together(batch, [task])
                if alone:
                    task.finish(alone)
        elif problem:
            for task in tasks:
                task.finish(problem)

    def _run_together(self, batch: Batch, tasks: Sequence[Task]) -> ServingError | None:
        """Runs tasks as one batch and gives them their outputs, or returns why that failed."""
        sizes, last = [task.size for task in tasks], max(task.deadline for task in tasks)
        seconds = None if last == math.inf else max(0.0, last - time.monotonic())
        wanted = self._parameters.padded_size(sum(sizes)) if self._parameters else 0
        padding = wanted - sum(sizes) if tasks[-1].size else 0
        try:
            feeds = batching.join([task.feeds for task in tasks], padding=padding)
            outputs = batch.run(feeds, seconds)
            results = [outputs]
            if self._parameters:
                if self._observer:
                    key = batch.queue[0]
                    self._observer.batch(key.model, key.signature, sum(sizes) + padding)
                results = batching.divide_outputs(outputs, sizes, padding=padding)
        except Exception as error:
            return from_error(error)
        for task, result in zip(tasks, results):
            task.finish(result)
        return None


def _too_late() -> ServingError:
    text = "Deadline exceeded while waiting for its turn"
    return ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, text)


def _cancelled() -> ServingError:
    return ServingError(grpc.StatusCode.CANCELLED, "The caller is gone")
