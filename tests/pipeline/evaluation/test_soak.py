"""The soak: what it calls growth, what it calls wrong, and a short one on a real server."""

import numpy as np
import pytest

from pipeline.evaluation.soak import Sample, problems, report, soak
from pipeline.evaluation.soak_traffic import SORTS, Traffic, Truth

LIMITS = {"reference_s": 10, "window_s": 3, "growth": 0.05}


def samples(**last):
    steady = {"rss_mib": 100.0, "threads": 20, "files": 30}
    return [Sample(float(s), **{**steady, **(last if s > 25 else {})}) for s in range(1, 31)]


def test_what_stays_the_same_is_no_problem():
    assert problems(samples(), **LIMITS) == []
    assert problems(samples(rss_mib=104.0, threads=25, files=36), **LIMITS) == []


@pytest.mark.parametrize(
    ("last", "word"),
    [({"rss_mib": 106.0}, "memory: 106"), ({"threads": 29}, "threads: 29"), ({"files": 50}, "fil")],
)
def test_growth_is_a_problem(last, word):
    [line] = problems(samples(**last), **LIMITS)
    assert line.startswith(word)


def test_too_short_a_run_is_a_problem():
    [line] = problems(samples()[:3], reference_s=20, window_s=1, growth=0.05)
    assert line.startswith("no samples")


def test_an_answer_is_that_of_its_version():
    truth = Truth(np.zeros(2), np.zeros(2), np.array([[[0.0], [1.0]], [[2.0], [3.0]]]))
    assert truth.fits(1, np.array([1.0])) and truth.fits(1, np.array([3.0]), 7)
    assert not truth.fits(1, np.array([1.0]), 7) and not truth.fits(0, np.array([3.0]))


def test_every_sort_of_request_is_there():
    assert sum(SORTS.values()) == pytest.approx(1)
    assert all(callable(getattr(Traffic, f"_{name}")) for name in SORTS)


@pytest.mark.slow
@pytest.mark.serving
def test_a_server_bears_it_for_a_while():
    # Too short to judge the memory by: a version is loaded for the first time in it.
    done = soak(minutes=0.4, change_s=10, growth=1.0)
    assert done.problems == [], report(done)
    outcomes = {outcome for _, outcome in done.traffic.seen}
    assert {"OK", "200", "400", "413", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"} <= outcomes
    assert {sort for sort, _ in done.traffic.seen} == set(SORTS)
