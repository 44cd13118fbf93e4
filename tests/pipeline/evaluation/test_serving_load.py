"""Load on a server: counting, and the page that is written of it."""

import threading

import grpc
import numpy as np
import pytest

from pipeline.evaluation.bench_serving import as_page
from pipeline.evaluation.serving_load import Step, load, make_face


class Refusal(grpc.RpcError):
    def code(self):
        return grpc.StatusCode.UNAVAILABLE


def test_answers_and_refusals_are_counted():
    lock, sent = threading.Lock(), []

    def send():
        with lock:
            sent.append(threading.get_ident())
            number = len(sent)
        if number % 2:
            raise Refusal

    step = load(send, clients=3, seconds=0.1)
    assert len(set(sent)) == 3 and step.clients == 3
    assert step.errors == {"UNAVAILABLE": (len(sent) + 1) // 2}
    assert len(step.latencies_ms) == len(sent) // 2
    assert step.per_second == pytest.approx(len(step.latencies_ms) / step.seconds)


def test_the_page_says_what_was_reached():
    step = Step(2, 2.0, [100.0] * 9 + [300.0], {"UNAVAILABLE": 3}, 512.0)
    page = as_page({1: 4.0, 8: 10.0}, {"With": [step]}, after=9.0, size=64, seconds=2, busy=0.5)
    assert "| 2 | 5.0 | 100 | 210 | 282 | 3 UNAVAILABLE | 512 |" in page
    assert "once more, after all else: 9.0 faces/s" in page
    assert "Best: 50 % of the best without a server." in page


def test_the_face_lies_in_the_image():
    image, landmarks = make_face(256)
    assert image.shape == (1, 256, 256, 3) and image.dtype == np.uint8
    assert landmarks.shape == (1, 478, 2) and landmarks.dtype == np.float32
    assert landmarks.min() > 0 and landmarks.max() < 256
