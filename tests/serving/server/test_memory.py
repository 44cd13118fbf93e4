"""Arenas of the C library, counted by itself."""

import os
import subprocess
import sys

import pytest

SCRIPT = """
import ctypes, threading
from serving.server.memory import return_memory, share_arenas

share_arenas()
all_here = threading.Barrier(20)
def allocate():
    kept = bytes(1000)
    all_here.wait()
threads = [threading.Thread(target=allocate) for _ in range(20)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
return_memory()
ctypes.CDLL(None).malloc_stats()
"""


def count_arenas(**environment):
    plain = {key: value for key, value in os.environ.items() if key != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=plain | environment, text=True, capture_output=True
    )
    if "malloc_stats" in done.stderr:
        pytest.skip("a C library without arenas")
    assert done.returncode == 0, done.stderr
    return sum(line.startswith("Arena ") for line in done.stderr.splitlines())


def test_threads_share_two_arenas_unless_the_environment_says_otherwise():
    assert count_arenas() == 2
    assert count_arenas(MALLOC_ARENA_MAX="5") == 5
