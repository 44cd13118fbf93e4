"""The soak: what it calls growth, what it calls wrong, and a short one on a real server."""

import dataclasses
import os
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
import numpy as np
import psutil
import pytest

from pipeline.evaluation import soak_traffic
from pipeline.evaluation.serving_processes import Server
from pipeline.evaluation.serving_requests import PREDICT
from pipeline.evaluation.soak import Sample, problems, report, soak, unanswered
from pipeline.evaluation.soak_traffic import SORTS, Traffic, Truth
from pipeline.evaluation.soak_versions import Changes

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


def test_two_versions_at_a_time_are_no_growth():
    """A part of the samples is taken while a new version is loaded beside the old one."""
    both = [dataclasses.replace(one, rss_mib=180.0) for one in samples()]
    pairs = list(zip(samples(), both, strict=True))
    mixed = [pair[number % 3 == 0] for number, pair in enumerate(pairs)]
    assert problems(mixed, **LIMITS) == []
    freed = [dataclasses.replace(one, rss_mib=min(one.rss_mib, 60.0)) for one in mixed[-2:]]
    assert problems([*mixed[:-2], *freed], **LIMITS) == []
    [line] = problems([*samples()[:10], *both[10:]], **LIMITS)
    assert line.startswith("memory: 180")


def test_too_short_a_run_is_a_problem():
    [line] = problems(samples()[:3], reference_s=20, window_s=1, growth=0.05)
    assert line.startswith("no samples")


def test_an_answer_is_that_of_its_version():
    truth = Truth(np.zeros(2), np.zeros(2), np.array([[[0.0], [1.0]], [[2.0], [3.0]]]))
    assert truth.fits(1, np.array([1.0])) and truth.fits(1, np.array([3.0]), 7)
    assert not truth.fits(1, np.array([1.0]), 7) and not truth.fits(0, np.array([3.0]))


def test_an_answer_of_another_shape_is_none():
    truth = Truth(np.zeros(2), np.zeros(2), np.zeros((2, 2, 3)))
    assert truth.fits(1, np.zeros(3))
    assert not any(truth.fits(1, np.zeros(shape)) for shape in ((), (1,), (4,), (1, 3)))


def test_what_never_worked_is_a_problem():
    seen = {("good", "OK"): 3, ("rest_good", "200"): 1, ("good", "UNAVAILABLE"): 5}
    assert unanswered(seen, {1, 2, 4}, 4) == []
    assert unanswered(seen, {1, 2}, 4) == ["versions: 2 of 4 gave right answers"]
    refused = {("good", "UNAVAILABLE"): 5, ("rest_good", "503"): 5}
    lines = unanswered(refused, set(), 1)
    assert lines == ["good: not one was answered", "rest_good: not one was answered"]


@pytest.fixture
def garbage():
    """Address of a server whose answers have OK, and nothing in them."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    answer = grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"")
    handlers = {PREDICT.rpartition("/")[2]: answer}
    service = PREDICT.split("/")[1]
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


def test_an_answer_that_cannot_be_read_is_wrong(garbage, monkeypatch):
    monkeypatch.setattr(soak_traffic, "SORTS", {"good": 1.0})
    images, points = np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 478, 2), np.float32)
    traffic = Traffic(garbage, "127.0.0.1:9", Truth(images, points, np.zeros((2, 1, 8))))
    try:
        traffic.send(0)
    finally:
        traffic.close()
    assert len(traffic.wrong) == 1 and sum(traffic.seen.values()) == 1 and not traffic.versions


def wait_until(condition, seconds=60.0):
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_the_next_version_waits_until_one_has_answered(tmp_path):
    (tmp_path / "kind").mkdir()
    (tmp_path / "versions").mkdir()
    asked, answering = [], threading.Event()

    def answered(number):
        asked.append(number)
        return answering.is_set()

    kinds = [tmp_path / "kind"] * 2
    with Changes(tmp_path / "versions", kinds, seconds=0.5, answered=answered) as changes:
        wait_until(lambda: len(asked) >= 2)
        assert changes.number == 1  # the next would come by itself after three times 0.5 s
        answering.set()
        wait_until(lambda: changes.number >= 3)
        answering.clear()
        asked.clear()
        wait_until(lambda: len(asked) >= 2)
        last = changes.number
    assert changes.number == last  # none is added at the end that had no time to be loaded


def test_a_version_that_cannot_be_added_is_told(tmp_path):
    (tmp_path / "kind").mkdir()
    (tmp_path / "versions").mkdir()
    kinds = [tmp_path / "missing", tmp_path / "kind"]
    changes = Changes(tmp_path / "versions", kinds, seconds=0.001)
    with pytest.raises(FileNotFoundError, match="missing"), changes:
        changes._thread.join(60)


def test_a_server_that_was_killed_has_ended():
    """It is a zombie until it is waited for."""
    process = psutil.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    server = Server(["serving x on 127.0.0.1:1"], process)
    assert not server.ended
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process.is_running() and server.ended


def test_every_sort_of_request_is_there():
    assert sum(SORTS.values()) == pytest.approx(1)
    assert all(callable(getattr(Traffic, f"_{name}")) for name in SORTS)


@pytest.mark.slow
@pytest.mark.serving
def test_a_server_bears_it_for_a_while():
    # Too short to judge memory and threads by: a version is loaded for the first time in it, and
    # the servers' pools of threads still fill.
    done = soak(minutes=0.4, change_s=10, growth=1.0)
    assert [line for line in done.problems if "threads: " not in line] == [], report(done)
    assert {1, 2} <= done.traffic.versions
    outcomes = {outcome for _, outcome in done.traffic.seen}
    assert {"OK", "200", "400", "413", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"} <= outcomes
    assert {sort for sort, _ in done.traffic.seen} == set(SORTS)
