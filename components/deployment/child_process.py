"""Processes that end with the one that started them, also if that is killed (Linux).

As a script, `python -m components.deployment.child_process PARENT COMMAND...` becomes COMMAND,
which gets SIGKILL when the process PARENT ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1
_NO_SUCH_PROGRAM = 127


def die_with_parent(command: Sequence[str]) -> list[str]:
    """The command that does the same, and ends with this process.

    Start it from the main thread: Linux takes the end of the starting thread for that of its
    process.
    """
    return [sys.executable, "-m", __name__, str(os.getpid()), *command]


def main(parent: str, *command: str) -> None:
    """Becomes the command, unless the parent has ended already."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        sys.exit(1)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: cannot be started ({error.strerror})\n")
        sys.exit(_NO_SUCH_PROGRAM)


if __name__ == "__main__":
    main(*sys.argv[1:])
