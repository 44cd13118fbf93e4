"""Following people: a face that is lost and found, a stranger, a cut, a run that resumes."""

import numpy as np
import pytest

from serving.detection.detector import DetectedFace
from serving.tracking.tracker import Tracker

SHAPE = np.random.default_rng(0).uniform(-40, 40, (478, 2))
IDENTITIES = {0: np.zeros(4), 1: np.array([5.0, 0.0, 0.0, 0.0])}


class Stage:
    """Where people are in each frame; stands for pictures, detector and network at once."""

    identity_count, identity_metric = 3, np.eye(3)

    def __init__(self, places):
        self.places, self.searches = places, 0

    def frame(self, number):
        """A picture that tells its number; a cut is a wholly other picture."""
        image = np.zeros((64, 64, 3), np.uint8)
        image[0, 0] = (*divmod(number, 256), 0)
        if number >= self.places.get("cut", 10**6):
            image[8:] = 220
        return image

    def faces(self, image):
        number = int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])
        found = []
        for person, place in self.places.items():
            if person != "cut" and (x := place(number)) is not None:
                found.append(DetectedFace(np.float32(SHAPE + np.array([x, 200])), 0.9))
        return found

    def detect(self, image):
        self.searches += 1
        return self.faces(image)

    def follow(self, image, face):
        near = [f for f in self.faces(image) if abs(f.landmarks - face.landmarks).mean() < 30]
        return near[0] if near else None

    def first(self, image, found):
        who = min(
            (person for person in self.places if person != "cut"),
            key=lambda person: abs(self._x(person, image) - found.landmarks[:, 0].mean()),
        )
        return np.append(IDENTITIES[who], 0.0).astype(np.float32)[:4]

    def _x(self, person, image):
        place = self.places[person](int(image[0, 0, 0]) * 256 + int(image[0, 0, 1]))
        return 1e6 if place is None else place + SHAPE[:, 0].mean()

    def next(self, image, found, identity):
        return self.first(image, found)

    def known(self, found, identity):
        return np.append(identity, 7.0)

    def angles_deg(self, found, coefficients):
        return 0.0, 0.0, 0.0

    def sharpness(self, image, found):
        return 1.0


def run(stage, count, tracker=None, first=0):
    tracker = tracker or Tracker(stage, stage)
    return [tracker.step(number, stage.frame(number)) for number in range(first, count)]


def people(records):
    return [[face.person for face in record.faces] for record in records]


def test_one_face_is_followed_without_searching_all_of_each_frame():
    stage = Stage({0: lambda n: 100 + 3 * n})
    assert people(run(stage, 40)) == [[0]] * 40
    assert stage.searches == 2


@pytest.mark.parametrize("gap", [6, 40])
def test_a_face_that_is_lost_is_found_again(gap):
    stage = Stage({0: lambda n: None if 10 <= n < 10 + gap else 100 + n})
    found = people(run(stage, 60))
    assert found[:10] == [[0]] * 10 and found[10] == []
    back = next(n for n in range(10, 60) if found[n])
    assert back <= 10 + gap + 2
    assert found[back:] == [[0]] * (60 - back)


def test_a_stranger_is_somebody_else():
    stage = Stage({0: lambda n: 100, 1: lambda n: 400 if n >= 5 else None})
    found = people(run(stage, 40))
    assert found[4] == [0] and sorted(found[39]) == [0, 1]


def test_after_a_cut_people_are_known_by_their_identity():
    stage = Stage(
        {"cut": 20, 0: lambda n: 100 if n < 20 else 400, 1: lambda n: 400 if n < 20 else 100}
    )
    records = run(stage, 40)
    assert [record.number for record in records if record.cut] == [20]
    for record in (records[10], records[30]):
        for face in record.faces:
            assert abs(face.coefficients[0] - IDENTITIES[face.person][0]) < 1e-6


def test_who_comes_back_is_found_soon():
    stage = Stage({0: lambda n: 100, 1: lambda n: 400 if n < 10 or n >= 50 else None})
    records = run(stage, 70)
    back = min(k for k, names in enumerate(people(records)) if k >= 50 and 1 in names)
    assert back < 58 and sorted(people(records)[back]) == [0, 1]


def test_at_most_so_many_people():
    stage = Stage({0: lambda n: 100, 1: lambda n: 400})
    records = run(stage, 12, Tracker(stage, stage, max_people=1))
    assert all(len(record.faces) == 1 for record in records)


def test_a_run_that_resumes_goes_on_as_if_it_had_not_stopped():
    stage = Stage({0: lambda n: 100 + n, 1: lambda n: 400 - n if n % 20 > 3 else None})
    whole = run(stage, 60)
    again = Tracker(stage, stage)
    for record in whole[:32]:
        again.restore(record)
    again.watch(stage.frame(31))
    rest = run(stage, 60, again, first=32)
    assert people(rest)[4:] == people(whole[32:])[4:]


def test_the_network_may_look_now_and_then_only():
    """Then landmarks say the expression, and only what the network saw counts for identity."""
    stage = Stage({1: lambda n: 100 + 2 * n})
    seen = []
    stage.next = lambda image, found, identity: seen.append(1) or stage.first(image, found)
    records = run(stage, 13, Tracker(stage, stage, network_every=4))
    faces = [record.faces[0] for record in records]
    assert len(seen) == 3
    assert [number for number, face in enumerate(faces) if face.weight > 0] == [0, 4, 8, 12]
    assert all(face.coefficients[-1] == 7.0 for face in faces[1:])
    known = [face.coefficients[0] for face in faces]
    assert known[1] == known[3] != known[5] and known[5] == known[7]
