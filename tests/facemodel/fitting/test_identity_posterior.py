"""Identity from many frames: one after the other as all at once."""

import numpy as np
import pytest

from facemodel.fitting.identity_posterior import (
    LEAST_WEIGHT,
    SHARED_SD,
    IdentityPosterior,
    frame_weight,
    posterior_of,
)


def test_one_by_one_is_all_at_once():
    rng = np.random.default_rng(0)
    identities, weights = rng.normal(size=(40, 12)), rng.uniform(0, 1, 40)
    posterior = IdentityPosterior.prior(12)
    for identity, weight in zip(identities, weights):
        posterior = posterior.updated(identity, weight)
    together = posterior_of(identities, weights)
    np.testing.assert_allclose(posterior.mean, together.mean, atol=1e-12)
    assert posterior.precision == pytest.approx(together.precision)


def test_it_is_the_mean_of_the_joint_gaussian():
    """Conditioning the joint normal distribution of truth and estimates gives the same."""
    from facemodel.fitting.identity_posterior import SINGLE_SD

    rng = np.random.default_rng(1)
    estimates, weights = rng.normal(size=5), rng.uniform(0.2, 1, 5)
    covariance = np.ones((5, 5)) + np.diag(SINGLE_SD**2 / weights)
    expected = np.ones(5) @ np.linalg.solve(covariance, estimates)
    assert posterior_of(estimates[:, None], weights).mean[0] == pytest.approx(expected)


def test_more_frames_are_surer_up_to_what_they_share():
    few = posterior_of(np.zeros((2, 3)), np.ones(2))
    many = posterior_of(np.zeros((2000, 3)), np.ones(2000))
    assert SHARED_SD < many.sd < few.sd < 1.0


def test_turned_and_blurred_frames_count_less():
    front = frame_weight(0.0, 0.0, 1.0)
    assert front == 1.0
    assert frame_weight(40.0, 0.0, 1.0) == pytest.approx(frame_weight(-40.0, 0.0, 1.0))
    assert LEAST_WEIGHT <= frame_weight(40.0, 0.0, 1.0) < frame_weight(15.0, 0.0, 1.0) < front
    assert frame_weight(0.0, 0.0, 0.3) == pytest.approx(0.3)
    assert frame_weight(89.0, 80.0, 0.0) == LEAST_WEIGHT
