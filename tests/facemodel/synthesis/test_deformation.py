"""Faces outside the span: what is added to them, and that their labels are their nearest faces."""

import numpy as np
import pytest
from keras import ops

from facemodel import camera
from facemodel.morphable import landmarks
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis.deformation import SCALES_MM, WAVES, deformation_basis
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


def displacements(model, count=20):
    basis = deformation_basis(model)
    weights = np.random.default_rng(1).standard_normal((count, len(basis)))
    return np.tensordot(weights, basis, 1)


def test_no_coefficient_explains_a_displacement(default_model):
    """The nearest face of a displaced one, by least squares, is the face itself."""
    moved = displacements(default_model).reshape(20, -1)
    basis = default_model.basis.reshape(len(default_model.basis), -1).T
    nearest = np.linalg.lstsq(basis, moved.T, rcond=None)[0]
    assert np.abs(nearest).max() < 1e-3
    centred = default_model.mean - default_model.mean.mean(0)
    fields = moved.reshape(20, -1, 3)
    assert (
        np.abs(fields.mean(1)).max() < 1e-4
    )  # it does not move the whole face, nor turn or scale it
    assert np.abs(np.cross(centred, fields).mean(1)).max() < 1e-2
    assert np.abs((centred * fields).sum((1, 2))).max() / centred.size < 1e-2


def test_displacements_are_as_large_as_the_recipe_says(default_model):
    inner = displacements(default_model, 200)[:, default_model.inner_face]
    rms = np.sqrt((inner**2).sum(-1).mean(-1))
    assert rms.mean() == pytest.approx(0.65, abs=0.05)
    assert len(deformation_basis(default_model)) == 3 * WAVES * len(SCALES_MM)


def test_a_scene_is_its_label_and_a_displacement(scenes, default_model):
    scene = sample_scene(scenes, SynthesisConfig(deformation=STRONG), PhiloxStreams(3, range(4)))
    plain = scene._replace(deformation=None)
    moved = np.asarray(scene_vertices(scenes, scene)) - np.asarray(scene_vertices(scenes, plain))
    expected = np.tensordot(np.asarray(scene.deformation), deformation_basis(default_model), 1)
    np.testing.assert_allclose(moved, expected, atol=1e-4)
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
    assert plain.deformation is None and moved.deformation.shape == (2, len(scenes.deformations))
    np.testing.assert_array_equal(plain.coefficients, moved.coefficients)
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
