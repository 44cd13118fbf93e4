"""Expression and pose of a known face: exact on exact data, directions as differences say."""

import numpy as np
import pytest

from facemodel import camera
from facemodel.fitting import expression_fit
from facemodel.fitting.expression_fit import (
    KnownFace,
    Poses,
    fit_expressions,
    fit_poses,
    rotation_from_vector,
    vector_from_rotation,
)
from facemodel.morphable.landmark_noise import LandmarkNoise

COUNT, UNITS = 51, 6


@pytest.fixture(scope="module")
def face():
    rng = np.random.default_rng(0)
    neutral = rng.normal(size=(COUNT, 3)) * (40, 50, 20)
    noise = LandmarkNoise.load().select(range(COUNT))
    return KnownFace.create(neutral, 8 * rng.normal(size=(UNITS, COUNT, 3)), noise)


@pytest.fixture(scope="module")
def poses():
    rng = np.random.default_rng(1)
    rotation = rotation_from_vector(rng.normal(0, 0.3, (4, 3)))
    return Poses(rotation, rng.uniform(0.8, 2.0, 4), rng.uniform(100, 300, (4, 2)))


def test_turns_come_back():
    vectors = np.random.default_rng(2).normal(0, 0.8, (50, 3))
    rotations = rotation_from_vector(vectors)
    np.testing.assert_allclose(rotations @ np.swapaxes(rotations, 1, 2),
                               np.tile(np.eye(3), (50, 1, 1)), atol=1e-12)  # fmt: skip
    np.testing.assert_allclose(vector_from_rotation(rotations), vectors, atol=1e-9)
    np.testing.assert_allclose(vector_from_rotation(np.eye(3)), 0)


def test_poses_are_those_of_the_graph(face, poses):
    """Two closed forms, on landmarks that no pose fits exactly."""
    points = face.points(np.random.default_rng(5).uniform(0, 0.5, (4, UNITS)))
    pixels = poses.project(points) + np.random.default_rng(6).normal(0, 3.0, (4, COUNT, 2))
    expected = camera.fit_pose(
        np.float32(points), np.float32(pixels), weights=np.float32(face.weights)
    )
    found = fit_poses(face, points, pixels)
    np.testing.assert_allclose(found.rotation, expected.rotation, atol=1e-5)
    np.testing.assert_allclose(found.scale, expected.scale, rtol=1e-5)
    np.testing.assert_allclose(found.translation, expected.translation, atol=1e-3)
    one = fit_poses(face, points[:1], pixels)
    np.testing.assert_allclose(one.rotation[0], found.rotation[0])


def test_exact_landmarks_give_exact_faces(face, poses):
    expression = np.random.default_rng(3).uniform(0, 0.8, (4, UNITS))
    pixels = poses.project(face.points(expression))
    found, pose = fit_expressions(face, pixels, expected=np.zeros((4, UNITS)), sd=1e3, rounds=8)
    np.testing.assert_allclose(found, expression, atol=1e-4)
    np.testing.assert_allclose(pose.rotation, poses.rotation, atol=1e-5)
    np.testing.assert_allclose(pose.translation, poses.translation, atol=1e-3)


def test_a_narrow_prior_keeps_what_is_expected(face, poses):
    pixels = poses.project(face.points(np.full((4, UNITS), 0.5)))
    expected = np.full((4, UNITS), 0.2)
    narrow, _ = fit_expressions(face, pixels, expected=expected, sd=1e-4)
    np.testing.assert_allclose(narrow, expected, atol=1e-3)


def test_directions_are_differences(face, poses):
    expression = np.random.default_rng(4).uniform(0, 0.5, (4, UNITS))
    found = expression_fit._jacobian(face, face.points(expression), poses)
    at, step = poses.project(face.points(expression)), 1e-6
    for k in range(6 + UNITS):
        move = np.zeros((4, 6 + UNITS))
        move[:, k] = step
        moved = expression_fit._moved(poses, move[:, :6])
        pixels = moved.project(face.points(expression + move[:, 6:]))
        np.testing.assert_allclose(found[:, k], ((pixels - at) / step).reshape(4, -1), atol=1e-2)
