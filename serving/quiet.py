"""Keeps the start-up notices of native libraries off the screen, and nothing else."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

_NOTICES = re.compile(
    rb"XNNPACK delegate|inference_feedback_manager|InitializeLog|gl_context|GL version|"
    rb"oneDNN custom operations|Could not find cuda drivers|Unable to register cu(FFT|DNN|BLAS)|"
    rb"cpu_feature_guard|To enable the following instructions|TF-TRT Warning|computation_placer|"
    rb"failed call to cuInit|libcuda reported version|kernel reported version|"
    rb"XLA service 0x|StreamExecutor device|Compiled cluster using XLA|"
    rb"(?:retrieving CUDA diagnostic|hostname:)"
)


@contextlib.contextmanager
def without_notices() -> Iterator[None]:
    """Holds back what is written to standard error, then passes on all lines but known notices.

    Works on the file descriptor, because native code does not know sys.stderr; so it holds back
    what other threads write, too, until the end of the block.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        saved = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            for line in held:
                if not _NOTICES.search(line):
                    os.write(2, line)
