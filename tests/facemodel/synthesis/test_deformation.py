"""Displaced faces: what is added to them, and that their labels are their nearest faces."""

import numpy as np
import pytest
from keras import ops

from facemodel import camera
from facemodel.morphable import landmarks
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis.deformation import (
    MODERATION_MM,
    SCALES_MM,
    WAVES,
    displacement_fields,
    make_deformations,
)
from facemodel.synthesis.distributions import Range
from facemodel.synthesis.online import online_batch_and_exact
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import (
    SceneModel,
    sample_scene,
    scene_inner_landmarks,
    scene_vertices,
)
from facemodel.synthesis.streams import PhiloxStreams

STRONG = Range(1.0, 1.0)


@pytest.fixture(scope="module")
def scenes(default_model):
    return SceneModel.create(default_model)


def test_label_and_rest_are_the_displacement_but_for_a_move_of_the_whole(default_model):
    made, fields = make_deformations(default_model), displacement_fields(default_model)
    basis = default_model.basis[: made.identity.shape[1]]
    both = np.tensordot(made.identity, basis, 1) + made.rest
    left = (fields - both).reshape(len(fields), -1)
    centred = default_model.mean - default_model.mean.mean(0)
    turns = np.stack([np.cross(axis, centred) for axis in np.eye(3)]).reshape(3, -1)
    shifts = np.stack([np.broadcast_to(axis, centred.shape) for axis in np.eye(3)]).reshape(3, -1)
    moves = np.concatenate([turns, shifts, centred.reshape(1, -1)]).T
    explained = moves @ np.linalg.lstsq(moves, left.T, rcond=None)[0]
    np.testing.assert_allclose(left.T, explained, atol=1e-3)


def test_labels_are_nearest_faces_of_moderate_coefficients(default_model):
    """No small change of the label comes nearer by more than it costs."""
    made = make_deformations(default_model)
    count = made.identity.shape[1]
    basis = default_model.basis[:count].reshape(count, -1)
    pull = made.rest.reshape(len(made.rest), -1) @ basis.T
    cost = MODERATION_MM**2 * default_model.mean.size / 1000.0
    np.testing.assert_allclose(pull, cost * made.identity, atol=2e-3 * np.abs(pull).max())


def test_displacements_are_as_large_as_the_recipe_says(default_model):
    made = make_deformations(default_model)
    weights = np.random.default_rng(1).standard_normal((200, len(made.rest)))
    weights[:, -1] = 0.0
    labels = np.tensordot(weights @ made.identity, default_model.basis[: made.identity.shape[1]], 1)
    rest = np.tensordot(weights, made.rest, 1)

    def rms(moved):
        return np.sqrt((moved[:, default_model.inner_face] ** 2).sum(-1).mean())

    assert rms(labels + rest) == pytest.approx(1.8, abs=0.1)
    assert rms(rest) == pytest.approx(0.87, abs=0.05)
    assert len(made.rest) == 3 * WAVES * len(SCALES_MM) + 1


def test_the_lower_face_grows_by_as_much_as_is_asked(default_model):
    """Against the upper face, as the size of the whole is not part of a face."""
    made = make_deformations(default_model)
    count = made.identity.shape[1]
    longer = np.tensordot(made.identity[-1], default_model.basis[:count], 1) + made.rest[-1]

    def parts(vertices):
        corners = default_model.triangles[default_model.landmark_triangles[[9, 2, 152]]]
        heights = vertices[corners].mean(1)[:, 1]
        return -np.diff(heights)

    upper, lower = parts(default_model.mean)
    moved_upper, moved_lower = parts(default_model.mean + longer)
    grown = upper * moved_lower / moved_upper - lower
    assert grown == pytest.approx(0.87, abs=0.05)  # it begins softly, above the lip


def test_a_scene_is_its_label_and_a_displacement(scenes, default_model):
    scene = sample_scene(scenes, SynthesisConfig(deformation=STRONG), PhiloxStreams(3, range(4)))
    plain = scene._replace(deformation=None)
    moved = np.asarray(scene_vertices(scenes, scene)) - np.asarray(scene_vertices(scenes, plain))
    made = make_deformations(default_model)
    expected = np.tensordot(np.asarray(scene.deformation), made.rest, 1)
    np.testing.assert_allclose(moved, expected, atol=1e-4)
    undisplaced = sample_scene(scenes, SynthesisConfig(), PhiloxStreams(3, range(4)))
    label = np.asarray(scene.coefficients) - np.asarray(undisplaced.coefficients)
    identity = np.asarray(scene.deformation) @ made.identity
    np.testing.assert_allclose(label[:, : identity.shape[1]], identity, atol=1e-4)
    np.testing.assert_array_equal(label[:, identity.shape[1] :], 0.0)
    at = (
        default_model.triangles,
        default_model.landmark_triangles[list(landmarks.INNER_51)],
        default_model.landmark_barycentric[list(landmarks.INNER_51)],
    )
    points = landmarks.embedded_points(np.asarray(scene_vertices(scenes, scene)), *at)
    np.testing.assert_allclose(scene_inner_landmarks(scenes, scene), points, atol=1e-3)


def test_without_deformation_other_random_numbers_stay_the_same():
    scenes = SceneModel.create(MorphableModel.tiny())
    plain = sample_scene(scenes, SynthesisConfig(), PhiloxStreams(3, range(2)))
    moved = sample_scene(scenes, SynthesisConfig(deformation=STRONG), PhiloxStreams(3, range(2)))
    assert plain.deformation is None
    assert moved.deformation.shape == (2, len(scenes.deformations.rest))
    np.testing.assert_array_equal(plain.pose.rotation, moved.pose.rotation)


def test_online_batches_see_displaced_faces(scenes):
    """Their exact landmarks are those of the displaced face in the crop."""
    config = SynthesisConfig(deformation=STRONG, landmark_noise=Range(0.0, 0.0))
    noise = LandmarkNoise.isotropic(1.0).select(landmarks.INNER_51)
    batch, exact = online_batch_and_exact(
        scenes, config, PhiloxStreams(3, range(2)), noise, size=64
    )
    np.testing.assert_allclose(batch.landmarks, exact, atol=1e-3)
    scene = sample_scene(scenes, config, PhiloxStreams(3, range(2)), size=64)
    own = ops.convert_to_numpy(scene_inner_landmarks(scenes, scene))
    seen = camera.project(own, scene.pose, inverse_distance=scene.inverse_distance)[..., :2]
    sides = [np.linalg.norm(points[:, 0] - points[:, -1], axis=-1) for points in (seen, exact)]
    spans = [np.linalg.norm(points[:, 5] - points[:, 20], axis=-1) for points in (seen, exact)]
    np.testing.assert_allclose(sides[0] / spans[0], sides[1] / spans[1], rtol=1e-4)
