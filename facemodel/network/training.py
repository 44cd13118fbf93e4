"""Training the iterative regressor: the loop unrolled in one step, on any Keras backend.

Each step draws (or is given) a batch of faces, chooses where the loop starts, runs it K times and
lowers the mean loss of its K estimates. Gradients do not flow from one iteration into the previous
one, so the network learns to correct whatever states its own loop visits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from facemodel import camera
from facemodel.backend import deterministic
from facemodel.config import ConfigError
from facemodel.fitting.landmark_fit import landmark_fit
from facemodel.morphable.geometry import FaceGeometry
from facemodel.network.losses import geometry_loss
from facemodel.network.regressor import IterativeRegressor
from facemodel.network.training_config import TrainingConfig
from facemodel.synthesis.online import OnlineBatch
from facemodel.synthesis.streams import DeviceStreams, RandomStreams

MIN_SIGMA_MM = 0.3
"""The landmark fit never trusts landmarks more than this."""


def sample_starts(
    geometry: FaceGeometry, batch: OnlineBatch, rng: RandomStreams, config: TrainingConfig
) -> Any:
    """Chooses where the loop starts for each face of a batch.

    Args:
      geometry: of the face model.
      batch: of faces.
      rng: Random streams for as many faces.
      config: with the shares of the three kinds of start.

    Returns:
      [B, n] coefficients: the landmark fit, zero, or uniformly between another face of the batch
      and the truth.

    Source: paper section 6.2 (mixtures) and 5.3 (zero).
    """
    least = MIN_SIGMA_MM * camera.CROP_SCALE * config.size / camera.CROP_SIZE
    fit = landmark_fit(geometry, batch.landmarks, ops.maximum(batch.sigma_px, least))
    truth, other = batch.coefficients, ops.roll(batch.coefficients, 1, axis=0)
    mixture = other + rng.uniform("start/share", (1,)) * (truth - other)
    kind = rng.uniform("start/kind", (1,))
    started = ops.where(kind < config.landmark_fit_starts + config.zero_starts, 0.0, mixture)
    return ops.where(kind < config.landmark_fit_starts, fit, started)


class RegressorTrainer(keras.Model):
    """An iterative regressor with its train step.

    Its inputs are the fields of an OnlineBatch, or anything without them (such as the step's
    number) if the trainer draws its faces itself. What is drawn depends on the seed and on how many
    steps were trained, so a resumed run goes on exactly as if it had not been interrupted.

    Args:
      regressor: what is trained.
      config: how.
      draw: draws a batch inside the compiled step from raw random numbers; None if batches are
        given.
      share: where devices share a batch, which of how many shares this is: (number, count).
    """

    def __init__(
        self,
        regressor: IterativeRegressor,
        config: TrainingConfig,
        *,
        draw: Callable[[RandomStreams], OnlineBatch] | None = None,
        share: Callable[[], tuple[Any, int]] = lambda: (0, 1),
    ):
        super().__init__(name="regressor_trainer", dtype="float32")
        self.regressor, self.config, self.draw, self._share = regressor, config, draw, share
        kind: dict[str, Any] = {"dtype": "int32", "aggregation": "only_first_replica"}
        self.step = self.add_weight((), "zeros", trainable=False, name="step", **kind)
        names = (f"rms_{k}" for k in range(config.iterations + 1))
        self.errors = [keras.metrics.Mean(name=name) for name in names]
        self.built = True

    def call(self, inputs, training=False):
        """Runs the loop on a batch.

        Returns the mean squared vertex distances [K + 1] mm^2 of its start and its K estimates.
        While training, the loop starts where sample_starts says, otherwise at the mean face.
        """
        noise = self._noise()
        given = self.draw is None or "grey" in inputs
        batch = OnlineBatch(**inputs) if given else self.draw(noise)  # type: ignore[misc]
        batch = OnlineBatch(*(ops.stop_gradient(field) for field in batch))
        geometry = self.regressor.geometry
        start = ops.zeros_like(batch.coefficients)
        if training:
            start = ops.stop_gradient(sample_starts(geometry, batch, noise, self.config))
            self.step.assign(self.step + 1)
        loop = {"grey": batch.grey, "landmarks": batch.landmarks, "start": start}
        estimates = self.regressor(loop, training=training)
        loss = geometry_loss(estimates, batch.coefficients[:, None], geometry.gram_factor)
        return ops.mean(loss, 0)

    @property
    def steps_done(self) -> int:
        """How many steps were trained."""
        return int(ops.convert_to_numpy(self.step))

    def _noise(self) -> RandomStreams:
        number, count = self._share()
        step = ops.cast(self.step, "uint32") * count + ops.cast(number, "uint32")
        key = ops.stack([ops.cast(self.config.seed, "uint32"), step])
        return DeviceStreams(key, self.config.batch_size // count)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The mean over the K estimates of eq. 3, mm^2."""
        del x, y, sample_weight, training
        return ops.mean(y_pred[1:])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Adds to loss and rms_0 .. rms_K, the root mean squared vertex distances in mm."""
        del x, y, sample_weight
        for k, metric in enumerate(self.errors):
            metric.update_state(y_pred[k])
        return self.get_metrics_result()

    def reset_metrics(self):
        """Starts the means afresh."""
        super().reset_metrics()
        _commit(self.metrics_variables)

    def get_metrics_result(self):
        """The means since the last reset: loss in mm^2, rms_k in mm."""
        results = {metric.name: ops.sqrt(metric.result()) for metric in self.errors}
        return {"loss": self._loss_tracker.result(), **results}


def create_trainer(
    regressor: IterativeRegressor,
    config: TrainingConfig,
    *,
    draw: Callable[[RandomStreams], OnlineBatch] | None = None,
    share: Callable[[], tuple[Any, int]] = lambda: (0, 1),
) -> RegressorTrainer:
    """Builds a trainer with its optimizer, ready for train().

    Args:
      regressor: what is trained; its iterations should be config.iterations.
      config: how.
      draw: see RegressorTrainer.
      share: see RegressorTrainer.

    Raises:
      ConfigError: if the regressor runs another number of iterations.
    """
    if regressor.iterations != config.iterations:
        raise ConfigError(
            "iterations", f"is {config.iterations}, the regressor's is {regressor.iterations}"
        )
    trainer = RegressorTrainer(regressor, config, draw=draw, share=share)
    warmup = min(config.warmup_steps, config.steps // 2)
    rate = keras.optimizers.schedules.CosineDecay(
        config.learning_rate / max(warmup, 1),
        decay_steps=max(config.steps - warmup, 1),
        warmup_target=config.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.Adam(
        rate, clipnorm=config.clip_norm, use_ema=True, ema_momentum=config.average_decay
    )
    # The rasterizer's candidate lists have dynamic shapes on TensorFlow, which XLA cannot compile.
    compiled = "auto" if keras.backend.backend() == "jax" else False
    trainer.compile(optimizer=optimizer, jit_compile=compiled)
    optimizer.build(trainer.trainable_variables)
    return trainer


def train(
    trainer: RegressorTrainer,
    *,
    batches: Iterable[Any] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    steps_per_round: int = 50,
) -> None:
    """Trains from the trainer's step to the end of its config.

    Callbacks see a round of steps as an epoch. At the end the network holds the running mean of the
    weights.

    Args:
      trainer: from create_trainer, perhaps restored from a checkpoint.
      batches: endless dicts with the fields of OnlineBatch, for example a tf.data.Dataset; None if
        the trainer draws them.
      callbacks: of Keras; any of them may set trainer.stop_training.
      steps_per_round: after how many steps metrics are read and callbacks of epochs run.
    """
    done, total = trainer.steps_done, trainer.config.steps
    if done >= total:  # what fit() does at its end
        trainer.optimizer.finalize_variable_values(trainer.trainable_variables)
        return
    _commit([*trainer.variables, *trainer.optimizer.variables])
    with deterministic():
        trainer.fit(
            batches if hasattr(batches, "element_spec") else _in_tuples(batches),
            steps_per_epoch=steps_per_round,
            initial_epoch=done // steps_per_round,
            epochs=done // steps_per_round + math.ceil((total - done) / steps_per_round),
            callbacks=[StopAt(total), *callbacks],
            verbose=0,
        )


def _commit(variables: Iterable[Any]) -> None:
    """On JAX, ties variables to their device, as results are: else the step compiles thrice."""
    if keras.backend.backend() == "jax":
        import jax

        for variable in variables:
            variable.assign(jax.device_put(variable.value, jax.devices()[0]))


def _in_tuples(batches: Iterable[Any] | None) -> Iterator[tuple]:
    """What fit() takes, and for a trainer that draws, nothing in endless batches of one."""
    nothing = {"nothing": np.zeros((1, 1), np.float32)}
    for batch in itertools.repeat(nothing) if batches is None else batches:
        yield (batch,)


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
