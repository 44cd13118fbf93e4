"""Weights files: what goes in comes out, the same bytes each time, and clear errors."""

import keras
import numpy as np
import pytest

from facemodel.network import weights
from facemodel.network.regressor import build_network
from facemodel.network.weights import WeightsError


@pytest.fixture
def network():
    keras.utils.set_random_seed(3)
    network = build_network(5)
    network.layers[-1].bias.assign(np.linspace(-2, 2, 5))
    return network


def values(network):
    return [np.asarray(weight) for weight in network.get_weights()]


def test_a_file_gives_back_weights_and_meta(network, tmp_path):
    path = tmp_path / "weights.npz"
    weights.save_weights(network, path, {"model_name": "x", "numbers": [1, 2.5]})
    other = build_network(5)
    assert weights.load_weights(other, path) == {"model_name": "x", "numbers": [1, 2.5]}
    for got, expected in zip(values(other), values(network), strict=True):
        np.testing.assert_array_equal(got, expected.astype(np.float16).astype(np.float32))
    assert [file.name for file in tmp_path.iterdir()] == ["weights.npz"]


def test_the_same_weights_give_the_same_bytes(network, tmp_path):
    first, second = tmp_path / "a.npz", tmp_path / "b.npz"
    weights.save_weights(network, first, {"b": 1, "a": 2})
    weights.save_weights(network, second, {"a": 2, "b": 1})
    assert first.read_bytes() == second.read_bytes()


def test_names_say_position_layer_and_variable_whatever_was_built_before(network):
    names = weights.weight_names(network)
    assert names == weights.weight_names(build_network(5))
    assert len(names) == len(set(names)) == len(network.weights)
    assert names[:3] == (
        "000_conv2d.kernel",
        "001_batch_normalization.gamma",
        "002_batch_normalization.beta",
    )
    assert names[-2:] == (f"{len(names) - 2}_dense.kernel", f"{len(names) - 1}_dense.bias")


def saved_arrays(network, tmp_path):
    path = tmp_path / "weights.npz"
    weights.save_weights(network, path, {})
    with np.load(path) as archive:
        return path, dict(archive)


def test_a_file_of_another_network_is_refused(network, tmp_path):
    path, _ = saved_arrays(network, tmp_path)
    other = build_network(6)
    before = values(other)
    with pytest.raises(WeightsError, match=r"weights.npz: .*conv2d_20.kernel is \(3, 3, 256, 5\)"):
        weights.load_weights(other, path)
    for got, expected in zip(values(other), before, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_missing_and_extra_arrays_are_named(network, tmp_path):
    path, arrays = saved_arrays(network, tmp_path)
    first = arrays.pop("000_conv2d.kernel")
    np.savez(path, **arrays)
    with pytest.raises(WeightsError, match="holds 103 arrays, the network has 104"):
        weights.load_weights(network, path)
    np.savez(path, other=first, **arrays)
    with pytest.raises(WeightsError, match="lacks 000_conv2d.kernel"):
        weights.load_weights(network, path)


@pytest.mark.parametrize("content", [b"", b"not a zip file", None])
def test_broken_files_are_refused_by_name(network, tmp_path, content):
    path, _ = saved_arrays(network, tmp_path)
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    with pytest.raises(WeightsError, match="weights.npz: not a weights file"):
        weights.load_weights(network, path)


def test_a_missing_file_is_refused_by_name(network, tmp_path):
    with pytest.raises(WeightsError, match="none.npz: no such weights file"):
        weights.load_weights(network, tmp_path / "none.npz")


def test_weights_that_float16_cannot_hold_are_not_written(network, tmp_path):
    network.layers[-1].bias.assign(np.full(5, 1e6))
    with pytest.raises(WeightsError, match="dense.bias"):
        weights.save_weights(network, tmp_path / "weights.npz", {})
    assert not list(tmp_path.iterdir())


def test_the_shipped_weights_fit_the_default_network():
    network = build_network(284)
    meta = weights.load_weights(network, weights.DEFAULT_WEIGHTS)
    assert meta["coefficient_count"] == 284
    assert meta["provenance"]
    assert all(np.isfinite(value).all() for value in values(network))
    assert np.abs(network.layers[-1].kernel).max() > 0
