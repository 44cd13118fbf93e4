"""Commands as processes: standard error holds what this project says, and no library's notices."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "pipeline.cli"]
OPTIONS = {
    "cwd": ROOT,
    "env": {name: text for name, text in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"},
    "stdout": subprocess.PIPE,
    "stderr": subprocess.PIPE,
    "text": True,
}


def stderr_of(*words):
    """What a command writes to standard error."""
    done = subprocess.run([*COMMAND, *map(str, words)], **OPTIONS, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_help_writes_no_notices():
    assert stderr_of("evaluate", "--help") == ""


@pytest.mark.e2e
@pytest.mark.slow
def test_notices_are_written_when_they_are_wanted(tmp_path):
    assert stderr_of("synthesize", "-n", 8, "-o", tmp_path / "faces") == ""
    assert stderr_of("dataset", "describe", tmp_path / "faces") == ""
    assert "Unable to register cuFFT" in stderr_of("-v", "dataset", "describe", tmp_path / "faces")


@pytest.mark.slow
@pytest.mark.serving
def test_a_server_logs_its_versions_and_no_notices(tiny_versions):
    command = [*COMMAND, "serve", "--model", tiny_versions[0], "--port", "0"]
    with subprocess.Popen(command, **OPTIONS) as process:
        assert process.stdout.readline().startswith("serving facerelief (version 1) on")
        process.send_signal(signal.SIGTERM)
        lines = process.stderr.read().splitlines()
    assert process.returncode == 0
    messages = [re.fullmatch(r"[\d-]+ [\d:,]+ INFO (.+)", line)[1] for line in lines]
    assert messages == [
        "facerelief version 1 is available",
        "stopping: requests that have begun are finished",
        "facerelief version 1 is unloaded",
    ]
