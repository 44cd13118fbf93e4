"""What TensorFlow does by itself and must not: other bits each time, code for each shape."""

import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from facemodel import camera
from facemodel.backend import transpose_list, without_grappler

RENDERINGS = 20
RENDER = f"""
import tensorflow as tf
from facemodel.camera import Pose
from facemodel.morphable.geometry import FaceGeometry, decode
from facemodel.morphable.model import MorphableModel
from facemodel.rendering.shading import render_shading

surface = FaceGeometry.create(MorphableModel.tiny()).coarse
vertices = decode(surface, tf.zeros([1, 10]))
render = tf.function(lambda scale: render_shading(
    surface, vertices, Pose(tf.eye(3)[None], scale[None], tf.constant([[32.0, 32.0]])), size=64))
scales = [tf.constant(0.2 + 0.01 * k) for k in range({RENDERINGS})]
covered = {{int(tf.reduce_sum(render(scale)[1])) for scale in scales}}
assert len(covered) > {RENDERINGS} // 2
"""


def test_a_graph_gives_the_same_bits_each_time():
    """Without it, this one gives two results in the course of 500 calls."""
    rng = np.random.default_rng(0)
    points, pixels = (
        tf.constant(rng.normal(size=(4, 51, size)).astype(np.float32)) for size in (3, 2)
    )
    affine = camera._least_squares(points, pixels)
    rows = tf.function(lambda: camera._nearest_orthonormal_rows(affine), autograph=False)
    with without_grappler():
        found = {b"".join(part.numpy().tobytes() for part in rows()) for _ in range(500)}
    assert len(found) == 1


def test_the_optimizer_is_as_it_was_afterwards():
    before = tf.config.optimizer.get_experimental_options()
    with pytest.raises(ZeroDivisionError), without_grappler():
        raise ZeroDivisionError
    after = tf.config.optimizer.get_experimental_options()
    assert after == {**before, "disable_meta_optimizer": False}


def test_lists_of_all_lengths_are_transposed():
    rng = np.random.default_rng(0)
    for shape in ((0, 3), (1, 1), (7, 3), (3, 700), (5000, 13)):
        values = rng.normal(size=shape).astype(np.float32)
        np.testing.assert_array_equal(transpose_list(values), values.T)


def test_gradients_of_all_orders_go_through_a_transposed_list():
    values = tf.constant(np.arange(6, dtype=np.float32).reshape(2, 3))
    weights = np.arange(6, 12, dtype=np.float32).reshape(3, 2)
    with tf.GradientTape() as second:
        second.watch(values)
        with tf.GradientTape() as first:
            first.watch(values)
            cubes = tf.reduce_sum(weights * transpose_list(values) ** 3)
        slope = first.gradient(cubes, values)
    np.testing.assert_allclose(slope, 3.0 * weights.T * values**2)
    np.testing.assert_allclose(second.gradient(slope, values), 6.0 * weights.T * values)


def test_no_kernels_are_made_for_the_number_of_pixels_that_a_face_covers():
    """The last thousand would be kept, in every process that renders."""
    verbose = {"ONEDNN_VERBOSE": "profile_create", "TF_ENABLE_ONEDNN_OPTS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", RENDER], env=os.environ | verbose, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("onednn_verbose") for line in lines)
    assert sum("reorder" in line for line in lines) < RENDERINGS
