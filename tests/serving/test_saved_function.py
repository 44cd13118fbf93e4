"""One signature of a SavedModel, run by the functions in its file."""

import gc

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2

from facemodel.backend import without_grappler
from facemodel.saved_model.metadata import MESH_OUTPUTS
from serving.saved_function import SavedFunction


@pytest.fixture(scope="module")
def inputs():
    rng = np.random.default_rng(3)
    return {
        "image": rng.integers(0, 256, (2, 90, 110, 3)).astype(np.uint8),
        "landmarks": rng.uniform(10, 80, (2, 478, 2)).astype(np.float32),
    }


def loaded(folder, inputs):
    """What TensorFlow's own loader gives."""
    run = tf.saved_model.load(str(folder)).signatures["serving_default"]
    with without_grappler():
        outputs = run(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items()}


@pytest.mark.slow
def test_outputs_are_those_of_the_whole_saved_model_to_the_bit(tiny_versions, inputs):
    """Two models whose functions have the same names do not disturb each other."""
    functions = [SavedFunction(folder) for folder in tiny_versions]
    outputs = [function(**inputs) for function in functions]
    expected = loaded(tiny_versions[1], inputs)
    assert outputs[1].keys() == expected.keys()
    for name, value in outputs[1].items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)
    assert np.abs(outputs[0]["iterations"] - outputs[1]["iterations"]).max() > 0
    functions.pop(0)  # takes only its own functions along
    gc.collect()
    np.testing.assert_array_equal(functions[0](**inputs)["mask"], outputs[1]["mask"])


def test_fused_operations_give_nearly_the_same_and_always_the_same_bits(tiny_versions, inputs):
    plain, fused = (SavedFunction(tiny_versions[0], "mesh", fused=way) for way in (False, True))
    expected, found, again = plain(**inputs), fused(**inputs), fused(**inputs)
    for name, value in found.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)
        np.testing.assert_allclose(value, expected[name], rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("fused", [False, True])
def test_fusion_is_the_only_rewriting_if_any(tiny_versions, fused):
    config = config_pb2.ConfigProto.FromString(SavedFunction(tiny_versions[0], fused=fused)._config)
    rewrites = config.graph_options.rewrite_options
    toggles = rewriter_config_pb2.RewriterConfig
    on = {
        field.name for field in rewrites.DESCRIPTOR.fields
        if field.enum_type and field.enum_type.name == "Toggle"
        and getattr(rewrites, field.name) != toggles.OFF
    }  # fmt: skip
    assert rewrites.disable_meta_optimizer is not fused
    assert on == {"remapping"}


def test_the_first_signature_that_there_is_counts(tiny_versions, inputs):
    """So the client reads SavedModels of earlier versions, which have no mesh."""
    orders = (("mesh", "serving_default"), ("none", "serving_default"))
    mesh, whole = (SavedFunction(tiny_versions[0], *names)(**inputs) for names in orders)
    assert set(mesh) == set(MESH_OUTPUTS) and set(whole) > set(mesh)


def test_other_inputs_and_signatures_raise(tiny_versions, inputs, tmp_path):
    with pytest.raises(LookupError, match="unknown"):
        SavedFunction(tiny_versions[0], "unknown")
    with pytest.raises(OSError):
        SavedFunction(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"no model")
    with pytest.raises(ValueError, match="saved_model.pb"):
        SavedFunction(tmp_path)
    with pytest.raises(tf.errors.InvalidArgumentError):
        SavedFunction(tiny_versions[0])(image=inputs["image"][:1], landmarks=inputs["landmarks"])
