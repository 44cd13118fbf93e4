"""Animated heads as .glb: what the file holds, and what Khronos' validator says."""

import dataclasses

import numpy as np
import pygltflib
import pytest
from test_gltf import accessor, validator
from textured_meshes import tiny_head

from facemodel.fitting.expression_fit import rotation_from_vector
from serving.output.gltf_animation import Animation, encode_animated_glb, quaternions
from serving.output.textured_mesh import MeshError

assert validator  # a fixture


@pytest.fixture(scope="module")
def mesh():
    return tiny_head(normal_map=True)


@pytest.fixture(scope="module")
def animation(mesh):
    rng = np.random.default_rng(0)
    turns = np.zeros((9, 3))
    turns[:, 1] = np.linspace(-2.0, 4.0, 9)
    return Animation(np.arange(9) / 25, rng.uniform(0, 1, (9, 3)), rotation_from_vector(turns))


@pytest.fixture(scope="module")
def content(mesh, animation):
    return encode_animated_glb(mesh, animation)


def test_same_input_same_bytes(mesh, animation, content):
    assert encode_animated_glb(mesh, animation) == content


def test_the_file_holds_the_motion(mesh, animation, content):
    document = pygltflib.GLTF2.load_from_bytes(content)
    (found,) = document.animations
    by_path = {channel.target.path: found.samplers[channel.sampler] for channel in found.channels}
    assert {channel.target.node for channel in found.channels} == {0}
    assert set(by_path) == {"weights", "rotation"}
    for sampler in by_path.values():
        assert sampler.interpolation == "LINEAR"
        np.testing.assert_allclose(
            accessor(content, sampler.input)[:, 0], animation.time_s, atol=1e-6
        )
    weights = accessor(content, by_path["weights"].output).reshape(9, 3)
    np.testing.assert_allclose(weights, animation.weights, atol=1e-6)
    assert document.meshes[0].extras["targetNames"] == list(mesh.targets)
    turns = accessor(content, by_path["rotation"].output)
    np.testing.assert_allclose(np.linalg.norm(turns, axis=1), 1, atol=1e-6)
    nose = np.array([0, 0, 1.0])
    imaginary, real = turns[:, :3], turns[:, 3:]
    turned = nose + 2 * np.cross(imaginary, np.cross(imaginary, nose) + real * nose)
    np.testing.assert_allclose(turned, animation.rotation @ nose, atol=1e-6)


def test_quaternions_do_not_jump():
    turns = np.zeros((100, 3))
    turns[:, 1] = np.linspace(-6, 6, 100)
    found = quaternions(rotation_from_vector(turns))
    assert np.linalg.norm(np.diff(found, axis=0), axis=1).max() < 0.1


@pytest.mark.parametrize(
    "change",
    [
        {"time_s": np.arange(9)[::-1] / 25.0},
        {"time_s": 1 + np.arange(9) / 25},
        {"weights": np.zeros((9, 4))},
        {"rotation": np.full((9, 3, 3), np.nan)},
    ],
)
def test_what_does_not_fit_is_said(mesh, animation, change):
    with pytest.raises(MeshError, match="anna_0"):
        encode_animated_glb(mesh, dataclasses.replace(animation, **change))


@pytest.mark.slow
def test_khronos_validator_finds_nothing(validator, content):
    assert validator(content)["messages"] == []
