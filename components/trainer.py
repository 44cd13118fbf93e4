"""run_fn of the TFX Trainer: records in, a SavedModel with warm-up requests out."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
import pathlib
import shutil
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from components.deployment import warmup_requests
from components.face_models import face_model_file, load_face_model
from components.records.batches import record_batches, record_files
from components.settings import TrainerSettings
from components.trainer_arguments import (
    TrainerArguments,
    initial_weights,
    origin,
    run_key,
)
from facemodel.config import ConfigError
from facemodel.files import files_digest
from facemodel.network import checkpoints, training
from facemodel.network.pretrained import create_regressor
from facemodel.network.progress import LogProgress
from facemodel.network.regressor import IterativeRegressor, build_network
from facemodel.network.training import RegressorTrainer, Replica
from facemodel.network.training_config import TrainingConfig
from facemodel.records import read_records
from facemodel.saved_model.export import export_saved_model
from facemodel.saved_model.metadata import ExportConfig

_log = logging.getLogger(__name__)


def run_fn(fn_args) -> None:
    """Trains and exports.

    Args:
      fn_args: FnArgs of TFX: places of records, model and logs, and TrainerArguments as
        custom_config.
    """
    arguments = TrainerArguments(**fn_args.custom_config)
    train_folder = pathlib.Path(fn_args.train_files[0]).parent
    named = ((os.path.basename(path), path) for path in record_files(train_folder))
    digest = files_digest(named)[:16]
    folder = pathlib.Path(arguments.checkpoint_dir) / run_key(arguments, digest)
    with _absl_level_kept():
        trainer = fit(arguments, train_folder, folder, pathlib.Path(fn_args.model_run_dir))
        export(
            trainer,
            arguments,
            pathlib.Path(fn_args.serving_model_dir),
            eval_files=record_files(pathlib.Path(fn_args.eval_files[0]).parent),
            data_digest=digest,
        )


@contextlib.contextmanager
def _absl_level_kept() -> Iterator[None]:
    """Restores the level of absl's log, which Keras and TensorFlow change: TFX logs there."""
    absl = logging.getLogger("absl")
    level = absl.level
    try:
        yield
    finally:
        absl.setLevel(level)


def fit(
    arguments: TrainerArguments, records: pathlib.Path, folder: pathlib.Path, logs: pathlib.Path
) -> RegressorTrainer:
    """Trains, from the newest checkpoint in the folder if there is one.

    Args:
      arguments: Settings of the pipeline.
      records: Folder with the records.
      folder: Folder for checkpoints.
      logs: Folder for the curve and TensorBoard.

    Returns:
      The trainer after its last step.

    Raises:
      ConfigError: if the devices cannot share a batch evenly.
      WeightsError: if the initial weights are for another face model.
    """
    settings, data = arguments.trainer_settings, arguments.data_settings
    model, config = load_face_model(data.face_model, settings.level), settings.part(TrainingConfig)
    keras.utils.set_random_seed(config.seed)
    strategy = strategy_of(settings)
    _check_batch_size(config.batch_size, strategy.num_replicas_in_sync)
    with strategy.scope():
        regressor = create_regressor(
            model,
            weights=initial_weights(settings),
            model_path=face_model_file(data.face_model),
            iterations=settings.iterations,
            precision=settings.precision,
        )
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


def _check_batch_size(batch_size: int, devices: int) -> None:
    if batch_size % devices:
        problem = f"should be a multiple of the {devices} devices, got {batch_size}"
        raise ConfigError("trainer.batch_size", problem)


def strategy_of(settings: TrainerSettings) -> tf.distribute.Strategy:
    """How training is spread over devices."""
    if settings.strategy == "mirrored":
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _replica() -> Replica:
    """The running device."""
    context = tf.distribute.get_replica_context()  # None while Keras builds the trainer
    index = context.replica_id_in_sync_group if context else 0
    return Replica(index, tf.distribute.get_strategy().num_replicas_in_sync)


def _resume(trainer: RegressorTrainer, folder: pathlib.Path) -> int:
    """Puts the newest checkpoint in and returns its step; 0 if there is none."""
    if found := checkpoints.restore_newest(trainer, folder):
        os.utime(folder)  # in use: pipeline.runs.cleaning goes by it
        _log.info("resuming from %s", found)
    return trainer.steps_done


def _callbacks(
    settings: TrainerSettings, folder: pathlib.Path, logs: pathlib.Path
) -> list[keras.callbacks.Callback]:
    return [
        checkpoints.WriteCurve(logs / "curve.csv"),
        checkpoints.KeepCheckpoints(folder, every_s=settings.checkpoint_seconds),
        keras.callbacks.TensorBoard(str(logs), write_graph=False),
        LogProgress(_log),
    ]


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
      arguments: Settings of the pipeline.
      target: the SavedModel's folder, which appears when complete.
      eval_files: records that warm-up requests are made of.
      data_digest: Digest of the training records.
    """
    settings = arguments.export_settings
    model = load_face_model(arguments.data_settings.face_model, settings.level)
    temporary = target.with_name(f".{target.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    written = export_saved_model(
        model,
        _plain(trainer.regressor, settings.step_decay),
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


def _plain(regressor: IterativeRegressor, step_decay: float) -> IterativeRegressor:
    """The same in float32 on one device, whatever precision and strategy it was trained with."""
    network = build_network(regressor.geometry.prior_mean.shape[0])
    network.set_weights(regressor.network.get_weights())
    return IterativeRegressor(
        regressor.geometry, network, iterations=regressor.iterations, step_decay=step_decay
    )
