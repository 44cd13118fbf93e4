"""How the learning rate of a training rises and falls, over steps or over a time, and its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import keras
from keras import ops

from facemodel.backend import backend_name, commit_to_device
from facemodel.network.training_config import TrainingConfig

LONGEST_WARMUP = 0.1
"""Share of the time after which the rate has risen, however slow the steps are."""
ENDED = 0.999
"""Share of the fall from which on a run has ended."""


def over_steps(config: TrainingConfig) -> keras.optimizers.schedules.LearningRateSchedule:
    """Rises over the config's warm-up, then falls along a cosine to zero over its steps."""
    warmup = min(config.warmup_steps, config.steps // 2)
    return keras.optimizers.schedules.CosineDecay(
        config.learning_rate / max(warmup, 1),
        decay_steps=max(config.steps - warmup, 1),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


class FallOverTime(keras.callbacks.Callback):
    """Lets the learning rate rise over the config's warm-up, then fall to zero over a time.

    It falls along a cosine from where the trainer's `fallen` says, so that a resumed run goes on
    falling, and is zero at the end of the time or of the config's steps, whichever comes first. On
    JAX the rate changes with each round, elsewhere with each step: JAX's fit() keeps variables to
    itself during a round.

    Args:
      limit_s: The time, seconds.
      clock: Seconds of a clock that never goes back.
    """

    def __init__(self, limit_s: float, *, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._limit_s, self._clock = limit_s, clock

    def on_train_begin(self, logs=None):
        self._began, self._fallen = self._clock(), float(ops.convert_to_numpy(self.model.fallen))

    def on_train_batch_begin(self, batch, logs=None):
        if batch == 0:
            self._done = self.model.steps_done
        elif backend_name() == "jax":
            return
        config, step = self.model.config, self._done + batch
        spent = min((self._clock() - self._began) / self._limit_s, 1.0)
        share = max(self._fallen + (1.0 - self._fallen) * spent, step / config.steps)
        warm = max((step + 1) / max(config.warmup_steps, 1), spent / LONGEST_WARMUP)
        rate = config.learning_rate * min(warm, 1.0) * 0.5 * (1.0 + math.cos(math.pi * share))
        self.model.optimizer.learning_rate.assign(rate)
        self.model.fallen.assign(share)
        commit_to_device([self.model.optimizer.learning_rate, self.model.fallen])


class StopAt(keras.callbacks.Callback):
    """Stops after a given step of the whole training, also in the middle of a round.

    It acts before a batch, not after it: Keras runs what comes after a batch late, in another
    thread, on JAX.
    """

    def __init__(self, total: int):
        super().__init__()
        self._total = total

    def on_train_begin(self, logs=None):
        self._begun = self.model.steps_done

    def on_train_batch_begin(self, batch, logs=None):
        self._begun += 1
        if self._begun >= self._total:
            self.model.stop_training = True
