"""What is imported and loaded before the first photo."""

import json
import subprocess
import sys

import pytest

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
