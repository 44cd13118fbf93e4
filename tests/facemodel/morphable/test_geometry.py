"""Decoding, the geometry loss, alignment and the landmark fit against slow explicit versions."""

import numpy as np
import pytest
from keras import ops

from facemodel import camera, transforms
from facemodel.evaluation import metrics
from facemodel.fitting import landmark_fit
from facemodel.morphable import geometry, landmarks
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.model import MorphableModel
from facemodel.network import losses

MODEL = MorphableModel.tiny()


@pytest.fixture(scope="module")
def face():
    return geometry.FaceGeometry.create(MODEL, LandmarkNoise.isotropic(1.0))


def random_coefficients(count, seed=0):
    return (
        np.random.default_rng(seed).normal(size=(count, MODEL.coefficient_count)).astype(np.float32)
    )


def test_decoding_agrees_with_the_model(face):
    coefficients = random_coefficients(3)
    vertices = np.asarray(geometry.decode(face.fine, coefficients))
    np.testing.assert_allclose(vertices, MODEL.vertices(coefficients), atol=1e-3)
    inner = np.asarray(landmarks.INNER_51)
    at = MODEL.triangles, MODEL.landmark_triangles[inner], MODEL.landmark_barycentric[inner]
    points = geometry.decode_landmarks(face, coefficients)
    np.testing.assert_allclose(points, landmarks.embedded_points(vertices, *at), atol=1e-3)


def test_vertex_triangles_lists_every_corner_once():
    table = geometry.compute_vertex_triangles(MODEL.triangles, MODEL.vertex_count)
    count = len(MODEL.triangles)
    for vertex in (0, 17, MODEL.vertex_count - 1):
        expected = np.flatnonzero((MODEL.triangles == vertex).any(1))
        np.testing.assert_array_equal(table[vertex][table[vertex] < count], expected)
    assert (table < count).sum() == MODEL.triangles.size


def test_geometry_loss_equals_the_mean_squared_vertex_distance(face):
    a, b = random_coefficients(5, 1), random_coefficients(5, 2)
    explicit = ((MODEL.vertices(a) - MODEL.vertices(b)) ** 2).sum(-1).mean(-1)
    np.testing.assert_allclose(losses.geometry_loss(a, b, face.gram_factor), explicit, rtol=1e-4)
    np.testing.assert_allclose(losses.geometry_loss(a, a, face.gram_factor), 0.0)


def test_geometry_loss_has_the_gradient_of_its_formula(face):
    """Central differences in float64 agree with 2 G (a - b)."""
    factor = np.asarray(face.gram_factor, np.float64)
    a, b = (random_coefficients(1, seed)[0].astype(np.float64) for seed in (3, 4))

    def loss(x):
        return float(losses.geometry_loss(ops.convert_to_tensor(x, "float64"), b, factor))

    step = 1e-4
    numeric = [(loss(a + step * e) - loss(a - step * e)) / (2 * step) for e in np.eye(len(a))]
    np.testing.assert_allclose(numeric, 2 * factor @ factor.T @ (a - b), rtol=1e-5, atol=1e-5)


def test_alignment_undoes_a_similarity_and_nothing_else():
    rng = np.random.default_rng(5)
    target = rng.normal(size=(4, 60, 3)) * 40
    rotation = np.asarray(
        transforms.euler_rotation(*(ops.convert_to_tensor(rng.uniform(-1, 1, 4)) for _ in "ypr"))
    )
    source = 0.3 * target @ rotation.swapaxes(1, 2) + rng.normal(size=(4, 1, 3)) * 100
    np.testing.assert_allclose(metrics.vertex_error_mm(source, target), 0, atol=1e-4)
    mirrored = target * [-1, 1, 1]
    assert (metrics.vertex_error_mm(mirrored, target) > 10).all()


def test_alignment_is_a_minimum_of_the_squared_distance():
    rng = np.random.default_rng(6)
    source, target = rng.normal(size=(2, 30, 3)) * 20
    aligned = metrics.similarity_align(source, target)
    best = ((aligned - target) ** 2).sum()
    centre = target.mean(0)
    for scale in (0.99, 1.01):
        assert (((aligned - centre) * scale + centre - target) ** 2).sum() > best
    for axis in np.eye(3):
        for angle in (-0.01, 0.01):
            turned = (aligned - centre) + np.cross(angle * axis, aligned - centre)
            assert ((turned + centre - target) ** 2).sum() > best
        assert ((aligned + 0.01 * axis - target) ** 2).sum() > best


def test_alignment_refuses_arrays_that_do_not_correspond():
    with pytest.raises(ValueError, match=r"\(5, 3\) and \(6, 3\)"):
        metrics.similarity_align(np.zeros((5, 3)), np.zeros((6, 3)))


def observed(face, coefficients, noise_px=0.0):
    count = len(coefficients)
    rng = np.random.default_rng(7)
    yaw, pitch, roll = (
        ops.convert_to_tensor(rng.uniform(-0.4, 0.4, count).astype(np.float32)) for _ in "ypr"
    )
    pose = camera.Pose(
        transforms.euler_rotation(yaw, pitch, roll),
        np.full(count, 0.9, np.float32),
        np.full((count, 2), 100, np.float32),
    )
    pixels = np.asarray(camera.project(geometry.decode_landmarks(face, coefficients), pose))[
        ..., :2
    ]
    return (pixels + noise_px * rng.normal(size=pixels.shape)).astype(np.float32)


def test_landmark_fit_explains_clean_landmarks(face):
    coefficients = 0.5 * random_coefficients(8, 8)
    pixels = observed(face, coefficients)
    fitted = landmark_fit.landmark_fit(face, pixels, np.full(8, 0.05, np.float32))
    points = geometry.decode_landmarks(face, fitted)
    reprojected = np.asarray(camera.project(points, camera.fit_pose(points, pixels)))[..., :2]
    assert np.abs(reprojected - pixels).max() < 0.3
    errors = metrics.vertex_error_mm(
        MODEL.vertices(np.asarray(fitted)), MODEL.vertices(coefficients)
    )
    start = metrics.vertex_error_mm(
        np.broadcast_to(MODEL.mean, (8, *MODEL.mean.shape)), MODEL.vertices(coefficients)
    )
    assert (errors < 0.3 * start).all()


def correlated_noise():
    """A detector whose errors differ between landmarks and are shared by them."""
    rng = np.random.default_rng(12)
    parts = rng.normal(size=(478, 2)), rng.normal(size=(478, 2, 5)), rng.uniform(0.5, 3, (478, 2))
    return LandmarkNoise(*(part.astype(np.float32) for part in parts))


def test_whitening_makes_errors_independent():
    errors = correlated_noise().select(landmarks.INNER_51)
    whitening = geometry.compute_landmark_whitening(errors).astype(np.float64)
    rng = np.random.default_rng(13)
    draws = rng.normal(size=(200_000, 5)) @ errors.factor.reshape(102, 5).T
    draws += rng.normal(size=(200_000, 102)) * errors.rest_sd.ravel()
    white = (draws + errors.mean.ravel()) / errors.sigma_mm @ whitening.T
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(102), atol=0.03)


def test_weights_follow_each_landmarks_error():
    errors = correlated_noise().select(landmarks.INNER_51)
    weights = geometry.compute_landmark_weights(errors)
    squared = errors.mean**2 + (errors.factor**2).sum(-1) + errors.rest_sd**2
    np.testing.assert_allclose(
        weights * squared.mean(-1), (weights * squared.mean(-1))[0], rtol=1e-5
    )
    assert weights.mean() == pytest.approx(1.0)


@pytest.mark.parametrize("noise", [LandmarkNoise.isotropic(1.0), correlated_noise()])
def test_landmark_fit_agrees_with_the_textbook_posterior(noise):
    """One round equals the float64 normal equations of coefficients and a pose without a prior."""
    face = geometry.FaceGeometry.create(MODEL, noise)
    errors = noise.select(landmarks.INNER_51)
    pixels = observed(face, random_coefficients(1, 9), noise_px=1.0)
    fitted = landmark_fit.landmark_fit(face, pixels, np.float32([1.5]), rounds=1)
    mean = np.asarray(face.landmark_mean, np.float64)
    weights = np.asarray(face.landmark_weights)
    pose = camera.fit_pose(mean[None].astype(np.float32), pixels, weights=weights)
    rows = (
        np.asarray(pose.rotation, np.float64)[0, :2] * float(pose.scale[0]) * np.array([[1], [-1]])
    )
    basis = np.asarray(face.landmark_basis, np.float64).reshape(MODEL.coefficient_count, 51, 3)
    jacobian = np.einsum("klj,ij->lik", basis, rows).reshape(102, -1)
    design = np.concatenate([jacobian, numeric_pose_jacobian(mean, pose)], 1)
    residual = (pixels[0] - np.asarray(pose.translation)[0] - mean @ rows.T).ravel()
    precision = np.concatenate([1 / np.asarray(face.prior_sd, np.float64) ** 2, np.zeros(6)])
    prior_mean = np.concatenate([np.asarray(face.prior_mean, np.float64), np.zeros(6)])
    certainty = np.linalg.inv(1.5**2 * errors.second_moment / errors.sigma_mm**2)
    left = design.T @ certainty @ design + np.diag(precision)
    right = design.T @ certainty @ residual + precision * prior_mean
    np.testing.assert_allclose(
        fitted[0], np.linalg.solve(left, right)[: MODEL.coefficient_count], atol=5e-3
    )


def numeric_pose_jacobian(points, pose, step=1e-3):
    """[102, 6] central differences of the projection by shift, log scale and turns."""

    def pixels(shift, zoom, turn):
        angle = np.linalg.norm(turn) + 1e-30
        k = np.cross(np.eye(3), -turn / angle)
        rotation = (np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k) @ np.asarray(
            pose.rotation[0], np.float64
        )
        xy = (points @ rotation.T)[:, :2] * float(pose.scale[0]) * np.exp(zoom) * [1, -1]
        return (xy + shift).ravel()

    moves = [(step * e[:2], step * e[2], step * e[3:]) for e in np.eye(6)]
    return np.stack(
        [(pixels(*m) - pixels(*(-np.asarray(x) for x in m))) / (2 * step) for m in moves], -1
    )


def test_landmark_fit_falls_back_to_the_prior_when_landmarks_are_worthless(face):
    pixels = observed(face, random_coefficients(2, 10))
    fitted = landmark_fit.landmark_fit(face, pixels, np.full(2, 1e4, np.float32))
    np.testing.assert_allclose(fitted, np.broadcast_to(face.prior_mean, fitted.shape), atol=1e-2)
