"""Where Beam's servers listen, and how its workers reach them."""

import os
import subprocess
import sys
import threading
import time

import pytest
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from components.records import beam_runs
from components.records.beam_runs import PROXY_EXEMPTIONS, spare_loopback_from_proxies


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "localhost,127.0.0.1,::1"),
        ({"no_proxy": "intern.example"}, "intern.example,localhost,127.0.0.1,::1"),
        ({"no_grpc_proxy": "a,localhost", "no_proxy": "b"}, "a,localhost,127.0.0.1,::1"),
    ],
)
def test_loopback_is_exempt_from_proxies_besides_what_was(monkeypatch, before, after):
    for name in ("no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("no_grpc_proxy", before.get("no_grpc_proxy", ""))
    spare_loopback_from_proxies()
    spare_loopback_from_proxies()

    assert os.environ[PROXY_EXEMPTIONS[0]] == after


def test_workers_start_from_a_folder_with_spaces_brackets_and_accents(tmp_path, monkeypatch):
    """As Beam's runner does: a line for a shell, made of the interpreter's path."""
    program = tmp_path / "my checkout [1] é" / "python"
    program.parent.mkdir()
    program.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(program))
    with beam_runs.interpreter_quoted():
        line = SubprocessSDKEnvironment.from_command_string(f"{program} -c 'print(7)'")
    done = subprocess.run(line.command_string, shell=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("7\n", "")
    plain = SubprocessSDKEnvironment.from_command_string(f"{program} -V").command_string
    assert plain == f"{program} -V"


@pytest.mark.parametrize(
    ("code", "cause"),
    [(-9, "want of memory"), (137, "want of memory"), (127, "could not be started"), (3, "code 3")],
)
def test_the_cause_of_a_lost_worker_is_told_by_its_exit_code(code, cause):
    def run_worker():
        raise RuntimeError(f"Worker subprocess exited with return code {code}")

    def lose_worker():
        with beam_runs.raise_on_lost_worker(None):
            threading.Thread(target=run_worker, name="run_worker").start()
            time.sleep(60)

    with pytest.raises(beam_runs.WorkerLost, match=cause):
        lose_worker()
