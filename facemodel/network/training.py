"""Training the iterative regressor: the loop unrolled in one step, on any Keras backend.

Each step samples (or is given) a batch of faces, chooses where the loop starts, runs it K times and
lowers the mean loss of its K estimates. Gradients do not flow from one iteration into the previous
one, so the network learns to correct whatever states its own loop visits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from facemodel.backend import Tensor, commit_to_device, deterministic, dynamic_shapes
from facemodel.config import ConfigError
from facemodel.network.losses import geometry_loss
from facemodel.network.regressor import IterativeRegressor
from facemodel.network.schedule import StopAt, over_steps
from facemodel.network.starts import sample_starts
from facemodel.network.training_config import TrainingConfig
from facemodel.synthesis.online import OnlineBatch
from facemodel.synthesis.streams import DeviceStreams, RandomStreams


class Replica(NamedTuple):
    """One of the devices that share a batch.

    Attributes:
      replica_id: Number of the device, from 0.
      num_replicas: Number of devices.
    """

    replica_id: Any
    num_replicas: int


class RegressorTrainer(keras.Model):
    """An iterative regressor with its loss and metrics.

    All random numbers depend on the seed and the step only, so a resumed run equals one that was
    never interrupted. weights.py saves the network and checkpoints.py a run.

    Args:
      regressor: Model to train.
      config: Training hyperparameters.
      sample_batch: Function from random streams to a batch, part of the compiled step; None if
        batches are given.
      replica: Function that returns the running device.
      timed: Whether schedule.FallOverTime sets the learning rate.

    Attributes:
      fallen: How far the rate of a timed run has fallen, from 0 to 1.
    """

    def __init__(
        self,
        regressor: IterativeRegressor,
        config: TrainingConfig,
        *,
        sample_batch: Callable[[RandomStreams], OnlineBatch] | None = None,
        replica: Callable[[], Replica] = lambda: Replica(0, 1),
        timed: bool = False,
    ):
        super().__init__(name="regressor_trainer", dtype="float32")
        self.regressor, self.config = regressor, config
        self.sample_batch, self._replica = sample_batch, replica
        kind: dict[str, Any] = {"trainable": False, "aggregation": "only_first_replica"}
        self.step = self.add_weight((), "zeros", name="step", dtype="int32", **kind)
        if timed:
            self.fallen = self.add_weight((), "zeros", name="fallen", **kind)
        self.mean_loss = keras.metrics.Mean("loss")
        self.errors = [RootMean(f"rms_{k}") for k in range(config.iterations + 1)]
        self.built = True

    def call(self, inputs, training=False) -> tuple[Tensor, Tensor]:
        """Runs the loop on a batch.

        Args:
          inputs: Fields of an OnlineBatch; or step [1], the number of the step for which
            sample_batch generates one.
          training: Whether the loop starts where sample_starts says, and the step is counted;
            otherwise it starts at the mean face.

        Returns:
          Estimates [B, K + 1, n], the start first, and the ground truth [B, n].
        """
        rng = self._rng(inputs["step"][0] if "step" in inputs else self.step)
        batch = OnlineBatch(**inputs) if "grey" in inputs else self.sample_batch(rng)  # type: ignore[misc]
        batch = OnlineBatch(*(ops.stop_gradient(field) for field in batch))
        start = ops.zeros_like(batch.coefficients)
        if training:
            starts = sample_starts(self.regressor.geometry, batch, rng, self.config)
            start = ops.stop_gradient(starts)
            self.step.assign(self.step + 1)
        loop = {"grey": batch.grey, "landmarks": batch.landmarks, "start": start}
        return self.regressor(loop, training=training), batch.coefficients

    @property
    def steps_done(self) -> int:
        """How many steps were trained."""
        return int(ops.convert_to_numpy(self.step))

    def _rng(self, step) -> RandomStreams:
        replica_id, num_replicas = self._replica()
        step = ops.cast(step, "uint32") * num_replicas + ops.cast(replica_id, "uint32")
        key = ops.stack([ops.cast(self.config.seed, "uint32"), step])
        return DeviceStreams(key, self.config.batch_size // num_replicas)

    def _squared_errors(self, y_pred):
        """Mean squared vertex distances [K + 1] mm^2 of the start and the K estimates (eq. 3)."""
        estimates, truth = y_pred
        gram_factor = self.regressor.geometry.gram_factor
        return ops.mean(geometry_loss(estimates, truth[:, None], gram_factor), 0)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ) -> Tensor:
        """The mean over the K estimates of eq. 3, mm^2."""
        del x, y, sample_weight, training
        return ops.mean(self._squared_errors(y_pred)[1:])

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Adds to loss and rms_0 .. rms_K, the root mean squared vertex distances in mm."""
        del x, y, sample_weight
        squared = self._squared_errors(y_pred)
        self.mean_loss.update_state(ops.mean(squared[1:]))
        for k, metric in enumerate(self.errors):
            metric.update_state(squared[k])
        return self.get_metrics_result()

    def reset_metrics(self):
        """Resets the means."""
        super().reset_metrics()
        commit_to_device(self.metrics_variables)


class RootMean(keras.metrics.Mean):
    """The square root of a mean."""

    def result(self) -> Tensor:
        """The root of the mean since the last reset."""
        return ops.sqrt(super().result())


def create_trainer(
    regressor: IterativeRegressor,
    config: TrainingConfig,
    *,
    sample_batch: Callable[[RandomStreams], OnlineBatch] | None = None,
    replica: Callable[[], Replica] = lambda: Replica(0, 1),
    timed: bool = False,
) -> RegressorTrainer:
    """Builds a trainer with its optimizer, ready for train().

    Args:
      regressor: Model to train; its iterations should be config.iterations.
      config: Training hyperparameters.
      sample_batch: See RegressorTrainer.
      replica: See RegressorTrainer.
      timed: Whether schedule.FallOverTime, a callback, sets the learning rate; it falls over
        config's steps if not.

    Raises:
      ConfigError: if the regressor runs another number of iterations.
    """
    if regressor.iterations != config.iterations:
        raise ConfigError(
            "iterations", f"is {config.iterations}, the regressor's is {regressor.iterations}"
        )
    trainer = RegressorTrainer(
        regressor, config, sample_batch=sample_batch, replica=replica, timed=timed
    )
    rate = config.learning_rate if timed else over_steps(config)
    optimizer = keras.optimizers.Adam(
        rate, clipnorm=config.clip_norm, use_ema=True, ema_momentum=config.average_decay
    )
    # The rasterizer's candidate lists are dynamic on TensorFlow, and XLA cannot compile them.
    trainer.compile(optimizer=optimizer, jit_compile=False if dynamic_shapes() else "auto")
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

    Callbacks see a round of steps as an epoch. At the end the network holds the exponential moving
    average (EMA) of its weights.

    Args:
      trainer: Trainer from create_trainer, perhaps restored from a checkpoint.
      batches: Endless dicts with the fields of OnlineBatch, for example a tf.data.Dataset; None if
        the trainer samples them.
      callbacks: Callbacks of Keras; any of them may set trainer.stop_training.
      steps_per_round: Number of steps between two readings of the metrics.
    """
    done, total = trainer.steps_done, trainer.config.steps
    if done >= total:  # what fit() does at its end
        trainer.optimizer.finalize_variable_values(trainer.trainable_variables)
        return
    commit_to_device([*trainer.variables, *trainer.optimizer.variables])
    if batches is None:
        batches = step_numbers(done)
    with deterministic():
        trainer.fit(
            batches if hasattr(batches, "element_spec") else ((batch,) for batch in batches),
            steps_per_epoch=steps_per_round,
            initial_epoch=done // steps_per_round,
            epochs=done // steps_per_round + math.ceil((total - done) / steps_per_round),
            callbacks=[StopAt(total), *callbacks],
            verbose=0,
        )


def step_numbers(first: int = 0) -> Iterator[dict[str, np.ndarray]]:
    """Endless inputs of a trainer that samples its batches."""
    return ({"step": np.array([step], np.int32)} for step in itertools.count(first))
