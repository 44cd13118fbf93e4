"""One object of native threads: threads take turns, and a forked child is told that it may not."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.native import ForkError, OneCaller


def test_threads_take_turns():
    turn, gather = OneCaller("Thing"), threading.Barrier(4)
    inside, most = 0, 0

    def call(_):
        nonlocal inside, most
        gather.wait()
        for _ in range(200):
            with turn:
                inside += 1
                most = max(most, inside)
                inside -= 1

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(call, range(4)))
    assert (most, inside) == (1, 0)


def exit_code_of_child(function):
    """Runs a function in a forked child; 1 if it raised ForkError, 0 if it returned."""
    child = os.fork()
    if child == 0:
        try:
            function()
        except ForkError:
            os._exit(1)
        except BaseException:
            os._exit(2)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_forked_child_is_told_even_while_a_thread_has_the_turn():
    turn = OneCaller("Thing")
    with turn:
        assert exit_code_of_child(turn.__enter__) == 1
    assert exit_code_of_child(OneCaller("Thing").__enter__) == 1
    assert exit_code_of_child(lambda: OneCaller("Thing").__enter__()) == 0


def test_the_error_says_what_to_do(monkeypatch):
    turn = OneCaller("Thing")
    monkeypatch.setattr(os, "getpid", lambda: 7)
    with pytest.raises(ForkError, match=r"Thing .* before 7 was forked .* one in each worker"):
        turn.__enter__()
