"""The last layer in closed form: that it is the best one, and that the loop gains by it."""

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.network import last_layer
from facemodel.network.losses import geometry_loss
from facemodel.network.regressor import IterativeRegressor
from facemodel.network.training_config import TrainingConfig
from facemodel.synthesis.online import online_batch
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import SceneModel
from facemodel.synthesis.streams import PhiloxStreams
from pipeline import cli
from pipeline.training.refit import RefitError, RefitOptions, refit_rounds

NOISE = LandmarkNoise.isotropic(1.0, count=51)
SIZE = 32


@pytest.fixture(scope="module")
def scenes(tiny_model):
    return SceneModel.create(tiny_model)


def make_regressor(scenes, count, *, iterations=2, last="zeros"):
    """A loop around random features of the picture."""
    keras.utils.set_random_seed(3)
    image, coefficients = keras.Input((None, None, 2)), keras.Input((count,))
    x = keras.layers.Conv2D(24, 9, 4, activation="relu")(image)
    x = keras.layers.AveragePooling2D(3)(x)
    x = keras.layers.Concatenate()([keras.layers.GlobalAveragePooling2D()(x), coefficients])
    delta = keras.layers.Dense(count, kernel_initializer=last)(x)
    network = keras.Model([image, coefficients], delta)
    return IterativeRegressor(scenes.geometry, network, iterations=iterations)


def draw(scenes, count, *, seed=4):
    config = SynthesisConfig.named("paper")
    return online_batch(scenes, config, PhiloxStreams(seed, range(count)), NOISE, size=SIZE)


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    features, corrections = rng.normal(size=(300, 7)), rng.normal(size=(300, 4))
    sums = last_layer.NormalEquations.empty(7, 4)
    for part in (slice(0, 100), slice(100, 300)):
        sums = sums.add(features[part], corrections[part])
    return sums, np.concatenate([features, np.ones((300, 1))], 1), corrections


def test_the_layer_is_the_least_squares_one(problem):
    sums, rows, corrections = problem
    found = sums.solve(np.ones((8, 4)), trust=1e-9)
    np.testing.assert_allclose(found, np.linalg.lstsq(rows, corrections, rcond=None)[0], atol=1e-8)
    assert sums.count == 300


def test_it_is_the_best_in_the_metric_of_the_geometry_loss(problem):
    sums, rows, corrections = problem
    factor = np.random.default_rng(1).normal(size=(4, 4))
    found = sums.solve(np.zeros((8, 4)), trust=1e-9)

    def loss(layer):
        return float(np.mean(geometry_loss(rows @ layer, corrections, factor)))

    for seed in range(5):
        change = np.random.default_rng(seed).normal(size=found.shape) * 0.01
        assert loss(found) < loss(found + change)


def test_trust_keeps_the_present_layer(problem):
    sums, _, _ = problem
    present = np.full((8, 4), 0.5)
    free, held = (sums.solve(present, trust=trust) for trust in (1e-9, 1e9))
    np.testing.assert_allclose(held, present, atol=1e-5)
    between = sums.solve(present, trust=300.0)
    assert np.linalg.norm(between - free) < np.linalg.norm(present - free)


def test_the_visitor_sees_what_the_loop_corrects(scenes, tiny_model):
    count = tiny_model.coefficient_count
    regressor = make_regressor(scenes, count, last=keras.initializers.RandomNormal(stddev=0.1))
    batch = draw(scenes, 3)
    start = keras.ops.full((3, count), 0.2)
    features, corrections = last_layer.make_visitor(regressor)(batch, start)
    inputs = {"grey": batch.grey, "landmarks": batch.landmarks, "start": start}
    estimates = np.asarray(regressor(inputs))
    visited = np.concatenate([estimates[:, k] for k in range(2)])
    truth = np.concatenate([batch.coefficients] * 2)
    np.testing.assert_allclose(corrections, truth - visited, atol=1e-5)
    rows = np.concatenate([features, np.ones((6, 1))], 1)
    said = rows @ last_layer.get_layer(regressor.network)
    np.testing.assert_allclose(visited[3:], (visited + said)[:3], atol=1e-4)


def test_the_loop_gains_on_faces_that_it_has_not_seen(scenes, tiny_model):
    regressor = make_regressor(scenes, tiny_model.coefficient_count)
    config = TrainingConfig(batch_size=40, size=SIZE, seed=1)
    options = RefitOptions(None, recipes=("paper",), faces=160, rounds=2, trust=10.0, config=config)
    batch = draw(scenes, 100, seed=9)
    zeros = np.zeros_like(batch.coefficients)
    inputs = {"grey": batch.grey, "landmarks": batch.landmarks, "start": zeros}

    def error():
        estimates = np.asarray(regressor(inputs))[:, -1]
        factor = scenes.geometry.gram_factor
        return float(np.sqrt(np.mean(geometry_loss(estimates, batch.coefficients, factor))))

    untrained, done = error(), []
    rounds = refit_rounds(tiny_model, regressor, options, done.append, measured=NOISE)
    assert list(rounds) == [1, 2] and done == list(range(1, 9))
    assert error() < 0.95 * untrained


@pytest.mark.parametrize(
    ("field", "value"), [("faces", 0), ("rounds", -1), ("trust", 0.0), ("recipes", ())]
)
def test_a_wrong_option_is_named(field, value):
    with pytest.raises(RefitError, match=field.rstrip("s")):
        RefitOptions(None, **{field: value})


def test_the_command_refuses_a_folder_that_is_not_there(tmp_path):
    result = CliRunner().invoke(cli.make_app(), ["refit", "-o", str(tmp_path / "none" / "w.npz")])
    assert result.exit_code == 2
    assert "no such folder" in result.output
