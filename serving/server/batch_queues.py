"""What waits to be run: which requests share a batch, which batch is due, what is refused.

The rules are those of TensorFlow Serving's SharedBatchScheduler, with two more: only rows of equal
shape share a batch, and the oldest batch is next. Nothing here waits or locks.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import threading
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

import grpc
import numpy as np

from serving.server import batching
from serving.server.batching import Arrays
from serving.server.batching_parameters import BatchingParameters
from serving.server.status import ServingError, invalid

Run = Callable[[Arrays, "float | None"], "dict[str, np.ndarray]"]
"""Runs a graph on inputs with a timeout in s or None; gives its outputs."""


class Key(NamedTuple):
    """What has to be equal in a batch, besides the shapes of the rows.

    Attributes:
      model: Model name.
      signature: Signature name.
      rest: Version and outputs.
    """

    model: str
    signature: str
    rest: Hashable


Queue = tuple[Key, Hashable]
"""A key, and the shapes of a row."""
_FULL = "The batch scheduling queue to which this task was submitted is full; "


@dataclasses.dataclass(eq=False)
class Task:
    """A request, or the part of one that is in one batch.

    Attributes:
      feeds: Inputs by name.
      size: Rows.
      deadline: On the clock of time.monotonic; infinite for none.
      batch: The batch in which it waits; None before and after.
      outputs: The result, once it is finished and nothing went wrong.
      problem: what went wrong.
      finished: set in the end.
    """

    feeds: Arrays
    size: int
    deadline: float
    batch: Batch | None = None
    outputs: dict[str, np.ndarray] | None = None
    problem: ServingError | None = None
    finished: threading.Event = dataclasses.field(default_factory=threading.Event)

    def finish(self, result: dict[str, np.ndarray] | ServingError) -> None:
        """Notes the result and wakes who waits for it."""
        if isinstance(result, ServingError):
            self.problem = result
        else:
            self.outputs = result
        self.finished.set()


@dataclasses.dataclass(eq=False)
class Batch:
    """Tasks that run together; the queue it is in, when its first one came, and its rows."""

    queue: Queue
    run: Run
    began: float
    tasks: list[Task] = dataclasses.field(default_factory=list)
    size: int = 0


class BatchQueues:
    """Queues of batches, one for each signature and shape.

    Args:
      parameters: How requests are joined; None if each is a batch of its own and none is refused.
    """

    def __init__(self, parameters: BatchingParameters | None):
        self._parameters = parameters
        self._timeout = parameters.batch_timeout_micros / 1e6 if parameters else 0.0
        self._most = parameters.execution_size if parameters else 0
        self._queues: dict[Queue, collections.deque[Batch]] = {}

    def waiting(self, key: Key) -> int:
        """How many tasks of a model's signature wait, whatever their version, outputs and shape."""
        wanted = (key.model, key.signature)
        queues = [queue for (other, _), queue in self._queues.items() if other[:2] == wanted]
        return sum(len(batch.tasks) for queue in queues for batch in queue)

    def add(self, key: Key, run: Run, feeds: Arrays, *, deadline: float, now: float) -> list[Task]:
        """Puts a request, whole or in parts, into the last batches of its queue.

        Args:
          key: Whose requests it may share a batch with.
          run: Function that runs it; the same for the same key.
          feeds: Arrays by name.
          deadline: Time after which nobody wants the result.
          now: Time.

        Raises:
          ServingError: INVALID_ARGUMENT if it can be in no batch; UNAVAILABLE if the queue is full.
        """
        if self._parameters is None:
            queue, parts = (key, object()), [(feeds, 0)]
        else:
            queue = (key, batching.row_shapes(feeds))
            parts = self._parts(queue, feeds, self._parameters)
        tasks = [Task(part, size, deadline) for part, size in parts]
        for task in tasks:
            self._append(queue, run, task, now)
        return tasks

    def _parts(
        self, queue: Queue, feeds: Arrays, parameters: BatchingParameters
    ) -> list[tuple[Arrays, int]]:
        """A request as what goes into one batch each, with the rows of that."""
        rows, limit, most = batching.row_count(feeds), parameters.max_batch_size, self._most
        if rows > limit:
            raise invalid(f"Task size {rows} is larger than maximum input batch size {limit}")
        room = most - self._queues[queue][-1].size if queue in self._queues else most
        self._check_capacity(queue, rows, room, parameters)
        if not parameters.enable_large_batch_splitting:
            return [(feeds, rows)]
        sizes = batching.part_sizes(rows, room=room, most=most)
        return list(zip(batching.divide(feeds, sizes), sizes))

    def _check_capacity(
        self, queue: Queue, rows: int, room: int, parameters: BatchingParameters
    ) -> None:
        """Refuses a request that finds its queue full, or those of all shapes together."""
        most, limit = self._most, parameters.max_enqueued_batches
        count = len(self._queues.get(queue, ()))
        if parameters.enable_large_batch_splitting:
            capacity = (limit - max(count, 1)) * most + room
            if rows > capacity:
                raise _unavailable(
                    f"task size is {rows} but scheduling capacity is only {capacity}"
                )
        elif rows > room and count >= limit:
            raise _unavailable(
                f"currently {count} batches enqueued and max_enqueued_batches is {limit}"
            )
        queues = [batches for (key, _), batches in self._queues.items() if key == queue[0]]
        together = sum(batch.size for batches in queues for batch in batches)
        if together + rows > limit * most:
            raise _unavailable(f"{together} rows of several shapes are enqueued")

    def _append(self, queue: Queue, run: Run, task: Task, now: float) -> None:
        batches = self._queues.setdefault(queue, collections.deque())
        if not batches or batches[-1].size + task.size > self._most:
            batches.append(Batch(queue, run, now))
        batches[-1].tasks.append(task)
        batches[-1].size += task.size
        task.batch = batches[-1]

    def drop(self, tasks: Iterable[Task], problem: ServingError) -> None:
        """Finishes those of the tasks that wait, with a problem; the others are left alone."""
        for task in tasks:
            batch = task.batch
            if batch is None:
                continue
            batch.tasks.remove(task)
            batch.size -= task.size
            task.batch = None
            if not batch.tasks:
                self._remove(batch)
            task.finish(problem)

    def take(self, now: float) -> Batch | None:
        """Removes and returns the oldest batch that is full or has waited long enough."""
        due = [batches[0] for batches in self._queues.values() if self._due_at(batches) <= now]
        if not due:
            return None
        batch = min(due, key=lambda one: one.began)
        self._remove(batch)
        for task in batch.tasks:
            task.batch = None
        return batch

    def next_due(self) -> float:
        """When the next batch is due; infinite if nothing waits."""
        return min((self._due_at(batches) for batches in self._queues.values()), default=math.inf)

    def _due_at(self, batches: collections.deque[Batch]) -> float:
        front = batches[0]
        full = len(batches) > 1 or front.size >= self._most
        return front.began + (0.0 if full else self._timeout)

    def _remove(self, batch: Batch) -> None:
        self._queues[batch.queue].remove(batch)
        if not self._queues[batch.queue]:
            del self._queues[batch.queue]


def _unavailable(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.UNAVAILABLE, _FULL + message)
