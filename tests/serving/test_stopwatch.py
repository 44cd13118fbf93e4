"""Times of parts, also in several threads and when a part ends by an error."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.stopwatch import Stopwatch, unmeasured


def test_every_run_of_a_part_counts():
    stopwatch = Stopwatch()

    def work(number):
        with stopwatch.stage("outer"), stopwatch.stage("inner"):
            return number

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(work, range(40))) == list(range(40))
    with pytest.raises(KeyError), stopwatch.stage("inner"):
        raise KeyError
    assert {name: len(times) for name, times in stopwatch.seconds.items()} == {
        "inner": 41,
        "outer": 40,
    }
    assert all(time >= 0 for times in stopwatch.seconds.values() for time in times)


def test_unmeasured_lets_errors_pass():
    with pytest.raises(KeyError), unmeasured("part"):
        raise KeyError
