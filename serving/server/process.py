"""The server as a process: signals end it, or have its configuration read again."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import logging
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

_log = logging.getLogger(__name__)
WAKE_SECONDS = 0.5
"""How often the main thread looks for a signal: one that the system gave to another thread does not
wake it."""


class Server(Protocol):
    """What can be run here."""

    def start(self) -> None:
        """Returns when requests are taken."""

    def stop(self) -> None:
        """Finishes the requests it has."""


def serve(
    server: Server,
    *,
    started: Callable[[], None] = lambda: None,
    reload: Callable[[], None] | None = None,
) -> None:
    """Runs a server in the main thread until SIGTERM or SIGINT; what it has then is finished.

    A second signal ends the process at once.

    Args:
      server: not started yet.
      started: called when requests are taken.
      reload: what SIGHUP does; None to leave that signal alone.

    Raises:
      ServerStartError: if it cannot start.
    """
    gc.freeze()  # what is loaded by now stays: each look for garbage takes a tenth of the time
    with _signals(reload=reload is not None) as noted:
        try:
            server.start()
            if not noted.stop:
                started()
            while not noted.stop:
                if noted.reload and reload:
                    noted.reload = False
                    reload()
                time.sleep(WAKE_SECONDS)
            _log.info("stopping: requests that have begun are finished")
        finally:
            server.stop()


@dataclasses.dataclass
class _Noted:
    """Which signals have come. No threading.Event: its lock may be held when a handler runs."""

    stop: bool = False
    reload: bool = False


@contextlib.contextmanager
def _signals(*, reload: bool) -> Iterator[_Noted]:
    """Notes the first SIGTERM or SIGINT, and SIGHUP if wanted."""
    noted = _Noted()
    numbers = [signal.SIGTERM, signal.SIGINT, *([signal.SIGHUP] if reload else [])]
    before: dict[int, Any] = {number: signal.getsignal(number) for number in numbers}

    def restore(numbers: Iterable[int]) -> None:
        for number in numbers:
            signal.signal(number, before[number])

    def note(number, _frame) -> None:
        if number == signal.SIGHUP:
            noted.reload = True
        else:
            restore([signal.SIGTERM, signal.SIGINT])
            noted.stop = True

    for number in numbers:
        signal.signal(number, note)
    try:
        yield noted
    finally:
        restore(numbers)
