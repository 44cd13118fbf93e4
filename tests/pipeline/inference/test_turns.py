"""Photos that may not be worked on at once."""

import pathlib
import threading

import pytest

from pipeline.inference.photo_files import Photo
from pipeline.inference.turns import LARGE_BYTES, StoppedError, Turns


def photo(place):
    return Photo(pathlib.Path("in", place), pathlib.PurePath(place))


def waits(turn):
    """Whether somebody waits for a turn until it is given up; enters it in another thread."""
    entered = threading.Event()

    def enter():
        with turn:
            entered.set()

    thread = threading.Thread(target=enter)
    thread.start()
    waited = not entered.wait(0.3)
    return waited, thread


def test_photos_that_may_take_the_same_name_take_turns():
    first, second, third = photo("a/b.jpg"), photo("a_b.jpg"), photo("c.jpg")
    with Turns([first, second, third]) as turns:
        with turns.of_name(first):
            waited, thread = waits(turns.of_name(second))
            assert waited
            with turns.of_name(third):
                pass
        thread.join(30)
        assert not thread.is_alive()


def test_large_photos_take_turns_and_small_ones_do_not():
    with Turns([]) as turns, turns.of_size(LARGE_BYTES + 1), turns.of_size(LARGE_BYTES):
        waited, thread = waits(turns.of_size(LARGE_BYTES + 1))
        assert waited
    thread.join(30)
    assert not thread.is_alive()


def test_who_waits_when_the_run_ends_is_stopped():
    one, other = photo("x.jpg"), photo("x.png")
    turns = Turns([one, other])
    with turns.of_name(one):
        with turns:
            pass
        with pytest.raises(StoppedError), turns.of_name(other):
            pass
