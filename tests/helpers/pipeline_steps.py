"""Inputs of the pipeline's steps, and steps that several test modules run."""

import logging
import pathlib
import types

import tensorflow as tf
from tfx.types import artifact_utils, standard_artifacts

from components import last_blessed_model, trainer
from components.deployment.inference import ExportedModel
from components.settings import DataSettings, ExportSettings, TrainerSettings

GROUP = "steps"
"""Tests that share a trained model run in one process: it takes a minute to train."""

DATA = DataSettings(face_model="tiny", train=20, eval=9, test=5, image_size=48, shard_samples=8)

TRAINER = TrainerSettings(
    samples=24, batch_size=4, size=32, iterations=2, init="none", level=0, steps_per_round=2,
    checkpoint_seconds=0,
)  # fmt: skip


def artifact(kind, folder, **fields):
    made = kind()
    made.uri = str(folder)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def records_of(examples, split):
    folder = pathlib.Path(artifact_utils.get_split_uri([examples], split))
    files = sorted(str(path) for path in folder.iterdir())
    return list(tf.data.TFRecordDataset(files).as_numpy_iterator())


def arguments(checkpoints, **changes):
    fields = {
        "data": DATA.to_json(),
        "trainer": TRAINER.to_json(),
        "export": ExportSettings(warmup_requests=1).to_json(),
        "code": "code",
        "checkpoint_dir": str(checkpoints),
        "model_name": "tiny",
    }
    return fields | changes


def train(examples, folder, checkpoints, **changes):
    """Calls run_fn as TFX does, and returns the SavedModel's folder."""
    logging.getLogger("absl").setLevel(logging.INFO)
    trainer.run_fn(
        types.SimpleNamespace(
            custom_config=arguments(checkpoints, **changes),
            train_files=[f"{examples.uri}/Split-train/*"],
            eval_files=[f"{examples.uri}/Split-eval/*"],
            serving_model_dir=str(folder / "Format-Serving"),
            model_run_dir=str(folder / "run"),
        )
    )
    assert logging.getLogger("absl").level == logging.INFO  # TFX still says which step runs
    return folder / "Format-Serving"


def coefficients(path, records):
    return ExportedModel(path)(records)["coefficients"]


def baseline_of(model, folder, name):
    found = artifact(standard_artifacts.Model, folder / name)
    last_blessed_model.LastBlessedModel.test_call(
        model=model, baseline=found, serving_dir=str(folder / "served"), code=""
    )
    return found
