"""Load on a server: counting, rounds, and the page that is written of it."""

import threading
import time

import numpy as np
import pytest

from pipeline.evaluation.serving_load import CODE_OK, Row, Step, arrivals, load
from pipeline.evaluation.serving_page import Report, as_page
from pipeline.evaluation.serving_requests import make_face


def test_answers_and_refusals_are_counted():
    lock, sent = threading.Lock(), []

    def send():
        with lock:
            sent.append(threading.get_ident())
            return "UNAVAILABLE" if len(sent) % 2 else CODE_OK

    step = load(send, clients=3, seconds=0.1, faces=4)
    assert len(set(sent)) == 3 and step.clients == 3
    assert step.errors == {"UNAVAILABLE": (len(sent) + 1) // 2}
    assert len(step.latencies_ms) == len(sent) // 2
    assert step.per_second == pytest.approx(4 * len(step.latencies_ms) / step.seconds)


def test_requests_at_their_own_times_do_not_wait_for_answers():
    open_now, most, lock = 0, 0, threading.Lock()

    def send():
        nonlocal open_now, most
        with lock:
            open_now += 1
            most = max(most, open_now)
        time.sleep(0.05)
        with lock:
            open_now -= 1
        return CODE_OK

    step = arrivals(send, per_second=200, seconds=0.2, seed=1)
    assert len(step.latencies_ms) == 40 and step.latencies_ms[0] >= 50
    assert most > 1
    even = arrivals(send, per_second=100, seconds=0.1, random=False)
    assert len(even.latencies_ms) == 10 and even.seconds >= 0.15


def test_what_a_request_raises_ends_the_measurement():
    def send():
        raise KeyError("answer")

    with pytest.raises(KeyError, match="answer"):
        arrivals(send, per_second=1000, seconds=0.05)
    with pytest.raises(KeyError, match="answer"):
        load(send, clients=2, seconds=60)


def test_rounds_are_put_together():
    row = Row(
        [
            Step(1, 1.0, [10.0] * 4, {}, cpu_s=0.2, rss_mib=7),
            Step(1, 1.0, [20.0] * 8, {"X": 1}, cpu_s=0.4, client_cpu_s=0.12, rss_mib=8),
            Step(1, 1.0, [10.0] * 5, {"X": 2}, rss_mib=9),
        ]
    )
    assert row.per_second == 5.0
    together = row.together
    assert (together.percentile_ms(50), together.errors) == (10.0, {"X": 3})
    assert together.cpu_ms == pytest.approx((600 / 17, 120 / 17)) and together.rss_mib == 9


def test_the_page_says_what_was_reached():
    def rate(clients, value, latency, **more):
        return Row([Step(clients, 1.0, [latency] * value, {}, **more)])

    rows = {
        ("", 1, 1): rate(1, 8, 100.0),
        ("", 1, 8): rate(1, 2, 800.0, faces=5),
        ("", 2, 8): rate(2, 2, 800.0, faces=10),
        ("plain", 1, 1): rate(1, 7, 103.0),
        ("batched", 1, 1): rate(1, 6, 104.0),
        ("batched", 8, 1): rate(8, 9, 900.0, cpu_s=0.9, client_cpu_s=0.018, rss_mib=512),
    }
    arriving = Step(0, 2.0, [100.0] * 9 + [300.0], {"UNAVAILABLE": 3})
    report = Report(rows, {"even": arriving}, 7.2, 0.5, "batched")
    page = as_page(report, size=64, seconds=2, rounds=1, parameters="max {}\n")
    assert "| 8 | 9.0 | 900 | 900 | 900 | 0 | 100.0 | 2.0 | 512 |" in page
    assert "| even | 5.0 | 100 | 210 | 282 | 3 UNAVAILABLE |" in page
    assert "best rate (one caller) | 90 % |" in page and "(even) | 2.8 x |" in page
    assert "3.0 and 4.0 (without, with batching)" in page
    assert "Best: 90 % of the best without a server and with one caller, 45 % of the best" in page


def test_the_face_lies_in_the_image():
    image, landmarks = make_face(256)
    assert image.shape == (1, 256, 256, 3) and image.dtype == np.uint8
    assert landmarks.shape == (1, 478, 2) and landmarks.dtype == np.float32
    assert landmarks.min() > 0 and landmarks.max() < 256
