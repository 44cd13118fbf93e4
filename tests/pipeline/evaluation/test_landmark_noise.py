"""The noise of detected landmarks: drawn as described, fitted back from draws, summarised right."""

import numpy as np
import pytest

from facemodel.morphable import landmarks
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.synthesis.detector import sample_landmark_noise
from facemodel.synthesis.streams import PhiloxStreams
from pipeline.evaluation import landmark_noise

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def known():
    """Landmarks that share a shift and a change of size, and err on their own besides."""
    places = RNG.normal(size=(478, 2)) * 40
    shared = np.stack([np.tile([1.5, 0.0], (478, 1)), 0.03 * (places - places.mean(0))], -1)
    return LandmarkNoise(
        mean=RNG.normal(size=(478, 2)).astype(np.float32),
        factor=shared.astype(np.float32),
        rest_sd=np.full((478, 2), 0.8, np.float32),
    ), places


def drawn(known, count=400):
    return np.asarray(sample_landmark_noise(known, PhiloxStreams(1, range(count))))


def spread_of(noise):
    """[51, 2] standard deviations of the inner landmarks."""
    inner = noise.select(landmarks.INNER_51)
    return inner._replace(mean=0 * inner.mean).landmark_sigma_mm


def test_draws_have_the_described_covariance(known):
    noise, _ = known
    errors = drawn(noise)
    np.testing.assert_allclose(errors.mean(0), noise.mean, atol=0.5)
    flat = (errors - noise.mean).reshape(len(errors), -1)
    factor = noise.factor.reshape(-1, 2)
    expected = factor @ factor.T + np.diag(noise.rest_sd.ravel() ** 2)
    assert np.abs(flat.T @ flat / len(flat) - expected).mean() < 0.15
    np.testing.assert_allclose(noise.sigma_mm, np.sqrt((errors**2).mean()), rtol=0.05)


def test_fit_finds_the_distribution_again_despite_failures(known):
    noise, places = known
    errors = drawn(noise)
    errors = errors.copy()
    errors[::20] = np.nan
    errors[1::20] += 300
    residuals = landmark_noise.Residuals(errors, np.tile(places, (400, 1, 1)), np.zeros(400, int))
    assert residuals.detected.sum() == 360
    fitted = landmark_noise.fit(residuals)
    np.testing.assert_allclose(fitted.mean, noise.mean, atol=0.6)
    np.testing.assert_allclose(fitted.sigma_mm, noise.sigma_mm, rtol=0.08)
    strongest = (fitted.factor.astype(float) ** 2).sum((0, 1))
    assert strongest[:2].sum() > 0.8 * strongest.sum()
    summary = landmark_noise.summarise(residuals)[0]
    assert summary.detected == 360
    np.testing.assert_allclose(summary.shift[0], 1.5, rtol=0.15)
    np.testing.assert_allclose(summary.scale_percent, 3.0, rtol=0.15)
    np.testing.assert_allclose(summary.sd_aligned, 0.8, rtol=0.1)
    brows = landmark_noise.summarize_parts(residuals)[0]
    np.testing.assert_allclose(brows.sd, spread_of(noise)[:10].mean(0), rtol=0.25)
    assert "| all | 400 | 90 % |" in landmark_noise.as_markdown(residuals)


def test_files_and_selections_round_trip(tmp_path, known):
    noise, _ = known
    noise.save(tmp_path / "noise.npz")
    loaded = LandmarkNoise.load(tmp_path / "noise.npz").select(landmarks.INNER_51)
    for array, original in zip(loaded, noise):
        np.testing.assert_array_equal(array, original[list(landmarks.INNER_51)])


def test_the_shipped_noise_is_plausible():
    noise = LandmarkNoise.load()
    assert noise.mean.shape == noise.rest_sd.shape == (478, 2)
    assert 0.8 < noise.select(landmarks.INNER_51).sigma_mm < 5.0


def test_isotropic_noise_has_one_strength():
    errors = drawn(LandmarkNoise.isotropic(2.0), count=40)
    np.testing.assert_allclose(errors.std(), 2.0, rtol=0.02)
