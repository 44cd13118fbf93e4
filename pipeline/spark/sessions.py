"""Programs in sessions of their own, ended with everything that they have started."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

from components.deployment.child_process import signal_at_end_of_parent

_PATIENCE_S = {signal.SIGTERM: 8.0, signal.SIGKILL: 8.0}


def start(
    command: Sequence[str], *, log: pathlib.Path, environment: Mapping[str, str]
) -> subprocess.Popen:
    """Starts a program in a session of its own, which gets SIGTERM when this thread ends.

    Args:
      command: program and arguments.
      log: file for what it prints.
      environment: all of its variables.
    """
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=lambda: signal_at_end_of_parent(signal.SIGTERM),
        )


def members(sessions: Iterable[int]) -> dict[int, str]:
    """Process id -> command line of what runs in sessions, given by their first process's id."""
    wanted, found = set(sessions), {}
    for folder in pathlib.Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            # After the command in brackets: state, parent, group, session.
            state, _, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
            if int(session) in wanted and state not in "ZX":
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(folder.name)] = line.decode(errors="replace").strip()
    return found


def end(programs: Sequence[subprocess.Popen]) -> None:
    """Ends all processes of their sessions, first by SIGTERM; Ctrl-C does not stop it."""
    sessions = [program.pid for program in programs]
    with _undisturbed():
        for number, patience in _PATIENCE_S.items():
            deadline, told = time.monotonic() + patience, set()
            while (running := members(sessions)) and time.monotonic() < deadline:
                for process in running.keys() - told:  # also those that were just being started
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, number)
                told |= running.keys()
                time.sleep(0.05)
        for program in programs:
            program.wait()


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Nobody's second Ctrl-C ends this process before the body has ended."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        yield  # signals only ever disturb the main thread
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
