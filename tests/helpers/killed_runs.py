"""Runs the pipeline once for each moment that is read from standard input, and is killed then.

    python tests/helpers/killed_runs.py CONFIG ROOT SETTING...

A moment is a text; the run gets SIGKILL when it logs a line with it, and goes on to its end if it
never does. Each run is a process of its own, forked when TFX is loaded: to load it takes half a
minute.
"""

import logging
import os
import signal
import sys

from pipeline import config, local_runner, pipeline


class Killer(logging.Handler):
    """Ends this process at a moment."""

    def __init__(self, moment):
        super().__init__(logging.INFO)
        self._moment, self._step = moment, ""

    def emit(self, record):
        message = record.getMessage()
        if message.startswith("Component "):
            self._step = message.split()[1]
        if self._moment in f"{self._step}: {message}":
            os.kill(os.getpid(), signal.SIGKILL)


def run(moment, settings, root):
    killer = Killer(moment)
    for name in ("absl", "components.trainer"):
        logging.getLogger(name).addHandler(killer)
    local_runner.run(settings, root)


def main(file, root, *overrides):
    assert pipeline  # loads TFX and all components
    local_runner.show_log()
    settings = config.load(file=file, overrides=overrides)
    for line in sys.stdin:
        if not (number := os.fork()):
            code = 1
            try:
                run(line.strip(), settings, root)
                code = 0
            except Exception:
                logging.exception("the run failed")
            os._exit(code)
        _, status = os.waitpid(number, 0)
        sys.stdout.write(f"ended with {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
