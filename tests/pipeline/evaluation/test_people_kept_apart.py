"""Counting who was kept apart, on answers whose faults are known."""

import types

import numpy as np

from pipeline.evaluation.people import CUT, FRAMES, GONE, HALF_PX, count, places


def record(number, names):
    """What a tracker says that calls person p names[p]."""
    faces = []
    for half, who in enumerate(places(number)):
        if who is not None and names[who] is not None:
            middle = np.full((478, 2), HALF_PX * (half + 0.5))
            faces.append(types.SimpleNamespace(person=names[who], landmarks=middle))
    return types.SimpleNamespace(faces=faces)


def test_a_tracker_without_faults():
    records = [record(number, (0, 1)) for number in range(FRAMES)]
    for person in (0, 1):
        found = count(records, person)
        there = FRAMES - person * len(GONE)
        assert (found.there, found.found, found.right) == (there, there, there)
        assert found.back_after == 0 and found.recognized


def test_switches_gaps_and_strangers_are_counted():
    records = [record(number, (1, 0) if number in (5, 6) else (0, 1)) for number in range(CUT)]
    records += [record(number, (0, 2)) for number in range(CUT, FRAMES)]
    for number in range(GONE.stop, GONE.stop + 4):
        records[number] = record(number, (0, None))
    first, second = count(records, 0), count(records, 1)
    assert first.found - first.right == 2 and first.recognized
    assert second.there - second.found == 4 and second.back_after == 4
    assert not second.recognized and second.found - second.right == 2 + FRAMES - CUT
