"""`facerelief pipeline` before and between its steps: what it prints, and how it ends."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from pipeline import cli

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("inner", ["", "inner/most"])
def test_a_root_that_cannot_be_a_folder_is_one_line(tmp_path, inner):
    file = tmp_path / "file"
    file.write_text("mine")
    result = CliRunner().invoke(cli.make_app(), ["pipeline", "--root", str(file / inner)])
    assert result.exit_code == 2
    assert result.stderr == f"error: {file} is not a folder\n"
    assert file.read_text() == "mine"


@pytest.mark.parametrize("name", ["runs [1]", "what?", "all*"])
def test_a_root_that_tfx_would_take_for_a_pattern_is_refused(tmp_path, name):
    result = CliRunner().invoke(cli.make_app(), ["pipeline", "--root", str(tmp_path / name)])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {tmp_path / name}: TFX would take ")
    assert not any(tmp_path.iterdir())


def start(*words):
    """The command in a process of its own, which Ctrl-C ends."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "pipeline", *map(str, words)],
        cwd=ROOT,
        env={name: text for name, text in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.e2e
@pytest.mark.slow
def test_ctrl_c_in_a_step_is_one_line_and_libraries_keep_quiet(tmp_path):
    tiny = ("--set", "data.face_model=tiny", "--set", "trainer.init=none")
    with start(*tiny, "--root", tmp_path / "root") as process:
        lines = []
        for line in process.stderr:
            lines.append(line.rstrip("\n"))
            if line.endswith("Component FaceExampleGen is running.\n"):
                process.send_signal(signal.SIGINT)
    text = "\n".join(lines)
    assert process.returncode == 130, text
    assert re.fullmatch(r"[\d:]{8} configuration:", lines[0]), text
    assert lines[-1] == "error: interrupted; the same command goes on from here"
    assert not re.search(r"cuFFT|TensorRT|XLA|InitializeLog", text), text


LOGGED = """
import logging
from pipeline import local_runner
local_runner.show_log()
beam, absl = logging.getLogger("apache_beam.io.tfrecordio"), logging.getLogger("absl")
beam.warning("Couldn't find python-snappy so the implementation is not as fast as it could be.")
logging.getLogger("tensorflow").warning("From x.py:1: f is deprecated\\nInstructions for updating:")
absl.info("Component Trainer is running.")
absl.warning("of no concern")
absl.error("an error")
beam.warning("a warning")
"""


def test_the_log_holds_steps_warnings_and_errors_but_no_advice():
    done = subprocess.run(
        [sys.executable, "-c", LOGGED], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=True
    )
    messages = [line.split(" ", 1)[1] for line in done.stderr.splitlines()]
    assert messages == ["Component Trainer is running.", "an error", "a warning"]
