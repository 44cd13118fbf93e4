"""How the C library keeps memory: for a process with many threads that runs for months.

glibc gives each of the first threads an arena of its own, eight for a core, and what is free in one
is of no use to another. Other C libraries are left as they are.
"""

from __future__ import annotations

import contextlib
import ctypes
import os

ARENAS = 2
_ARENAS_BY_ENVIRONMENT = "MALLOC_ARENA_MAX"
_M_ARENA_MAX = -8


def share_arenas() -> None:
    """Threads share ARENAS arenas from now on, if the environment says nothing else."""
    if _ARENAS_BY_ENVIRONMENT not in os.environ:
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)


def return_memory() -> None:
    """Gives what is kept of freed memory back to the system."""
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
