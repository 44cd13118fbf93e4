"""Processes that end with the one that started them, also when that is killed."""

import contextlib
import pathlib
import signal
import subprocess
import sys
import time

from components.deployment.child_process import die_with_parent

PARENT = """
import subprocess, time
from components.deployment.child_process import die_with_parent
child = subprocess.Popen(die_with_parent(["sleep", "600"]))
print(child.pid, flush=True)
time.sleep(600)
"""


def command_of(pid):
    """Empty for a process that is not there, or is a zombie."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return pathlib.Path("/proc", str(pid), "cmdline").read_bytes()
    return b""


def wait_for(found, seconds=30):
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_child_ends_when_its_parent_is_killed():
    command = [sys.executable, "-c", PARENT]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        wait_for(lambda: command_of(pid).startswith(b"sleep"))
        parent.kill()
    assert parent.returncode == -signal.SIGKILL
    wait_for(lambda: not command_of(pid))


def test_a_child_is_the_command_itself_with_its_output_and_exit_code():
    script = "import os, sys; print(os.getppid(), sys.argv[1:]); sys.exit(7)"
    command = die_with_parent([sys.executable, "-c", script, "a b", "--c"])
    found = subprocess.run([*command], capture_output=True, text=True)
    assert found.returncode == 7
    assert found.stdout.split(" ", 1)[1] == "['a b', '--c']\n"


def test_a_child_of_a_parent_that_is_gone_does_not_start():
    command = die_with_parent(["echo", "started"])
    command[command.index("components.deployment.child_process") + 1] = "1"
    found = subprocess.run(command, capture_output=True, text=True)
    assert (found.returncode, found.stdout) == (1, "")


def test_a_command_that_cannot_be_started_is_named():
    found = subprocess.run(die_with_parent(["no-such-program"]), capture_output=True, text=True)
    assert found.returncode == 127
    assert found.stderr == "no-such-program: cannot be started (No such file or directory)\n"
