"""The train step on tiny faces: what it minimises, that it learns, and that it resumes exactly."""

import csv
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from components.records.batches import RecordsError, record_batches
from facemodel.config import ConfigError
from facemodel.fitting.landmark_fit import landmark_fit
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.landmarks import INNER_51
from facemodel.morphable.model import MorphableModel
from facemodel.network import checkpoints, schedule, training
from facemodel.network.regressor import IterativeRegressor, build_network
from facemodel.network.starts import sample_starts
from facemodel.network.training_config import TrainingConfig
from facemodel.network.weights import DEFAULT_WEIGHTS, WeightsError, load_weights
from facemodel.records import encode_record
from facemodel.synthesis.distributions import Normal, Range
from facemodel.synthesis.online import online_batch
from facemodel.synthesis.photos import render_scene
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.samples import BATCH, make_samples
from facemodel.synthesis.scenes import SceneModel
from facemodel.synthesis.streams import DeviceStreams, PhiloxStreams
from pipeline import cli
from pipeline.training import progress, train

ROOT = pathlib.Path(__file__).parents[3]
MODEL = MorphableModel.tiny()
NOISE = LandmarkNoise.isotropic(1.0, count=51)
EASY = SynthesisConfig.paper(
    yaw_deg=Normal(0, 5, -15, 15),
    pitch_deg=Normal(0, 3, -10, 10),
    roll_deg=Normal(0, 2, -6, 6),
    light_angle_deg=Range(0, 30),
    landmark_noise=Range(0.2, 0.4),
)
SMALL = TrainingConfig(
    samples=20, batch_size=4, size=32, iterations=1, warmup_steps=2, average_decay=0.5, seed=5
)


@pytest.fixture(scope="module")
def scenes():
    return SceneModel.create(MODEL)


def small_network():
    """A fast one with a layer of each kind, where figure 4 is not the point."""
    image, coefficients = keras.Input((None, None, 2)), keras.Input((MODEL.coefficient_count,))
    x = keras.layers.Conv2D(8, 5, 4, use_bias=False)(image)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.8)(x))
    x = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(x), coefficients])
    delta = keras.layers.Dense(MODEL.coefficient_count, kernel_initializer="zeros")(x)
    return keras.Model([image, coefficients], delta)


def make_trainer(scenes, config=SMALL, *, online=True, network=None, eagerly=True, timed=False):
    """A trainer; where few steps are run, compiling them would take longer than running them."""
    keras.utils.set_random_seed(config.seed)
    network = network or small_network()
    regressor = IterativeRegressor(scenes.geometry, network, iterations=config.iterations)

    def sample_batch(rng):
        return online_batch(scenes, EASY, rng, NOISE, size=config.size)

    trainer = training.create_trainer(
        regressor, config, sample_batch=sample_batch if online else None, timed=timed
    )
    trainer.run_eagerly = eagerly
    return trainer


def held_out(scenes, count, size):
    batch = online_batch(scenes, EASY, PhiloxStreams(99, range(count)), NOISE, size=size)
    return {name: np.asarray(value) for name, value in batch._asdict().items()}


def weights_of(trainer):
    return [np.asarray(value) for value in trainer.regressor.network.get_weights()]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("samples", 0),
        ("batch_size", 2.5),
        ("size", 8),
        ("learning_rate", -1.0),
        ("average_decay", 1.0),
        ("zero_starts", "half"),
        ("seed", True),
    ],
)
def test_a_wrong_field_is_named(field, value):
    with pytest.raises(ConfigError, match=f"{field}: should "):
        TrainingConfig(**{field: value})


def test_shares_of_starts_are_at_most_one():
    with pytest.raises(ConfigError, match="landmark_fit_starts"):
        TrainingConfig(landmark_fit_starts=0.7, zero_starts=0.4)


class ChosenKinds(DeviceStreams):
    """Random streams whose number that chooses the kind of start is given."""

    def __init__(self, key, kinds):
        super().__init__(key, len(kinds))
        self.kinds = np.float32(kinds)[:, None]

    def uniform(self, name, shape=()):
        return self.kinds if name == "start/kind" else super().uniform(name, shape)


def test_starts_are_fits_zeros_and_mixtures_in_their_shares(scenes):
    """At SMALL's shares a number below 0.5 chooses the fit, one from 0.85 on the mixture."""
    kinds = [0.0, 0.49, 0.51, 0.84, *np.linspace(0.86, 0.999, 20)]
    batch = online_batch(scenes, EASY, PhiloxStreams(1, range(len(kinds))), NOISE, size=32)
    starts = sample_starts(scenes.geometry, batch, ChosenKinds(3, kinds), SMALL)
    starts, truth = np.asarray(starts), np.asarray(batch.coefficients)
    sigma_px = np.maximum(batch.sigma_px, 0.3 * 195 / 220 * 32 / 200)
    fits = np.asarray(landmark_fit(scenes.geometry, batch.landmarks, sigma_px))
    np.testing.assert_allclose(starts[:2], fits[:2], atol=1e-4)
    np.testing.assert_array_equal(starts[2:4], 0.0)
    other = np.roll(truth, 1, 0)
    way, direction = (starts - other)[4:], (truth - other)[4:]
    share = (way * direction).sum(1) / (direction**2).sum(1)
    assert share.min() >= 0 and share.max() <= 1 and share.std() > 0.15
    np.testing.assert_allclose(way, share[:, None] * direction, atol=1e-4)


def test_the_loss_is_the_mean_squared_vertex_distance_of_all_estimates(scenes):
    config = dataclasses.replace(SMALL, iterations=2)
    trainer = make_trainer(scenes, config, online=False)
    trainer.regressor.network.layers[-1].bias.assign(np.linspace(-0.3, 0.3, 10))
    batch = held_out(scenes, 4, SMALL.size)
    logs = trainer.evaluate(batch, batch_size=4, return_dict=True, verbose=0)
    start = np.zeros_like(batch["coefficients"])
    loop = {"grey": batch["grey"], "landmarks": batch["landmarks"], "start": start}
    estimates = np.asarray(trainer.regressor(loop))
    distance = MODEL.vertices(estimates) - MODEL.vertices(batch["coefficients"])[:, None]
    squared = (distance**2).sum(-1).mean(-1).mean(0)
    np.testing.assert_allclose(logs["loss"], squared[1:].mean(), rtol=1e-3)
    for k in range(3):
        np.testing.assert_allclose(logs[f"rms_{k}"], np.sqrt(squared[k]), rtol=1e-3)


def test_a_short_training_learns(scenes):
    """On faces it has not seen, what 1200 drawn ones taught brings the mean face closer."""
    config = dataclasses.replace(
        SMALL, samples=1200, batch_size=16, warmup_steps=10, learning_rate=2e-3, average_decay=0.9,
        landmark_fit_starts=0.0, zero_starts=1.0,
    )  # fmt: skip
    trainer = make_trainer(scenes, config, eagerly=False)
    training.train(trainer)
    assert int(trainer.step.value) == config.steps
    logs = trainer.evaluate(
        held_out(scenes, 128, config.size), batch_size=32, return_dict=True, verbose=0
    )
    assert float(logs["loss"]) < 0.9 * float(logs["rms_0"]) ** 2


class Watch(keras.callbacks.Callback):
    """Notes the learning rate of each step, on a clock that makes a second of each."""

    def __init__(self):
        super().__init__()
        self.seconds, self.rates = 0.0, []

    def clock(self):
        return self.seconds

    def on_train_batch_end(self, batch, logs=None):
        self.rates.append(float(self.model.optimizer.learning_rate))
        self.seconds += 1.0


def timed_run(scenes, config, *, limit_s, folder=None, restored=None, stop_at=None):
    """The rates of a run of rounds of two steps, on Watch's clock."""
    trainer, watch = make_trainer(scenes, config, timed=True), Watch()
    if restored:
        checkpoints.restore_checkpoint(trainer, restored)
    fall = schedule.FallOverTime(limit_s, clock=watch.clock)
    more = [schedule.StopAt(stop_at)] if stop_at else []
    training.train(trainer, callbacks=[fall, watch, *more], steps_per_round=2)
    saved = folder and checkpoints.save_checkpoint(trainer, folder)
    return np.array(watch.rates), saved


TIMED = dataclasses.replace(SMALL, samples=4000, warmup_steps=3, learning_rate=1.0)


def cosine(share):
    return 0.5 + 0.5 * np.cos(np.pi * np.asarray(share))


def test_the_learning_rate_rises_and_falls_over_the_time_there_is(scenes, tmp_path):
    """Seven steps of a box of 100 s, resumed at the fourth for 10 s, of which 9 are trained."""
    rates, saved = timed_run(scenes, TIMED, limit_s=100, folder=tmp_path, stop_at=4)
    warm = np.array([1 / 3, 2 / 3, 1.0, 1.0])
    np.testing.assert_allclose(rates, warm * cosine(np.arange(4) / 100), rtol=1e-5)
    after, _ = timed_run(scenes, TIMED, limit_s=10, restored=saved, stop_at=13)
    np.testing.assert_allclose(after, cosine(0.03 + 0.97 * np.arange(9) / 10), rtol=1e-4)


def test_a_run_that_stopped_while_its_rate_rose_reaches_the_peak(scenes, tmp_path):
    _, saved = timed_run(scenes, TIMED, limit_s=1000, folder=tmp_path, stop_at=1)
    after, _ = timed_run(scenes, TIMED, limit_s=1000, restored=saved, stop_at=4)
    np.testing.assert_allclose(after, [2 / 3, 1.0, 1.0], rtol=1e-4)


def test_a_warm_up_longer_than_the_time_ends_after_a_tenth_of_it(scenes):
    config = dataclasses.replace(TIMED, warmup_steps=1000)
    rates, _ = timed_run(scenes, config, limit_s=20, stop_at=5)
    assert rates[1] == pytest.approx(0.5 * cosine(1 / 20), rel=1e-4)
    np.testing.assert_allclose(rates[2:], cosine(np.arange(2, 5) / 20), rtol=1e-4)


def test_the_rate_is_low_at_the_last_step_where_time_is_left(scenes):
    rates, _ = timed_run(scenes, dataclasses.replace(TIMED, samples=20), limit_s=1e6)
    np.testing.assert_allclose(rates[2:], cosine(np.arange(2, 5) / 5), rtol=1e-4)


def test_checkpoints_of_timed_runs_are_for_timed_runs(scenes, tmp_path):
    _, saved = timed_run(scenes, TIMED, limit_s=100, folder=tmp_path, stop_at=1)
    with pytest.raises(checkpoints.CheckpointError, match="a run with a time"):
        checkpoints.restore_checkpoint(make_trainer(scenes, TIMED), saved)


class Interrupt(keras.callbacks.Callback):
    """What Ctrl-C does, before a given batch of the first round."""

    def __init__(self, batch):
        super().__init__()
        self._batch = batch

    def on_train_batch_begin(self, batch, logs=None):
        if batch == self._batch:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_run_that_ctrl_c_interrupted_goes_on_as_if_it_had_not(scenes, tmp_path):
    def callbacks(folder):
        return [
            progress.StopEarly(float("inf")),
            checkpoints.KeepCheckpoints(folder),
            checkpoints.WriteCurve(folder / "curve.csv"),
        ]

    whole = make_trainer(scenes)
    training.train(whole, callbacks=callbacks(tmp_path / "whole"), steps_per_round=4)

    folder = tmp_path / "interrupted"
    first = make_trainer(scenes)
    before = signal.getsignal(signal.SIGINT)
    training.train(first, callbacks=[*callbacks(folder), Interrupt(1)], steps_per_round=4)
    assert signal.getsignal(signal.SIGINT) is before
    assert list(checkpoints.checkpoint_steps(folder)) == [3]

    second = make_trainer(scenes)
    checkpoints.restore_checkpoint(second, checkpoints.checkpoint_steps(folder)[3])
    training.train(second, callbacks=callbacks(folder), steps_per_round=4)
    assert int(second.step.value) == int(whole.step.value) == 5
    for got, expected in zip(weights_of(second), weights_of(whole), strict=True):
        np.testing.assert_array_equal(got, expected)
    with (folder / "curve.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["3", "5"]


@pytest.mark.slow
def test_the_result_is_the_running_mean_of_the_weights(scenes):
    config = dataclasses.replace(SMALL, samples=12, average_decay=0.5)
    biases = []

    class Record(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            biases.append(np.asarray(self.model.regressor.network.layers[-1].bias))

    trainer = make_trainer(scenes, config)
    training.train(trainer, callbacks=[Record()], steps_per_round=1)
    first, second, third = biases
    assert np.abs(third - second).max() > 0
    expected = ((first + second) / 2 + third) / 2
    np.testing.assert_allclose(trainer.regressor.network.layers[-1].bias, expected, atol=1e-7)


def test_a_run_that_had_ended_gives_the_running_mean_again(scenes, tmp_path):
    whole = make_trainer(scenes)
    training.train(whole, callbacks=[checkpoints.KeepCheckpoints(tmp_path)], steps_per_round=4)
    *_, newest = checkpoints.checkpoint_steps(tmp_path).values()
    again = make_trainer(scenes)
    checkpoints.restore_checkpoint(again, newest)
    before = weights_of(again)
    training.train(again)
    for got, expected in zip(weights_of(again), weights_of(whole), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert any(np.abs(a - b).max() > 0 for a, b in zip(before, weights_of(again)))


def test_only_the_last_checkpoints_stay_and_all_are_complete(scenes, tmp_path):
    trainer = make_trainer(scenes)
    for step in range(5):
        trainer.step.assign(step)
        checkpoints.save_checkpoint(trainer, tmp_path, keep=3)
    assert list(checkpoints.checkpoint_steps(tmp_path)) == [2, 3, 4]
    assert len(list(tmp_path.iterdir())) == 3


def test_a_checkpoint_of_another_run_is_refused(scenes, tmp_path):
    path = checkpoints.save_checkpoint(make_trainer(scenes), tmp_path)
    other = make_trainer(scenes, dataclasses.replace(SMALL, seed=6))
    with pytest.raises(checkpoints.CheckpointError, match="written with seed 5, now it is 6"):
        checkpoints.restore_checkpoint(other, path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(checkpoints.CheckpointError, match=r"step-00000000.npz: not a checkpoint"):
        checkpoints.restore_checkpoint(make_trainer(scenes), path)


def test_training_goes_on_from_the_newest_checkpoint_that_can_be_read(scenes, tmp_path):
    for step in (3, 4, 5):
        trainer = make_trainer(scenes)
        trainer.step.assign(step)
        newest = checkpoints.save_checkpoint(trainer, tmp_path)
    newest.write_bytes(newest.read_bytes()[:1000])
    (tmp_path / ".step-00000006.npz.1.part").write_bytes(b"half")
    found = make_trainer(scenes)
    assert checkpoints.restore_newest(found, tmp_path) == tmp_path / "step-00000004.npz"
    assert found.steps_done == 4
    training.train(found, callbacks=[checkpoints.KeepCheckpoints(tmp_path)])
    assert [*checkpoints.checkpoint_steps(tmp_path)] == [3, 4, 5]
    assert not list(tmp_path.glob(".*"))


def test_no_checkpoint_is_no_error_and_only_broken_ones_are(scenes, tmp_path):
    assert checkpoints.restore_newest(make_trainer(scenes), tmp_path) is None
    for name in ("step-00000001.npz", "step-00000002.npz"):
        (tmp_path / name).write_bytes(b"broken")
    with pytest.raises(checkpoints.CheckpointError, match="step-00000002.npz: not a checkpoint"):
        checkpoints.restore_newest(make_trainer(scenes), tmp_path)


QUICK_COMPILATION = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
ONE_STEP = """
import itertools, sys, numpy as np, keras
sys.path.insert(0, {root!r})
from facemodel.network import training
from facemodel.network.training_config import TrainingConfig
from facemodel.morphable.geometry import FaceGeometry
from facemodel.morphable.model import MorphableModel
from facemodel.network.regressor import IterativeRegressor, _LayerMaker
model = MorphableModel.tiny()
batch = dict(np.load({batch!r}))
rng = np.random.default_rng(0)
image, coefficients = keras.Input((None, None, 2)), keras.Input((model.coefficient_count,))
make = _LayerMaker(0.98, "float32")
x = make.residual_block(make.relu(make.normalised(image, 8, 7, 2)), 16, 2)
x = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(x), coefficients])
delta = keras.layers.Dense(model.coefficient_count)(x)
network = keras.Model([image, coefficients], delta)
for weight in network.trainable_weights:
    spread = 0.3 if weight.name == "kernel" else 0.1
    fan = max(1, int(np.prod(weight.shape[:-1])))
    value = weight.name == "gamma"
    weight.assign((value + spread * rng.normal(size=weight.shape) / fan**0.5).astype(np.float32))
config = TrainingConfig(
    samples=8, batch_size=4, size=32, iterations={iterations}, landmark_fit_starts=1.0,
    zero_starts=0.0,
)
regressor = IterativeRegressor(
    FaceGeometry.create(model), network, iterations={iterations}, step_decay=0.5
)
regressor.scanned = {scanned}
trainer = training.create_trainer(regressor, config)
steps = []
note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: steps.append(logs))
given = itertools.repeat(batch)
training.train(trainer, batches=given, callbacks=[note], steps_per_round=1)
names = ["loss", "rms_0", "rms_1"]
print(keras.backend.backend(), *(float(step[name]) for step in steps for name in names))
loop = dict(grey=batch["grey"], landmarks=batch["landmarks"])
regressor(dict(loop, start=np.zeros_like(batch["coefficients"])))  # which leaves the averages
print("AVERAGES", *(float(np.abs(v).sum()) for v in network.non_trainable_variables))
"""


def start_one_step(path, backend, *, iterations=1, scanned=False):
    """A process that runs ONE_STEP on a batch in a file; no costly optimisation of its code."""
    code = ONE_STEP.format(root=str(ROOT), batch=str(path), iterations=iterations, scanned=scanned)
    environment = {**os.environ, "KERAS_BACKEND": backend, "XLA_FLAGS": QUICK_COMPILATION}
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def what_it_said(process):
    """The backend and its six numbers; the averages of its normalisations."""
    numbers, averages = process.communicate()[0].split("AVERAGES")
    backend, *values = numbers.split()[-7:]
    return backend, np.array(values, float), np.array(averages.split(), float)


@pytest.mark.slow
def test_tensorflow_and_jax_give_the_same_loss_for_one_step(scenes, tmp_path):
    """One process each; what goes in is made by numpy and the same bytes for both.

    The network has a layer of each kind of figure 4: compiling all of them takes JAX ten seconds.
    """
    path = tmp_path / "batch.npz"
    np.savez(path, **held_out(scenes, 4, SMALL.size))
    running = {backend: start_one_step(path, backend) for backend in ("tensorflow", "jax")}
    found = {}
    for backend, process in running.items():
        said, found[backend], _ = what_it_said(process)
        assert said == backend
    np.testing.assert_allclose(found["jax"][:3], found["tensorflow"][:3], rtol=1e-3)
    np.testing.assert_allclose(found["jax"], found["tensorflow"], rtol=0.02)


@pytest.mark.slow
def test_scanned_iterations_train_as_copies_of_them_do(scenes, tmp_path):
    """Two steps of two iterations: the second step's losses show that the first's updates agree."""
    path = tmp_path / "batch.npz"
    np.savez(path, **held_out(scenes, 4, SMALL.size))
    running = [start_one_step(path, "jax", iterations=2, scanned=way) for way in (False, True)]
    (_, copied, averages), (_, scanned, carried) = map(what_it_said, running)
    assert len(copied) == 6 and len(averages) >= 8
    np.testing.assert_allclose(scanned, copied, rtol=1e-3)
    np.testing.assert_allclose(carried, averages, rtol=1e-3)


@pytest.fixture(scope="module")
def records_folder(scenes, tmp_path_factory):
    """A folder with the records of eight samples, and the samples."""
    samples = make_samples(
        scenes, EASY, LandmarkNoise.isotropic(1.0), seed=99, indices=range(BATCH),
        render=lambda scene: render_scene(scenes, scene, size=EASY.image_size),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("records")
    with tf.io.TFRecordWriter(str(folder / "train-00000.tfrecord")) as writer:
        for sample in samples:
            writer.write(encode_record(sample))
    return folder, samples


@pytest.mark.slow
def test_a_run_on_records_writes_curve_weights_and_checkpoint(records_folder, tmp_path):
    folder, _ = records_folder
    options = train.TrainOptions(out=tmp_path / "run", config=SMALL, data=folder)
    weights = train.run(options, model=MODEL)
    meta = load_weights(build_network(MODEL.coefficient_count), weights)
    assert (meta["model_name"], meta["samples"], meta["data"]) == ("tiny", 20, folder.name)
    assert meta["training"]["seed"] == SMALL.seed
    with (options.out / "curve.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["samples"] == "20" and float(row["loss"]) > 0
    assert list(checkpoints.checkpoint_steps(options.checkpoint_folder)) == [5]
    assert (options.out / "tensorboard").is_dir()
    with pytest.raises(train.TrainError, match="holds a training run"):
        train.run(options, model=MODEL)


def test_initial_weights_of_another_face_model_are_refused(tmp_path):
    options = train.TrainOptions(tmp_path / "run", config=SMALL, init=DEFAULT_WEIGHTS)
    with pytest.raises(WeightsError, match="trained for face model .*, not for tiny"):
        train.run(options, model=MODEL)


def test_weights_can_stay_near_the_initial_ones():
    trained, initial = build_network(3), build_network(3)
    first, last = trained.layers[1].get_weights()[0], initial.layers[1].get_weights()[0]
    train.average_weights(trained, initial, 0.25)
    mixed = trained.layers[1].get_weights()[0]
    np.testing.assert_allclose(mixed, 0.75 * first + 0.25 * last, atol=1e-6)
    assert np.abs(mixed - first).max() > 1e-3
    np.testing.assert_array_equal(initial.layers[1].get_weights()[0], last)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"initial_share": 0.5}, "initial_share needs initial weights"),
        ({"initial_share": 1.0, "init": DEFAULT_WEIGHTS}, r"lie in \[0, 1\), got 1"),
        ({"recipes": ("paper",) * 3}, "multiple of the number of recipes, got 4 and 3"),
        ({"recipes": ()}, "multiple of the number of recipes, got 4 and 0"),
        ({"recipes": ("paper", "cartoon")}, "recipe: should be one of .*, got 'cartoon'"),
    ],
)
def test_options_that_make_no_sense_are_refused(changes, message, tmp_path):
    options = train.TrainOptions(tmp_path / "run", config=SMALL, **changes)
    with pytest.raises((train.TrainError, ConfigError), match=message):
        train.run(options, model=MODEL)
    assert not options.out.exists()


def test_each_recipe_makes_its_share_of_every_batch(scenes, tmp_path):
    options = train.TrainOptions(
        tmp_path, config=SMALL, recipes=("lifelike", "paper", "lifelike", "lifelike")
    )
    rng = DeviceStreams(7, SMALL.batch_size)
    drawn = train.build_trainer(MODEL, options).sample_batch(rng)
    measured = LandmarkNoise.load().select(INNER_51)
    for part, rows, recipe in ((0, np.s_[:3], "lifelike"), (1, np.s_[3:], "paper")):
        own = rng.part(part, len(drawn.grey[rows]))
        expected = online_batch(scenes, SynthesisConfig.named(recipe), own, measured, size=32)
        for values, wanted in zip(drawn, expected, strict=True):
            np.testing.assert_allclose(values[rows], wanted, rtol=1e-4, atol=1e-4)
    assert np.abs(drawn.coefficients[0] - drawn.coefficients[3]).max() > 0.1


def test_records_are_cropped_as_faces_drawn_on_the_way_are(scenes, records_folder):
    """The crop cut from a record's picture shows what is rendered straight into the crop."""
    folder, samples = records_folder
    config = dataclasses.replace(SMALL, batch_size=BATCH, size=64)
    (batch,) = record_batches(folder, MODEL, config).take(1)
    truth = np.stack([sample["face/coefficients"] for sample in samples])
    order = [np.abs(truth - face).sum(1).argmin() for face in batch["coefficients"].numpy()]
    assert sorted(order) == list(range(BATCH))
    drawn = online_batch(
        scenes, EASY, PhiloxStreams(99, order), LandmarkNoise.isotropic(1e-3, count=51), size=64
    )
    np.testing.assert_allclose(batch["coefficients"], drawn.coefficients, atol=1e-5)
    shift = np.abs(np.asarray(batch["landmarks"]) - np.asarray(drawn.landmarks))
    assert shift.mean() < 0.6
    inside = np.s_[:, 20:44, 24:40]
    difference = np.asarray(batch["grey"])[inside] - np.asarray(drawn.grey)[inside]
    assert np.abs(difference).mean() < 0.03


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(RecordsError, match=r"holds no \.tfrecord file"):
        record_batches(tmp_path, MODEL, SMALL)


def test_module_arguments_are_read_by_name():
    options = train.parse_options(["out=x/y", "samples=300", "minutes=2.5", "init=w.npz"])
    assert options.out == pathlib.Path("x/y") and options.init == pathlib.Path("w.npz")
    assert options.config == TrainingConfig(samples=300) and options.minutes == 2.5
    assert options.recipes == ("lifelike",)
    assert train.parse_options(["out=x", "recipes=varied,paper"]).recipes == ("varied", "paper")
    with pytest.raises(train.TrainError, match="unknown option: speed"):
        train.parse_options(["out=x", "speed=9"])
    with pytest.raises(train.TrainError, match="out=FOLDER is needed"):
        train.parse_options(["samples=3"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "holds no checkpoint"),
        (["--precision", "float8"], "precision should be one of"),
        (["--online", "--data", "x"], "give one of the two"),
        (["--learning-rate", "-1"], "learning_rate: should lie in"),
        (["--model", "missing.npz"], "missing.npz"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(tmp_path, arguments, message):
    result = CliRunner().invoke(
        cli.make_app(), ["train", "--out", str(tmp_path / "out"), *arguments]
    )
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
