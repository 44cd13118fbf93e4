"""The Trainer's run_fn: origin, resumed training, several devices."""

import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pipeline_steps
import pytest
import tensorflow as tf
from pipeline_steps import DATA, GROUP, TRAINER, arguments, coefficients, records_of, train
from tensorflow_serving.apis import prediction_log_pb2

from components import trainer
from components.settings import DataSettings, TrainerSettings
from components.trainer_arguments import TrainerArguments, run_key
from facemodel.network.checkpoints import checkpoint_steps
from facemodel.network.weights import WeightsError
from facemodel.saved_model.metadata import MESH_OUTPUTS, read_facts

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group(GROUP)]
HELPERS = pathlib.Path(pipeline_steps.__file__).parent.as_posix()


@pytest.mark.slow
def test_the_exported_model_says_where_it_comes_from(model, examples):
    path = pathlib.Path(model.uri, "Format-Serving")
    origin = read_facts(path)["origin"]
    assert DataSettings.from_json(json.dumps(origin["data"])) == DATA
    assert TrainerSettings.from_json(json.dumps(origin["trainer"])) == TRAINER
    assert origin["parent"] == {"init": "none"}
    warmup = tf.data.TFRecordDataset(str(path / "assets.extra/tf_serving_warmup_requests"))
    asked = [prediction_log_pb2.PredictionLog.FromString(log.numpy()) for log in warmup]
    requests = [log.predict_log.request for log in asked]
    names = [request.model_spec.signature_name for request in requests]
    assert names == ["serving_default", "mesh", "encoded", "examples", "serving_default"]
    assert list(requests[-1].output_filter) == list(MESH_OUTPUTS)
    assert np.isfinite(coefficients(path, records_of(examples, "test"))).all()
    assert (pathlib.Path(model.uri) / "run/curve.csv").read_text().count("\n") == 4
    assert list((pathlib.Path(model.uri) / "run/train").glob("events*"))


def test_weights_of_another_face_model_are_refused(examples, tmp_path):
    shipped = dataclasses.replace(TRAINER, init="shipped").to_json()
    with pytest.raises(WeightsError, match="trained for face model .*, not for tiny"):
        train(examples, tmp_path, tmp_path / "checkpoints", trainer=shipped)
    assert not (tmp_path / "Format-Serving").exists()


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_where_it_would_have(
    model, examples, tmp_path, monkeypatch
):
    def killed(self, epoch, logs=None):
        if self.model.steps_done == 4:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(trainer.LogProgress, "on_epoch_end", killed)
        with pytest.raises(Killed):
            train(examples, tmp_path / "a", tmp_path / "checkpoints")
    assert not (tmp_path / "a/Format-Serving").exists()
    (folder,) = (tmp_path / "checkpoints").iterdir()
    assert max(checkpoint_steps(folder)) == 4
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(
            trainer.LogProgress,
            "on_epoch_end",
            lambda self, *_: steps.append(self.model.steps_done),
        )
        path = train(examples, tmp_path / "b", tmp_path / "checkpoints")
    assert steps == [6]
    records = records_of(examples, "test")
    whole = coefficients(pathlib.Path(model.uri, "Format-Serving"), records)
    np.testing.assert_allclose(coefficients(path, records), whole, atol=1e-5)
    os.utime(folder, (0, 0))
    again = train(examples, tmp_path / "c", tmp_path / "checkpoints")
    assert folder.stat().st_mtime > 0  # so that cleaning leaves what is in use
    models = [pathlib.Path(model.uri, "Format-Serving"), path, again]
    assert len({read_facts(each)["origin"]["weights"] for each in models}) == 1  # to the last bit


@pytest.mark.slow
def test_two_devices_train_in_mixed_precision_and_export(examples, tmp_path):
    """In a process of its own, because devices are set up before anything else."""
    code = f"""
import dataclasses, pathlib, sys, types
sys.path[:0] = [{HELPERS!r}]
import tensorflow as tf
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
import pipeline_steps
from components import trainer
trainer.strategy_of = lambda settings: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
settings = dataclasses.replace(pipeline_steps.TRAINER, precision="mixed_bfloat16").to_json()
examples = types.SimpleNamespace(uri={examples.uri!r})
folder = pathlib.Path({str(tmp_path)!r})
pipeline_steps.train(examples, folder, folder / "checkpoints", trainer=settings)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    found = coefficients(tmp_path / "Format-Serving", records_of(examples, "test"))
    assert np.isfinite(found).all()
    assert np.ptp(found, axis=0).max() > 0


def test_other_settings_code_or_records_train_anew():
    base = TrainerArguments(**arguments("here"))
    key = run_key(base, "records")
    moved = TrainerArguments(**arguments("elsewhere"))
    assert run_key(moved, "records") == key
    for changes in ({"code": "other"}, {"trainer": TrainerSettings().to_json()}):
        changed = TrainerArguments(**arguments("here", **changes))
        assert run_key(changed, "records") != key
    assert run_key(base, "others") != key
