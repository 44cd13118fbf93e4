"""The notices of native libraries are held back, and nothing else."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from serving import quiet

ROOT = pathlib.Path(__file__).resolve().parents[2]
NOTICE = "2026-01-01 E cuda_fft.cc:479] Unable to register cuFFT factory"
INFO = "I0000 00:00:1795780434.163715   16348 service.cc:145] XLA service 0x7f initialized"

BEGIN = f"""
import os, signal, subprocess, sys, time
from serving import quiet
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in background
quiet.filter_notices()
os.write(2, b"{NOTICE}\\n{INFO}\\nnative\\n")
"""


def run(code, **options):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", BEGIN + code],
        capture_output=True,
        text=True,
        env=environment,
        **options,
    )


def test_python_native_code_and_children_are_heard_without_notices():
    child = f"echo '{NOTICE}' >&2; echo child >&2; echo child prints"
    done = run(f"print('python', file=sys.stderr)\nsubprocess.run([{child!r}], shell=True)")
    assert sorted(done.stderr.splitlines()) == ["child", "native", "python"]
    assert (done.returncode, done.stdout) == (0, "child prints\n")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise ValueError('what is wrong')", "ValueError: what is wrong"),
        ("import signal\nos.kill(os.getpid(), signal.SIGINT)", "KeyboardInterrupt"),
        ("os.abort()", "native"),
        ("os._exit(3)", "native"),
    ],
)
def test_the_last_words_come_however_a_process_ends(code, said):
    done = run(code)
    assert said in done.stderr.splitlines()
    assert NOTICE not in done.stderr
    assert done.returncode != 0


def test_ctrl_c_ends_the_process_and_then_its_filter():
    with subprocess.Popen(
        [sys.executable, "-c", f"{BEGIN}print('ready', flush=True)\ntime.sleep(600)"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        lines = process.stderr.read().splitlines()  # ends when no process has it open any more
    assert process.returncode == -signal.SIGINT
    assert "native" in lines and "KeyboardInterrupt" in lines


def test_what_could_not_begin_leaves_nothing_behind(monkeypatch):
    """Here the disk of temporary files is full, then it is not."""

    def full():
        raise OSError(28, "No space left on device")

    held, number = quiet._Held(), os.fstat(2)
    with monkeypatch.context() as patched:
        patched.setattr(quiet.tempfile, "TemporaryFile", full)
        with pytest.raises(OSError):
            held.begin()
    held.begin()
    try:
        assert not os.path.samestat(os.fstat(2), number)
    finally:
        held.end()
    assert os.path.samestat(os.fstat(2), number)


BLOCK = f"""
from serving.quiet import without_notices
with without_notices():
    os.write(2, b"{NOTICE}\\nheld\\n")
"""


@pytest.mark.parametrize(("level", "expected"), [("1", ["held"]), ("0", [NOTICE, "held"])])
def test_a_block_holds_notices_back_unless_they_are_wanted(level, expected):
    done = subprocess.run(
        [sys.executable, "-c", f"import os{BLOCK}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": level},
    )
    assert done.stderr.splitlines() == expected
