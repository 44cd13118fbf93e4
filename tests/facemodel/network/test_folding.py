"""The network for inference against the one that was trained."""

import keras
import numpy as np
import pytest

from facemodel.network.folding import fold_normalisations, for_inference
from facemodel.network.pretrained import load_pretrained
from facemodel.network.regressor import build_network


@pytest.fixture
def trained():
    """A network none of whose weights and averages are what they begin with."""
    keras.utils.set_random_seed(2)
    network = build_network(6)
    rng = np.random.default_rng(0)
    for weight in network.weights:
        kept = weight.name in ("gamma", "moving_variance")
        change = rng.uniform(0.5, 1.5, weight.shape) if kept else rng.normal(0, 0.1, weight.shape)
        weight.assign(change if kept else weight + change)
    return network


def inputs(size=40):
    rng = np.random.default_rng(1)
    return [rng.random((2, size, size, 2), np.float32), rng.normal(size=(2, 6)).astype(np.float32)]


def test_it_is_the_same_function_without_normalisations(trained):
    folded = fold_normalisations(trained)
    kinds = {type(layer) for layer in folded.layers}
    assert not any(issubclass(kind, keras.layers.BatchNormalization) for kind in kinds)
    expected = trained(inputs())
    np.testing.assert_allclose(folded(inputs()), expected, atol=1e-5 * np.abs(expected).max())


def test_the_trained_network_stays_as_it_is(trained):
    before = [np.array(weight) for weight in trained.weights]
    folded = fold_normalisations(trained)
    folded.layers[1].kernel.assign(folded.layers[1].kernel * 0.0)
    for weight, old in zip(trained.weights, before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_bfloat16_stays_bfloat16():
    keras.utils.set_random_seed(2)
    network = build_network(6, precision="mixed_bfloat16")
    folded = fold_normalisations(network)
    convolutions = [one for one in folded.layers if isinstance(one, keras.layers.Conv2D)]
    assert {one.compute_dtype for one in convolutions} == {"bfloat16"}
    assert {one.kernel.dtype for one in convolutions} == {"float32"}


def test_the_shipped_loop_gives_the_same_faces(default_model):
    loop = load_pretrained(default_model)
    rng = np.random.default_rng(1)
    geometry = loop.geometry
    places = 0.9 * np.asarray(geometry.landmark_mean)[None, :, :2] * (1.0, -1.0) + (100.0, 60.0)
    given = {
        "grey": rng.random((1, 200, 200)).astype(np.float32),
        "landmarks": places.astype(np.float32),
        "start": np.zeros((1, default_model.coefficient_count), np.float32),
    }
    expected, folded = loop.run(given), for_inference(loop).run(given)
    np.testing.assert_allclose(folded.estimates, expected.estimates, atol=2e-3)
    np.testing.assert_allclose(folded.landmarks, expected.landmarks, atol=2e-2)
    assert np.abs(np.asarray(expected.estimates)[:, 1:]).max() > 0.1
