"""Keeps the notices of native libraries off the screen, and nothing else.

Run as a script it passes on standard input without them.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
"""TensorFlow's variable of the environment; at 0 nothing is held back here, either."""

_NOTICES = re.compile(
    rb"^I\d{4} |"  # what absl has to say before it is set up: mediapipe, XLA
    rb"XNNPACK delegate|inference_feedback_manager|InitializeLog|gl_context|GL version|"
    rb"oneDNN custom operations|Could not find cuda drivers|Unable to register cu(FFT|DNN|BLAS)|"
    rb"cpu_feature_guard|To enable the following instructions|TF-TRT Warning|computation_placer|"
    rb"failed call to cuInit|libcuda reported version|kernel reported version|"
    rb"(?:retrieving CUDA diagnostic|hostname:)"
)


def notices_wanted() -> bool:
    """Whether the environment asks for the notices, as `facerelief -v` does."""
    return os.environ.get(LEVEL) == "0"


def filter_notices() -> None:
    """Filters what native code and child processes write to standard error, until the end.

    Python's sys.stderr stays the terminal or file that it was. The filter is a process, which
    still passes on the last words of one that crashes; it ends after all that write to it.
    """
    try:
        kept = os.dup(2)
    except OSError:  # closed by the caller: nothing is shown anyway
        return
    command = [sys.executable, "-IS", __file__]
    filtering = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=kept, start_new_session=True, bufsize=0
    )
    assert filtering.stdin
    os.dup2(filtering.stdin.fileno(), 2)
    filtering.stdin.close()
    sys.stderr = open(kept, "w", buffering=1, errors="backslashreplace")  # noqa: SIM115

    @atexit.register
    def finish() -> None:
        os.dup2(kept, 2)
        with contextlib.suppress(subprocess.TimeoutExpired):
            filtering.wait(timeout=1)  # a process that goes on may still write to it


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Holds back what is written to standard error, then passes on all lines but known notices.

    Works on the file descriptor, because native code does not know sys.stderr; so it holds back
    what other threads write, too. Threads may do it at once: the last one to end passes on.
    """
    if notices_wanted() or sys.stderr is None:
        yield
        return
    _HELD.begin()
    try:
        yield
    finally:
        _HELD.end()


class _Held:
    """Standard error while it is held back; there is one, as there is one file descriptor."""

    def __init__(self) -> None:
        self._lock, self._holders = threading.Lock(), 0

    def begin(self) -> None:
        with self._lock:
            if not self._holders:
                sys.stderr.flush()
                self._file, self._kept = tempfile.TemporaryFile(), os.dup(2)  # noqa: SIM115
                os.dup2(self._file.fileno(), 2)
            self._holders += 1  # only now: what failed has nothing to end

    def end(self) -> None:
        with self._lock:
            self._holders -= 1
            if self._holders:
                return
            sys.stderr.flush()
            os.dup2(self._kept, 2)
            os.close(self._kept)
            with self._file as held:
                held.seek(0)
                for line in held:
                    if not _NOTICES.search(line):
                        os.write(2, line)


_HELD = _Held()


def _pass_on() -> None:
    for line in sys.stdin.buffer:
        if not _NOTICES.search(line):
            with contextlib.suppress(OSError):  # go on reading, or those who write would be stopped
                sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()


if __name__ == "__main__":
    _pass_on()
