"""Processes that end with the one that started them, also if that is killed (Linux).

As a script, `python -m components.deployment.child_process PARENT COMMAND...` becomes COMMAND,
which gets SIGKILL when the process PARENT ends.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import signal
import sys
from collections.abc import Sequence

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_NO_SUCH_PROGRAM = 127


def die_with_parent(command: Sequence[str]) -> list[str]:
    """The command that does the same, and ends with this process.

    Start it from the main thread: Linux takes the end of the starting thread for that of its
    process.
    """
    return [sys.executable, "-m", __name__, str(os.getpid()), *command]


def signal_at_end_of_parent(number: int) -> None:
    """Has Linux send this process a signal when the thread that started it ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, number)


def log_tail(path: str | os.PathLike[str], lines: int = 20) -> str:
    """The last lines of what a process wrote to a file."""
    with pathlib.Path(path).open(encoding="utf-8", errors="replace") as file:
        return "".join(file.readlines()[-lines:]).rstrip()


def main(parent: str, *command: str) -> None:
    """Becomes the command, unless the parent has ended already."""
    signal_at_end_of_parent(signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: cannot be started ({error.strerror})\n")
        sys.exit(_NO_SUCH_PROGRAM)


if __name__ == "__main__":
    main(*sys.argv[1:])
