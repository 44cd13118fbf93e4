"""A detector's errors that go with the face: found again from draws, drawn where they belong."""

import numpy as np
import pytest

from facemodel import camera, transforms
from facemodel.backend import compiled
from facemodel.fitting.alignment import crop_around
from facemodel.morphable import landmarks
from facemodel.morphable.geometry import FaceGeometry
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.served_noise import LANDMARK_NOISE_MM
from facemodel.synthesis.detector_errors import (
    DetectorErrors,
    sample_detector_errors,
    sample_strength,
)
from facemodel.synthesis.distributions import Range
from facemodel.synthesis.online import online_batch_and_exact
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import SceneModel, sample_scene, scene_inner_landmarks
from facemodel.synthesis.streams import PhiloxStreams, StreamPlan, TableStreams

BROWS, EYES = slice(0, 10), slice(19, 31)


@pytest.fixture(scope="module")
def scenes(default_model):
    return SceneModel.create(default_model)


@pytest.fixture(scope="module")
def geometry(default_model):
    return FaceGeometry.create(default_model)


def true_landmarks(scenes, count, seed=1):
    """[N, 51, 2] px in small images of the recipe lifelike."""
    config = SynthesisConfig.lifelike(image_size=64)
    scene = sample_scene(scenes, config, PhiloxStreams(seed, range(count)))
    points = scene_inner_landmarks(scenes, scene)
    return np.asarray(camera.project(points, scene.pose)[..., :2])


def in_crop(geometry, true, found):
    """True landmarks in their upright crop, and the found ones' errors there."""
    upright = crop_around(geometry, true)
    places = np.asarray(transforms.apply_similarity(upright, true))
    return places, np.asarray(transforms.apply_similarity(upright, found)) - places


def half_raised(geometry, true, rng, noise_px=1.0):
    """A detector that follows brows halfway, and errs at random besides."""
    places, _ = in_crop(geometry, true, true)
    errors = noise_px * rng.normal(size=places.shape)
    errors[:, BROWS, 1] -= 0.5 * (places[:, BROWS, 1] - places[:, BROWS, 1].mean(0))
    back = np.linalg.inv(np.asarray(crop_around(geometry, true))[:, :, :2])
    return true + np.einsum("bij,blj->bli", back, errors)


def test_fit_finds_what_goes_with_the_face_and_draws_it_for_others(scenes, geometry):
    true = true_landmarks(scenes, 3000)
    known = DetectorErrors.fit(
        geometry, true, half_raised(geometry, true, np.random.default_rng(0))
    )
    others = true_landmarks(scenes, 1000, seed=2)
    drawn = sample_detector_errors(
        known, geometry, others, np.ones(1000, np.float32), PhiloxStreams(3, range(1000))
    )
    places, errors = in_crop(geometry, others, np.asarray(drawn))
    heights = places[:, BROWS, 1] - places[:, BROWS, 1].mean(0)
    slope = (heights * errors[:, BROWS, 1]).sum() / (heights**2).sum()
    assert slope == pytest.approx(-0.5, abs=0.08)
    left = errors[:, BROWS, 1] + 0.5 * heights
    assert left.std() == pytest.approx(1.0, abs=0.15)
    assert errors[:, EYES].std() == pytest.approx(1.0, abs=0.1)


def test_rest_is_taken_from_measured_faces_of_about_the_same_turn(scenes, geometry):
    true = true_landmarks(scenes, 2000)
    places, _ = in_crop(geometry, true, true)
    turned = np.abs(places[:, 13, 0] - camera.CROP_SIZE / 2)
    size = np.where(turned > np.median(turned), 4.0, 0.5)[:, None, None]
    noise = size * np.random.default_rng(0).normal(size=true.shape)
    known = DetectorErrors.fit(geometry, true, true + noise)
    drawn = sample_detector_errors(
        known, geometry, true, np.ones(2000, np.float32), PhiloxStreams(4, range(2000))
    )
    _, errors = in_crop(geometry, true, np.asarray(drawn))
    spread = errors.std((1, 2))
    order = np.argsort(turned)
    assert spread[order[-400:]].mean() > 2.5 * spread[order[:400]].mean()


def test_no_measured_face_stands_for_all_that_are_turned_farthest(scenes, geometry):
    true = np.repeat(true_landmarks(scenes, 1), 600, 0)
    errors, count = scenes.detector_errors, len(scenes.detector_errors.turn)
    numbered = errors._replace(
        response=np.zeros_like(errors.response),
        rest=np.repeat(np.arange(count, dtype=np.float32)[:, None] / 100, 102, 1),
    )
    for farthest in (-1e6, 1e6):  # all measured faces are turned less
        turned = true + np.float32(0)
        turned[:, 13, 0] += farthest
        strength, rng = np.ones(600, np.float32), PhiloxStreams(10, range(600))
        drawn = np.asarray(sample_detector_errors(numbered, geometry, turned, strength, rng))
        _, px = in_crop(geometry, turned, drawn)
        assert len(np.unique(px[:, 0, 0].round(2))) > 400


def test_errors_turn_and_grow_with_the_face_in_the_image(scenes, geometry):
    true, errors = true_landmarks(scenes, 8), scenes.detector_errors
    angle, size = 0.4, 1.7
    turn = size * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32
    )
    moved = true @ turn.T + np.float32([30.0, -12.0])
    strength = np.ones(8, np.float32)
    one, other = (
        np.asarray(
            sample_detector_errors(errors, geometry, each, strength, PhiloxStreams(5, range(8)))
        )
        - each
        for each in (true, moved)
    )
    np.testing.assert_allclose(other, one @ turn.T, atol=0.02)


def test_compiled_draws_are_the_same(scenes, geometry):
    true, errors, one = true_landmarks(scenes, 8), scenes.detector_errors, np.ones(8, np.float32)
    numbers = StreamPlan(
        lambda rng: sample_detector_errors(errors, geometry, true[:1], one[:1], rng)
    ).draw(PhiloxStreams(9, range(8)))
    draw = compiled(
        lambda true, numbers: sample_detector_errors(
            errors, geometry, true, one, TableStreams(numbers)
        )
    )
    eager = sample_detector_errors(errors, geometry, true, one, TableStreams(numbers))
    np.testing.assert_allclose(draw(true, numbers), eager, atol=1e-3)


def test_strength_multiplies_the_errors(scenes, geometry):
    true, errors = true_landmarks(scenes, 8), scenes.detector_errors
    drawn = [
        np.asarray(
            sample_detector_errors(
                errors, geometry, true, np.full(8, strength, np.float32), PhiloxStreams(5, range(8))
            )
        )
        - true
        for strength in (1.0, 0.25)
    ]
    np.testing.assert_allclose(drawn[1], 0.25 * drawn[0], atol=1e-3)
    weak = SynthesisConfig.lifelike(detector_strength=Range(0.1, 2.8))
    strengths = np.asarray(sample_strength(weak, PhiloxStreams(6, range(900))))
    assert (strengths == 1.0).mean() == pytest.approx(2 / 3, abs=0.05)
    assert 0.1 <= strengths.min() < 0.2


def test_the_shipped_detector_follows_brows_less_than_they_move(scenes, geometry):
    true = true_landmarks(scenes, 500)
    drawn = sample_detector_errors(
        scenes.detector_errors, geometry, true,
        np.ones(500, np.float32), PhiloxStreams(7, range(500)),
    )  # fmt: skip
    places, errors = in_crop(geometry, true, np.asarray(drawn))
    heights = places[:, BROWS, 1] - places[:, BROWS, 1].mean(0)
    assert (heights * errors[:, BROWS, 1]).sum() / (heights**2).sum() < -0.2
    assert errors[:, BROWS].std() > 1.5 * errors[:, EYES].std()


def test_files_round_trip_to_half_precision(scenes, tmp_path):
    scenes.detector_errors.save(tmp_path / "errors.npz")
    for array, original in zip(
        DetectorErrors.load(tmp_path / "errors.npz"), scenes.detector_errors
    ):
        np.testing.assert_array_equal(array, original)


def test_online_faces_have_them_in_the_share_that_the_recipe_says(scenes):
    """Where they do, landmarks differ from the same faces with measured noise."""
    measured = LandmarkNoise.load().select(landmarks.INNER_51)
    found = {}
    for fraction in (0.0, 0.5, 1.0):
        config = SynthesisConfig.lifelike(detector_fraction=fraction)
        rng = PhiloxStreams(8, range(40))
        found[fraction], _ = online_batch_and_exact(scenes, config, rng, measured, size=32)
    sigma = {fraction: np.asarray(batch.sigma_px) for fraction, batch in found.items()}
    same = np.isclose(sigma[0.5], sigma[0.0], rtol=1e-3)
    assert 8 < same.sum() < 32
    np.testing.assert_allclose(sigma[0.5][~same], sigma[1.0][~same], rtol=1e-3)
    about = LANDMARK_NOISE_MM * camera.CROP_SCALE * 32 / camera.CROP_SIZE
    np.testing.assert_allclose(sigma[1.0], about, rtol=0.4)
