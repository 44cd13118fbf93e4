"""What is imported and loaded before the first photo."""

import json
import pathlib
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from pipeline.cli import make_app
from pipeline.inference.starting import OPTIONAL, CannotStart, start

IMPORT = """
import json, sys
from pipeline.inference.starting import OPTIONAL, import_tensorflow
import_tensorflow()
loaded = [name for name in OPTIONAL if name in sys.modules]
import pandas, keras, tensorflow as tf
frame = pandas.DataFrame({"a": [1.0]})
print(json.dumps([loaded, float(keras.ops.sum(tf.constant([1.0, 2.0])))]))
"""


def test_tensorflow_comes_without_what_nothing_here_uses():
    """Which can still be imported afterwards."""
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [[], 3.0]
    assert "jax" in OPTIONAL


def test_a_model_that_is_missing_is_known_before_any_photo_is_read(tmp_path):
    missing = tmp_path / "model"
    with pytest.raises(CannotStart, match=str(missing)), start(missing, None, None, None, None):
        pytest.fail("it has started")


def without_shapes(path):
    """Breaks a SavedModel so that it can be loaded and not be run: its Reshapes fit nothing."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for function in saved.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            if node.op == "Const" and node.name.endswith("Reshape/shape"):
                tensor = node.attr["value"].tensor
                wrong = [7919] * max(1, tensor.tensor_shape.dim[0].size)
                tensor.CopyFrom(tf.make_tensor_proto(wrong, tf.int32))
    path.write_bytes(saved.SerializeToString())


def test_a_model_whose_first_run_fails_is_one_line(tiny_versions, tmp_path):
    model = pathlib.Path(shutil.copytree(tiny_versions[0], tmp_path / "model"))
    without_shapes(model / "saved_model.pb")
    words = ["reconstruct", "docs/images/demo.jpg", "-o", str(tmp_path / "out" / "deep")]
    result = CliRunner().invoke(make_app(), [*words, "--model", str(model)], catch_exceptions=False)
    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"error: {model}: cannot be run (")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
