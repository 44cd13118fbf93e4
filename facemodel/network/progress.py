"""The log of a training run."""

from __future__ import annotations

import logging
from typing import Any

import keras


class LogProgress(keras.callbacks.Callback):
    """Logs a line at the start, since the first step compiles, and one after each round of steps.

    Args:
      log: Logger of the program that trains.
    """

    def __init__(self, log: logging.Logger):
        super().__init__()
        self._log = log

    def on_train_begin(self, logs=None):
        config = self.model.config
        self._log.info(
            "compiling; then %d steps of %d faces at %d x %d px",
            config.steps - self.model.steps_done, config.batch_size, config.size, config.size,
        )  # fmt: skip

    def on_epoch_end(self, epoch, logs=None):
        step, total = self.model.steps_done, self.model.config.steps
        self._log.info("step %d of %d: %s", step, total, summary(logs))


def summary(logs: dict[str, Any] | None) -> str:
    """The errors of a round in words: "loss 4.12 mm2, rms 4.3 2.2 2.0 2.0 mm"."""
    values = {name: float(value) for name, value in (logs or {}).items()}
    errors = " ".join(f"{value:.2f}" for name, value in values.items() if name.startswith("rms"))
    return f"loss {values.get('loss', float('nan')):.3f} mm2, rms {errors} mm"
