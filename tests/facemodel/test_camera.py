"""The weak-perspective camera: exact poses without noise, transforms that agree with projection."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from facemodel import camera, transforms

angles = st.floats(-1.2, 1.2)
POINTS = np.random.default_rng(0).normal(size=(1, 51, 3)).astype(np.float32) * 35


def pose_of(yaw=0.0, pitch=0.0, roll=0.0, scale=1.0, x=0.0, y=0.0) -> camera.Pose:
    rotation = transforms.euler_rotation(
        *(ops.convert_to_tensor([float(a)]) for a in (yaw, pitch, roll))
    )
    return camera.Pose(rotation, np.float32([scale]), np.float32([[x, y]]))


@settings(max_examples=40, deadline=None)
@given(
    yaw=angles, pitch=angles, roll=st.floats(-3.0, 3.0), scale=st.floats(0.05, 20.0),
    x=st.floats(-500, 4000), y=st.floats(-500, 4000),
)  # fmt: skip
def test_fit_pose_is_exact_without_noise(yaw, pitch, roll, scale, x, y):
    truth = pose_of(yaw, pitch, roll, scale, x, y)
    fitted = camera.fit_pose(POINTS, camera.project(POINTS, truth)[..., :2])
    np.testing.assert_allclose(
        fitted.rotation, truth.rotation, atol=2e-4 + 3e-6 * max(abs(x), abs(y)) / scale
    )
    np.testing.assert_allclose(fitted.scale, truth.scale, rtol=1e-3)
    reprojected = np.asarray(camera.project(POINTS, fitted))[..., :2]
    np.testing.assert_allclose(
        reprojected, camera.project(POINTS, truth)[..., :2], atol=0.02 + 1e-3 * scale
    )


def test_fit_pose_returns_a_rotation_for_noisy_landmarks():
    rng = np.random.default_rng(1)
    pixels = rng.normal(size=(16, 51, 2)).astype(np.float32) * 50
    points = np.repeat(POINTS, 16, axis=0)
    rotation = np.asarray(camera.fit_pose(points, pixels).rotation)
    np.testing.assert_allclose(
        rotation @ rotation.swapaxes(1, 2), np.tile(np.eye(3), (16, 1, 1)), atol=1e-4
    )
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-4)


def test_fit_pose_is_the_nearest_orthonormal_camera():
    """The rows agree with the polar decomposition of numpy's least-squares affine camera."""
    rng = np.random.default_rng(2)
    truth = pose_of(0.5, -0.2, 0.1, 1.3, 10.0, 20.0)
    pixels = np.asarray(camera.project(POINTS, truth))[..., :2] + rng.normal(size=(1, 51, 2))
    points = POINTS[0] - POINTS[0].mean(0)
    target = (pixels[0] - pixels[0].mean(0)) * [1, -1]
    affine = np.linalg.lstsq(points, target, rcond=None)[0].T
    u, singular, vt = np.linalg.svd(affine, full_matrices=False)
    fitted = camera.fit_pose(POINTS, pixels.astype(np.float32))
    np.testing.assert_allclose(np.asarray(fitted.rotation)[0, :2], u @ vt, atol=1e-4)
    np.testing.assert_allclose(fitted.scale[0], singular.mean(), rtol=1e-4)


def test_weights_count_points_as_often_as_they_say():
    """Weight 3 is the same as the point being there three times; weight 0 as its absence."""
    rng = np.random.default_rng(4)
    truth = pose_of(-0.4, 0.1, 0.3, 0.8, 50.0, 60.0)
    pixels = np.asarray(camera.project(POINTS, truth))[..., :2] + 3 * rng.normal(size=(1, 51, 2))
    weights = rng.integers(0, 4, 51)
    repeated = np.repeat(np.arange(51), weights)
    weighted = camera.fit_pose(POINTS, pixels, weights=weights.astype(np.float32))
    counted = camera.fit_pose(POINTS[:, repeated], pixels[:, repeated])
    for one, other in zip(weighted, counted):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_perspective_tends_to_weak_perspective():
    pose = pose_of(0.4, 0.1, 0.0, 0.9, 100.0, 100.0)
    weak = np.asarray(camera.project(POINTS, pose))
    far = np.asarray(camera.project(POINTS, pose, inverse_distance=np.float32([1e-7])))
    near = np.asarray(camera.project(POINTS, pose, inverse_distance=np.float32([1 / 350])))
    np.testing.assert_allclose(far, weak, atol=1e-2)
    closer = weak[..., 2] > 20
    grown = np.linalg.norm(near[..., :2] - 100, axis=-1) > np.linalg.norm(
        weak[..., :2] - 100, axis=-1
    )
    assert grown[closer].all()


def test_y_of_the_image_points_down_and_x_to_the_subjects_left():
    pose = pose_of(scale=2.0, x=50.0, y=60.0)
    points = np.float32([[[0, 0, 0], [10, 0, 0], [0, 10, 0], [0, 0, 10]]])
    expected = [[50, 60, 0], [70, 60, 0], [50, 40, 0], [50, 60, 10]]
    np.testing.assert_allclose(camera.project(points, pose)[0], expected, atol=1e-5)


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("roll", [0.0, 0.7, -2.5])
def test_crop_puts_the_centre_in_the_middle_at_the_fixed_scale(roll, upright):
    pose = pose_of(0.3, -0.2, roll, 3.7, 812.0, 455.0)
    centre = np.float32([1.0, -29.0, 5.0])
    crop = camera.crop_from_pose(pose, centre, upright=upright)
    middle = transforms.apply_similarity(crop, camera.project(centre[None, None], pose)[..., :2])
    np.testing.assert_allclose(middle[0, 0], [100, 100], atol=1e-3)
    np.testing.assert_allclose(
        transforms.similarity_scale(crop) * 3.7, camera.CROP_SCALE, rtol=1e-5
    )
    moved = camera.transform_pose(pose, crop)
    np.testing.assert_allclose(camera.roll_of(moved), 0.0 if upright else roll, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    yaw=angles,
    roll=st.floats(-3, 3),
    turn=st.floats(-3, 3),
    zoom=st.floats(0.1, 8),
    shift=st.floats(-300, 300),
)
def test_transform_pose_agrees_with_transforming_the_pixels(yaw, roll, turn, zoom, shift):
    pose = pose_of(yaw, 0.2, roll, 1.1, 30.0, -20.0)
    cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
    similarity = np.float32([[[cos, -sin, shift], [sin, cos, -shift]]])
    direct = transforms.apply_similarity(similarity, camera.project(POINTS, pose)[..., :2])
    moved = camera.project(POINTS, camera.transform_pose(pose, similarity))
    np.testing.assert_allclose(moved[..., :2], direct, atol=2e-3 * (1 + zoom))


def test_similarities_invert_and_compose():
    rng = np.random.default_rng(3)
    turn, zoom = rng.uniform(-3, 3, 8), rng.uniform(0.2, 5, 8)
    cos, sin, offset = zoom * np.cos(turn), zoom * np.sin(turn), rng.normal(size=(8, 2)) * 100
    rows = [np.stack([cos, -sin, offset[:, 0]], -1), np.stack([sin, cos, offset[:, 1]], -1)]
    similarity = np.stack(rows, 1).astype(np.float32)
    points = rng.normal(size=(8, 5, 2)).astype(np.float32) * 50
    inverse = transforms.invert_similarity(similarity)
    there_and_back = transforms.apply_similarity(
        inverse, transforms.apply_similarity(similarity, points)
    )
    np.testing.assert_allclose(there_and_back, points, atol=1e-2)
    square = np.linalg.inv(np.concatenate([similarity, np.tile([[[0, 0, 1]]], (8, 1, 1))], 1))
    np.testing.assert_allclose(inverse, square[:, :2], atol=1e-3)


@pytest.mark.parametrize(
    ("landmarks", "message"),
    [
        (np.zeros((51, 2)), "line or point"),
        (np.stack([np.arange(51), 2 * np.arange(51)], -1), "line or point"),
        (np.full((51, 2), np.nan), "not finite"),
        (np.zeros((51, 3)), "got \\[51, 3\\]"),
        (np.eye(3, 2), "at least 4"),
    ],
)
def test_degenerate_landmarks_are_an_error(landmarks, message):
    with pytest.raises(camera.DegenerateLandmarks, match=message):
        camera.check_landmarks(landmarks)


def test_good_landmarks_pass():
    camera.check_landmarks(POINTS[0, :, :2])


def test_euler_angles_turn_the_nose_where_the_docstring_says():
    nose = np.float32([0, 0, 1])
    for (yaw, pitch, roll), axis, sign in [((0.3, 0, 0), 0, 1), ((0, 0.3, 0), 1, -1)]:
        turned = np.asarray(pose_of(yaw, pitch, roll).rotation)[0] @ nose
        assert np.sign(turned[axis]) == sign
    assert (np.asarray(pose_of(roll=0.3).rotation)[0] @ np.float32([1, 0, 0]))[1] > 0
