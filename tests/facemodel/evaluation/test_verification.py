"""Distances between shapes tell persons apart; errors of landmarks are normalised."""

import numpy as np
import pytest

from facemodel.evaluation import landmark_errors
from facemodel.evaluation.verification import (
    nearest_is_same,
    pair_angles,
    pair_distances_mm,
    separation,
)


def test_auc_is_the_share_of_pairs_in_the_right_order():
    rng = np.random.default_rng(0)
    distances = rng.integers(0, 12, 60).astype(float)
    same = rng.random(60) < 0.4
    right = distances[same][:, None] < distances[~same]
    tied = distances[same][:, None] == distances[~same]
    found = separation(distances, same)
    assert found.auc == pytest.approx((right + 0.5 * tied).mean())
    assert found.ratio == pytest.approx(distances[same].mean() / distances[~same].mean())
    assert (found.same_pairs, found.other_pairs) == (same.sum(), (~same).sum())


@pytest.mark.parametrize("same", [[True, True], [False, False]])
def test_both_kinds_of_pairs_are_needed(same):
    with pytest.raises(ValueError, match="pairs of one person and of two"):
        separation(np.array([1.0, 2.0]), np.array(same))


def test_distances_of_shapes_know_neither_place_nor_size():
    rng = np.random.default_rng(1)
    shape, other = rng.normal(size=(2, 30, 3))
    distances = pair_distances_mm(np.stack([shape, shape + 5, other]))
    assert distances[0, 1] == pytest.approx(0, abs=1e-9)
    assert distances[0, 2] == pytest.approx(distances[1, 2])
    np.testing.assert_allclose(distances, distances.T)


def test_angles_know_no_length():
    angles = pair_angles(np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 2.0], [-1.0, 0.0]]))
    np.testing.assert_allclose(angles[0], [0, 0, 1, 2], atol=1e-12)


def test_nearest_counts_only_persons_with_several_photos():
    places = np.array([0.0, 1.0, 10.0, 10.5, 2.0])
    distances = np.abs(places[:, None] - places)
    assert nearest_is_same(distances, np.array(["a", "a", "b", "b", "c"])) == 1.0
    assert nearest_is_same(distances, np.array(["a", "b", "a", "b", "c"])) == 0.0


def test_errors_are_normalised_as_each_data_set_does():
    truth = np.zeros((68, 2))
    truth[36], truth[45], truth[8] = (100, 100), (160, 180), (0, 250)
    assert landmark_errors.inter_ocular(truth) == pytest.approx(100)
    assert landmark_errors.box_size(truth) == pytest.approx(np.sqrt(160 * 250))
    assert landmark_errors.mean_error(truth + np.array([3, 4]), truth) == pytest.approx(5)


def test_faces_that_were_not_found_are_failures():
    found = landmark_errors.summarise(np.array([0.04, 0.02, 0.1, np.inf]))
    assert found.faces == 3
    assert found.mean == pytest.approx(0.16 / 3)
    assert found.failures == 0.5
    assert found.auc == pytest.approx((0.5 + 0.75) / 4)
