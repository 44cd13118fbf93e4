"""The smoother: no lag, the answer of another method, little jitter, blinks that stay."""

import numpy as np
import pytest

from serving.tracking.smoothing import OneEuro, smooth, solve


def lag_of(smoothed, truth):
    """By how many frames a signal comes later, to a twentieth, at its best correlation."""
    frames = np.arange(len(truth))
    shifts = np.arange(-3, 3.01, 0.05)
    inner = slice(5, -5)
    moved = [np.interp(frames - shift, frames, truth)[inner] for shift in shifts]
    return shifts[np.argmax([np.corrcoef(smoothed[inner], other)[0, 1] for other in moved])]


@pytest.mark.parametrize("order", [2, 3])
def test_it_minimises_what_it_says(order):
    """The dense normal equations, made another way, have the same solution and determinant."""
    rng = np.random.default_rng(0)
    values, valid = rng.normal(size=30), rng.random(30) < 0.8
    stiffness = rng.uniform(0.5, 20, 30 - order)
    bend = np.diff(np.eye(30), order, axis=0)
    matrix = np.diag(valid + 1e-9) + bend.T @ np.diag(stiffness) @ bend
    found, log_determinant = solve(values, valid, stiffness)
    np.testing.assert_allclose(found, np.linalg.solve(matrix, valid * values), atol=1e-8)
    assert log_determinant == pytest.approx(np.linalg.slogdet(matrix)[1])


def test_it_is_the_smoother_of_a_kalman_filter():
    """Second differences that are white: the covariance of such a path gives the same mean."""
    rng = np.random.default_rng(1)
    count, strength = 25, 7.0
    values = rng.normal(size=count).cumsum()
    position = np.tril(np.maximum(np.subtract.outer(np.arange(count), np.arange(count)), 0.0))
    start = np.stack([np.ones(count), np.arange(count)], 1) * 1e4
    covariance = position @ position.T / strength + start @ start.T
    posterior = covariance @ np.linalg.solve(covariance + np.eye(count), values)
    found, _ = solve(values, np.ones(count, bool), np.full(count - 2, strength))
    np.testing.assert_allclose(found, posterior, atol=2e-3)


def test_a_chirp_and_a_step_do_not_lag():
    rng = np.random.default_rng(2)
    time = np.arange(200) / 25
    chirp = np.sin(2 * np.pi * (0.2 + 0.12 * time) * time)
    step = np.where(time > 4, 1.0, 0.0)
    noisy = np.stack([chirp, step], 1) + rng.normal(0, 0.03, (200, 2))
    smoothed = smooth(noisy, np.ones(200, bool), order=3)
    assert abs(lag_of(smoothed[:, 0], chirp)) <= 0.1
    above = np.flatnonzero(smoothed[:, 1] > 0.5)
    assert above[0] == np.flatnonzero(step > 0.5)[0]
    np.testing.assert_allclose(smoothed[::-1], smooth(noisy[::-1], np.ones(200, bool), order=3),
                               atol=1e-5)  # fmt: skip


def test_noise_goes_and_a_blink_stays():
    rng = np.random.default_rng(3)
    truth = np.zeros(150)
    truth[70:76] = [0.5, 1.0, 1.0, 0.8, 0.5, 0.2]
    noisy = truth + rng.normal(0, 0.05, 150)
    smoothed = smooth(noisy[:, None], np.ones(150, bool), order=3)[:, 0]
    still = np.r_[10:60, 90:140]
    assert np.diff(smoothed[still], 2).std() < 0.15 * np.diff(noisy[still], 2).std()
    assert smoothed[70:76].max() > 0.85
    assert abs(np.argmax(smoothed) - 71.5) <= 1


def test_gaps_are_filled_on_the_way_between():
    values = np.arange(40.0)[:, None]
    valid = np.ones(40, bool)
    valid[15:22] = False
    found = smooth(np.where(valid[:, None], values, np.nan), valid)
    np.testing.assert_allclose(found, values, atol=1e-3)


def test_one_euro_is_causal_and_lags_little():
    rng = np.random.default_rng(4)
    time = np.arange(150) / 25
    truth = 2.0 * np.clip(time - 3, 0, 0.4)
    noisy = truth + rng.normal(0, 0.01, 150)

    def run(values):
        euro = OneEuro(min_cutoff_hz=1.5, beta=20.0)
        return np.array([euro.step(np.array([value]), 0.04)[0] for value in values])

    found = run(noisy)
    np.testing.assert_array_equal(run(noisy[:80]), found[:80])
    assert np.diff(found[:70], 2).std() < 0.5 * np.diff(noisy[:70], 2).std()
    assert 0 <= lag_of(found, truth) <= 2.0
