"""Who may call native libraries that neither threads nor forked processes may share."""

from __future__ import annotations

import os
import threading


class ForkError(RuntimeError):
    """An object was made before a fork, and used in the child."""


class OneCaller:
    """A lock for an object that holds native threads: callers take turns, in its own process only.

    with self._turn:
        ...

    Args:
      name: What the object is called in an error.

    Raises:
      ForkError: if a forked child enters, where the object's threads do not exist and a call would
        wait for them without end.
    """

    def __init__(self, name: str):
        self._name, self._process = name, os.getpid()
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        if os.getpid() != self._process:
            raise ForkError(
                f"this {self._name} was made in process {self._process}, before {os.getpid()} was "
                "forked from it: make one in each worker, and start workers with "
                'multiprocessing.get_context("spawn") or before the first is made'
            )
        self._lock.acquire()

    def __exit__(self, *_) -> None:
        self._lock.release()
