"""run_fn of the TFX Trainer: records in, a SavedModel with warm-up requests out."""

from __future__ import annotations

import hashlib
import itertools
import logging
import os
import pathlib
import shutil

import keras
import numpy as np
import tensorflow as tf

from components.deployment import warmup_requests
from components.face_models import face_model_file, load_face_model
from components.records.batches import record_batches, record_files
from components.settings import DataSettings, ExportSettings, TrainerSettings
from components.trainer_arguments import (
    TrainerArguments,
    initial_weights,
    origin,
    run_key,
)
from facemodel.config import ConfigError
from facemodel.files import files_digest
from facemodel.morphable.geometry import FaceGeometry
from facemodel.morphable.model import MorphableModel
from facemodel.network import checkpoints, training
from facemodel.network.pretrained import load_pretrained
from facemodel.network.regressor import IterativeRegressor, build_network
from facemodel.network.training import RegressorTrainer, Replica
from facemodel.network.training_config import TrainingConfig
from facemodel.records import read_records
from facemodel.saved_model.export import export_saved_model
from facemodel.saved_model.metadata import ExportConfig

_log = logging.getLogger("components.trainer")


def run_fn(fn_args) -> None:
    """Trains and exports.

    Args:
      fn_args: of TFX: where records, model and logs are, and TrainerArguments as custom_config.
    """
    arguments = TrainerArguments(**fn_args.custom_config)
    settings = TrainerSettings.from_json(arguments.trainer)
    absl = logging.getLogger("absl")
    level = absl.level  # Keras and TensorFlow leave another one behind
    train_folder = pathlib.Path(fn_args.train_files[0]).parent
    named = ((os.path.basename(path), path) for path in record_files(train_folder))
    digest = files_digest(named)[:16]
    folder = pathlib.Path(arguments.checkpoint_dir) / run_key(arguments, digest)
    trainer = fit(arguments, settings, train_folder, folder, pathlib.Path(fn_args.model_run_dir))
    export(
        trainer,
        arguments,
        pathlib.Path(fn_args.serving_model_dir),
        eval_files=record_files(pathlib.Path(fn_args.eval_files[0]).parent),
        data_digest=digest,
    )
    absl.setLevel(level)


def fit(
    arguments: TrainerArguments,
    settings: TrainerSettings,
    records: pathlib.Path,
    folder: pathlib.Path,
    logs: pathlib.Path,
) -> RegressorTrainer:
    """Trains, from the newest checkpoint in the folder if there is one.

    Args:
      arguments: of the pipeline.
      settings: of training.
      records: folder with the records.
      folder: for checkpoints.
      logs: for the curve and TensorBoard.
    """
    model = load_face_model(DataSettings.from_json(arguments.data).face_model, settings.level)
    config = settings.part(TrainingConfig)
    keras.utils.set_random_seed(config.seed)
    strategy = strategy_of(settings)
    if config.batch_size % strategy.num_replicas_in_sync:
        raise ConfigError(
            "trainer.batch_size",
            f"should be a multiple of the {strategy.num_replicas_in_sync} devices, "
            f"got {config.batch_size}",
        )
    with strategy.scope():
        regressor = _regressor(model, DataSettings.from_json(arguments.data), settings)
        trainer = training.create_trainer(regressor, config, replica=_replica)
        step = _resume(trainer, folder)
    batches = record_batches(records, model, config, skip=step)
    if settings.strategy == "mirrored":
        batches = batches.take(1).concatenate(batches)  # Keras builds with one and drops it
    training.train(
        trainer,
        batches=batches,
        callbacks=_callbacks(settings, folder, logs),
        steps_per_round=settings.steps_per_round,
    )
    return trainer


def strategy_of(settings: TrainerSettings) -> tf.distribute.Strategy:
    """How training is spread over devices."""
    if settings.strategy == "mirrored":
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _regressor(
    model: MorphableModel, data: DataSettings, settings: TrainerSettings
) -> IterativeRegressor:
    """Untrained, or with weights that have to be for this face model; in the asked precision."""
    if settings.init != "none":
        return load_pretrained(
            model,
            weights=initial_weights(settings),
            model_path=face_model_file(data.face_model),
            iterations=settings.iterations,
            precision=settings.precision,
        )
    network = build_network(model.coefficient_count, precision=settings.precision)
    return IterativeRegressor(FaceGeometry.create(model), network, iterations=settings.iterations)


def _replica() -> Replica:
    """The running device."""
    context = tf.distribute.get_replica_context()  # None while Keras builds the trainer
    index = context.replica_id_in_sync_group if context else 0
    return Replica(index, tf.distribute.get_strategy().num_replicas_in_sync)


def _resume(trainer: RegressorTrainer, folder: pathlib.Path) -> int:
    """Puts the newest checkpoint in and returns its step; 0 if there is none."""
    if found := checkpoints.restore_newest(trainer, folder):
        os.utime(folder)  # in use: pipeline.runs.cleaning goes by it
        _log.info("going on from %s", found)
    return trainer.steps_done


def _callbacks(
    settings: TrainerSettings, folder: pathlib.Path, logs: pathlib.Path
) -> list[keras.callbacks.Callback]:
    return [
        checkpoints.WriteCurve(logs / "curve.csv"),
        checkpoints.KeepCheckpoints(folder, every_s=settings.checkpoint_seconds),
        keras.callbacks.TensorBoard(str(logs), write_graph=False),
        LogRounds(),
    ]


class LogRounds(keras.callbacks.Callback):
    """A line for each round of steps."""

    def on_epoch_end(self, epoch, logs=None):
        step, total = self.model.steps_done, self.model.config.steps
        values = ", ".join(f"{name} {float(value):.3f}" for name, value in (logs or {}).items())
        _log.info("step %d of %d: %s", step, total, values)


def export(
    trainer: RegressorTrainer,
    arguments: TrainerArguments,
    target: pathlib.Path,
    *,
    eval_files: list[str],
    data_digest: str,
) -> None:
    """Writes the SavedModel, with warm-up requests and its origin in assets.extra/.

    Args:
      trainer: trained.
      arguments: of the pipeline.
      target: the SavedModel's folder, which appears when complete.
      eval_files: records that warm-up requests are made of.
      data_digest: of the training records.
    """
    settings = ExportSettings.from_json(arguments.export)
    model = load_face_model(DataSettings.from_json(arguments.data).face_model, settings.level)
    temporary = target.with_name(f".{target.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    written = export_saved_model(
        model,
        _plain(trainer.regressor),
        temporary,
        config=settings.part(ExportConfig),
        facts={"origin": origin(arguments, data_digest) | {"weights": weights_digest(trainer)}},
    )
    records = itertools.islice(read_records(eval_files), settings.warmup_requests)
    requests = warmup_requests.predict_requests(records, name=arguments.model_name)
    warmup_requests.write_requests(written, requests)
    written.rename(target)
    temporary.rmdir()


def weights_digest(trainer: RegressorTrainer) -> str:
    """SHA-256 of what was learnt, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for array in trainer.regressor.network.get_weights():
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()[:16]


def _plain(regressor: IterativeRegressor) -> IterativeRegressor:
    """The same in float32 on one device, whatever precision and strategy it was trained with."""
    network = build_network(regressor.geometry.prior_mean.shape[0])
    network.set_weights(regressor.network.get_weights())
    return IterativeRegressor(regressor.geometry, network, iterations=regressor.iterations)
