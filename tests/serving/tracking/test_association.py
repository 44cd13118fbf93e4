"""Who is who: faces that cross, somebody new, somebody who comes back, one face found twice."""

import numpy as np

from serving.tracking.association import Known, Seen, assign, without_copies

METRIC = np.eye(3)
ANNA, BERT = np.zeros(3), np.array([3.0, 2.0, 0.0])
SHAPE = np.random.default_rng(0).uniform(-50, 50, (51, 2))


def at(x):
    return SHAPE + np.array([x, 100.0])


def test_places_decide_where_identities_are_alike():
    known = [Known(at(100), ANNA), Known(at(300), ANNA)]
    assert assign(known, [Seen(at(295), ANNA), Seen(at(110), ANNA)], METRIC) == [1, 0]


def test_people_who_cross_keep_their_numbers():
    """They walk through each other; noise of a whole size of difference in places at the middle."""
    rng, known = np.random.default_rng(1), [Known(at(0), ANNA), Known(at(300), BERT)]
    for frame in range(31):
        places = (10.0 * frame, 300 - 10.0 * frame)
        seen = [
            Seen(at(place) + rng.normal(0, 1, 2), one + rng.normal(0, 0.3, 3))
            for place, one in zip(places, (ANNA, BERT))
        ]
        order = rng.permutation(2)
        chosen = assign(known, [seen[k] for k in order], METRIC)
        assert chosen == order.tolist()
        known = [Known(seen[0].landmarks, ANNA), Known(seen[1].landmarks, BERT)]


def test_somebody_new_is_new():
    chosen = assign([Known(at(100), ANNA)], [Seen(at(600), BERT), Seen(at(102), ANNA)], METRIC)
    assert chosen == [None, 0]
    assert assign([], [Seen(at(0), ANNA)], METRIC) == [None]
    assert assign([Known(at(0), ANNA)], [], METRIC) == []


def test_somebody_lost_is_known_again_elsewhere():
    lost = [Known(None, ANNA), Known(None, BERT)]
    assert assign(lost, [Seen(at(700), BERT + 0.4)], METRIC) == [1]
    assert assign(lost, [Seen(at(700), BERT + 9.0)], METRIC) == [None]


def test_of_two_searches_that_end_at_one_face_the_older_stays():
    landmarks = [at(100), at(104), at(400)]
    assert without_copies(landmarks, [3, 50, 1]) == [1, 2]
    assert without_copies([], []) == []
