"""Last layers in closed form: that they are the best ones, and that the loop gains by them."""

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from facemodel.backend import compiled
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.network import last_layer
from facemodel.network.heads import LoopHeads
from facemodel.network.losses import geometry_loss
from facemodel.network.regressor import IterativeRegressor
from facemodel.network.training_config import TrainingConfig
from facemodel.synthesis.online import online_batch, online_batch_and_exact
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import SceneModel
from facemodel.synthesis.streams import PhiloxStreams
from pipeline import cli
from pipeline.training.refit import RefitError, RefitOptions, refit_heads

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


def random_heads(count, features, *, iterations=2):
    rng = np.random.default_rng(6)
    return LoopHeads(
        rng.normal(0, 0.1, (iterations, features + 1, count)).astype(np.float32),
        rng.normal(0, 0.01, (iterations, features + 103, 102)).astype(np.float32),
    )


def test_the_loop_applies_to_a_view_what_its_heads_say(scenes, tiny_model):
    """Iteration by iteration, and the last heads again when there are no more."""
    count = tiny_model.coefficient_count
    plain = make_regressor(scenes, count)
    features = plain.network.layers[-1].input.shape[-1]
    heads, batch = random_heads(count, features), draw(scenes, 3)
    loop = IterativeRegressor(
        plain.geometry, plain.network, iterations=3, step_decay=0.5, heads=heads
    )
    look = compiled(last_layer.make_viewer(plain))
    estimate, landmarks = np.full((3, count), 0.2, np.float32), batch.landmarks
    inputs = {"grey": batch.grey, "landmarks": landmarks, "start": estimate}
    found = compiled(loop.run)(inputs)
    for k in range(3):
        np.testing.assert_allclose(found.estimates[:, k], estimate, atol=2e-4)
        np.testing.assert_allclose(found.landmarks[:, k], landmarks, atol=2e-2)
        view = look(batch.grey, landmarks, estimate)
        rows = np.concatenate([view.features, np.ones((3, 1))], 1)
        both = np.concatenate(
            [view.features, np.reshape(view.residuals, (3, -1)), np.ones((3, 1))], 1
        )
        layer = min(k, 1)
        moved_mm = (both @ heads.landmarks[layer]).reshape(3, 51, 2)
        estimate = np.float32(estimate + 0.5**k * (rows @ heads.corrections[layer]))
        landmarks = np.float32(landmarks + np.asarray(view.scale)[:, None, None] * moved_mm)
    np.testing.assert_allclose(found.estimates[:, 3], estimate, atol=2e-4)
    np.testing.assert_allclose(found.landmarks[:, 3], landmarks, atol=2e-2)
    assert np.abs(landmarks - batch.landmarks).max() > 0.05


def test_residuals_are_how_far_landmarks_are_moved(scenes, tiny_model):
    count = tiny_model.coefficient_count
    batch, view = draw(scenes, 2), compiled(last_layer.make_viewer(make_regressor(scenes, count)))
    exact = view(batch.grey, batch.landmarks, batch.coefficients)
    moved_px = np.zeros((2, 51, 2), np.float32)
    moved_px[:, 7, 1] = 0.01  # too little for another pose
    seen = view(batch.grey, batch.landmarks + moved_px, batch.coefficients)
    change = np.asarray(seen.residuals - exact.residuals) * np.asarray(seen.scale)[:, None, None]
    assert change[:, 7, 1] == pytest.approx(0.01, abs=2e-3)
    others = np.delete(change.reshape(2, -1), 15, axis=1)
    assert np.abs(others).max() < 2e-3


def test_heads_are_found_where_the_answer_is_linear():
    rng = np.random.default_rng(2)
    true = random_heads(5, 9, iterations=1)
    view = last_layer.View(rng.normal(size=(400, 9)), rng.normal(size=(400, 51, 2)), np.ones(400))
    step, moved_mm = true.correct(
        0, view.features.astype(np.float32), view.residuals.astype(np.float32)
    )
    trusts = {"trust": 1e-6, "landmark_trust": 1e-6}
    own = np.zeros((10, 5))
    found = last_layer.solve_heads(view, np.asarray(step), np.asarray(moved_mm), own, **trusts)
    np.testing.assert_allclose(found[0], true.corrections[0], atol=1e-4)
    np.testing.assert_allclose(found[1], true.landmarks[0], atol=1e-4)


@pytest.mark.slow
def test_the_loop_gains_on_faces_that_it_has_not_seen(scenes, tiny_model):
    regressor = make_regressor(scenes, tiny_model.coefficient_count)
    config = TrainingConfig(batch_size=40, size=SIZE, seed=1, landmark_fit_starts=0.5)
    options = RefitOptions(
        None,
        recipes=("paper",),
        faces=320,
        trust=10.0,
        landmark_trust=300.0,
        share=1.0,
        config=config,
    )
    done = []
    for heads in refit_heads(
        tiny_model, regressor, options, lambda *pair: done.append(pair), measured=NOISE
    ):
        assert heads.iterations <= 2
    assert done == [(k, 24) for k in range(1, 25)]
    batch, exact = online_batch_and_exact(
        scenes, SynthesisConfig.named("paper"), PhiloxStreams(9, range(100)), NOISE, size=SIZE
    )
    factor = scenes.geometry.gram_factor
    zeros = np.zeros_like(batch.coefficients)
    inputs = {"grey": batch.grey, "landmarks": batch.landmarks, "start": zeros}
    loop = IterativeRegressor(regressor.geometry, regressor.network, iterations=2, heads=heads)
    found = loop.run(inputs)
    start, end = (
        np.mean(geometry_loss(np.asarray(found.estimates[:, k]), batch.coefficients, factor))
        for k in (0, 2)
    )
    assert end < 0.9 * start
    given, corrected = (
        np.mean((np.asarray(p) - exact) ** 2) for p in (batch.landmarks, found[1][:, -1])
    )
    assert corrected < 0.8 * given


@pytest.mark.parametrize(
    ("field", "value"),
    [("faces", 0), ("landmark_trust", -1), ("trust", 0.0), ("recipes", ()), ("detected", 1.5)],
)
def test_a_wrong_option_is_named(field, value):
    with pytest.raises(RefitError, match=field.rstrip("s")):
        RefitOptions(None, **{field: value})


def test_the_command_refuses_a_folder_that_is_not_there(tmp_path):
    result = CliRunner().invoke(cli.make_app(), ["refit", "-o", str(tmp_path / "none" / "w.npz")])
    assert result.exit_code == 2
    assert "no such folder" in result.output
