"""A training run on the screen: its bar, and how it ends early."""

from __future__ import annotations

import logging
import signal
import time
from typing import Any

import keras

from facemodel.network.progress import summary

_log = logging.getLogger(__name__)


class StopEarly(keras.callbacks.Callback):
    """Ends training after some time, or at Ctrl-C, with everything saved; a second Ctrl-C kills."""

    def __init__(self, limit_s: float):
        super().__init__()
        self._limit_s, self._interrupted = limit_s, False

    def on_train_begin(self, logs=None):
        self._deadline = time.monotonic() + self._limit_s
        self._before: Any = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number, frame):
        self._interrupted = True
        _log.warning("stopping after this step and saving; Ctrl-C again kills")
        signal.signal(signal.SIGINT, self._before)

    def on_train_batch_begin(self, batch, logs=None):
        if self._interrupted or time.monotonic() > self._deadline:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        signal.signal(signal.SIGINT, self._before)


class ShowProgress(keras.callbacks.Callback):
    """A bar with samples, rate, time left and the errors of the last round."""

    def on_train_begin(self, logs=None):
        from rich import console, progress

        config = self.model.config
        self._bar = progress.Progress(
            "[progress.description]{task.description}",
            progress.BarColumn(),
            progress.TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            progress.TextColumn("{task.fields[rate]:.0f}/s"),
            progress.TimeRemainingColumn(),
            console=console.Console(stderr=True),
        )
        done = int(self.model.step.value) * config.batch_size
        self._task = self._bar.add_task(
            "compiling", total=config.steps * config.batch_size, completed=done, rate=0.0
        )
        self._bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self._began, self._steps = time.monotonic(), 0

    def on_train_batch_begin(self, batch, logs=None):
        if batch:
            self._steps += 1
            self._bar.advance(self._task, self.model.config.batch_size)

    def on_epoch_end(self, epoch, logs=None):
        batch_size = self.model.config.batch_size
        rate = self._steps * batch_size / max(time.monotonic() - self._began, 1e-9)
        done = int(self.model.step.value) * batch_size
        self._bar.update(self._task, description=summary(logs), completed=done, rate=rate)

    def on_train_end(self, logs=None):
        self._bar.stop()
