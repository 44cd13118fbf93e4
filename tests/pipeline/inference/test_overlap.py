"""Steps that overlap: the order of results, errors, and what is begun."""

import threading
from contextlib import closing

import pytest

from pipeline.inference.overlap import Once, Step, in_order

PATIENCE_S = 30


def results(items, *steps, ahead=3):
    found = []
    with closing(in_order(items, steps, ahead=ahead)) as outcomes:
        for outcome in outcomes:
            try:
                found.append(outcome())
            except ValueError as error:
                found.append(error)
    return found


def test_results_come_in_order_and_errors_in_their_place():
    def double(number):
        if number == 3:
            raise ValueError("three")
        return 2 * number

    def check(number):
        if number == 10:
            raise ValueError("ten")
        return number

    found = results(range(7), Step(double), Step(check, threads=2))
    assert [str(item) for item in found] == ["0", "2", "4", "three", "8", "ten", "12"]


def test_steps_work_at_the_same_time():
    """The first step of the second item and the last one of the first meet at a barrier."""
    barrier = threading.Barrier(2, timeout=PATIENCE_S)

    def first(item):
        if item == "b":
            barrier.wait()
        return item

    def last(item):
        if item == "a":
            barrier.wait()
        return item

    assert results("ab", Step(first), Step(last)) == ["a", "b"]


def test_no_more_items_are_begun_than_may_wait():
    begun = []
    outcomes = in_order(range(100), [Step(begun.append)], ahead=3)
    next(outcomes)()
    next(outcomes)()
    outcomes.close()
    assert 2 <= len(begun) <= 4


def test_what_runs_once_gives_all_threads_the_same():
    calls = []

    def fail():
        calls.append(1)
        raise ValueError("once")

    once = Once(fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="once"):
            once()
    assert len(calls) == 1
