"""Batches: how files set them, which requests share one, and that answers are never mixed up."""

import math
import random
import threading
import time

import grpc
import numpy as np
import pytest

from serving.server import batching
from serving.server.batch_queues import BatchQueues, Key
from serving.server.batching_parameters import BatchingParameters, read_batching_parameters
from serving.server.scheduler import Scheduler
from serving.server.status import ServingError
from serving.server.text_protos import ConfigFileError

CODE = grpc.StatusCode
KEY = Key("tiny", "serving_default", 1)


def rows(*values, width=3, dtype=np.float32):
    return {"x": np.repeat(np.array(values, dtype)[:, None], width, 1)}


def parameters(**changes):
    defaults = {"max_batch_size": 4, "max_enqueued_batches": 2, "num_batch_threads": 2}
    return BatchingParameters(**{**defaults, **changes})


def test_a_file_of_tensorflow_serving_is_read(tmp_path):
    file = tmp_path / "batching_parameters.txt"
    file.write_text(
        "max_batch_size { value: 16 }\nbatch_timeout_micros { value: 2000 }\n"
        "max_enqueued_batches { value: 100 }  # a comment\nnum_batch_threads { value: 3 }\n"
        'thread_pool_name { value: "batch" }\nallowed_batch_sizes: 4\nallowed_batch_sizes: 8\n'
        "enable_large_batch_splitting { value: true } max_execution_batch_size { value: 8 }\n"
    )
    assert read_batching_parameters(file) == BatchingParameters(
        max_batch_size=16,
        batch_timeout_micros=2000,
        max_enqueued_batches=100,
        num_batch_threads=3,
        allowed_batch_sizes=(4, 8),
        enable_large_batch_splitting=True,
        max_execution_batch_size=8,
    )
    file.write_text("")
    assert read_batching_parameters(file).max_batch_size == 1000


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_sizes { value: 1 }", 'no field named "max_batch_sizes"'),
        ("max_batch_size: 16", "1:17"),
        ("max_batch_size { value: 0 }", "max_batch_size should be at least 1, got 0"),
        ("batch_timeout_micros { value: -1 }", "batch_timeout_micros should be at least 0"),
        ("allowed_batch_sizes: 4", "last entry was 4; expected 1000"),
        ("allowed_batch_sizes: [8, 4]", "monotonically increasing"),
        ("pad_variable_length_inputs: true", "pad_variable_length_inputs is not offered"),
    ],
)
def test_files_that_cannot_be_followed_are_named(tmp_path, text, message):
    file = tmp_path / "parameters.txt"
    file.write_text(text)
    with pytest.raises(ConfigFileError) as caught:
        read_batching_parameters(file)
    assert str(caught.value).startswith(f"{file}: ") and message in str(caught.value)
    with pytest.raises(ConfigFileError, match="No such file"):
        read_batching_parameters(tmp_path / "missing")


@pytest.mark.parametrize(
    ("count", "room", "parts"),
    [(3, 4, [3]), (4, 4, [4]), (5, 4, [4, 1]), (5, 0, [4, 1]), (9, 1, [1, 4, 4]), (0, 4, [0])],
)
def test_large_requests_are_split_into_the_open_batch_and_whole_ones(count, room, parts):
    assert batching.part_sizes(count, room=room, most=4) == parts


def test_what_is_joined_comes_apart_again():
    requests = [rows(1, 2), rows(3), rows()]
    joined = batching.join([*requests[::-1]], padding=2)
    np.testing.assert_array_equal(joined["x"][:, 0], [3, 1, 2, 1, 1])
    parts = batching.divide_outputs(joined, [0, 1, 2], padding=2)
    for part, request in zip(parts, requests[::-1]):
        np.testing.assert_array_equal(part["x"], request["x"])


@pytest.mark.parametrize("output", [np.float32(1), np.zeros([4, 2])])
def test_outputs_that_are_not_rows_are_given_to_nobody(output):
    with pytest.raises(ServingError) as caught:
        batching.divide_outputs({"y": np.asarray(output)}, [2, 1])
    assert caught.value.code is CODE.FAILED_PRECONDITION


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"x": np.zeros(3), "y": np.zeros(2)}, "equal 0th-dimension size"),
        ({"x": np.float32(1)}, "at least one dimension"),
        (rows(*range(5)), "Task size 5 is larger than maximum input batch size 4"),
    ],
)
def test_what_fits_into_no_batch_is_an_invalid_argument(feeds, message):
    with pytest.raises(ServingError, match=message) as caught:
        BatchQueues(parameters()).add(KEY, None, feeds, deadline=math.inf, now=0)
    assert caught.value.code is CODE.INVALID_ARGUMENT


class Clock:
    """Queues whose time is given."""

    def __init__(self, **changes):
        self.queues = BatchQueues(parameters(**changes))

    def add(self, *values, now=0.0, key=KEY, **form):
        return self.queues.add(key, None, rows(*values, **form), deadline=math.inf, now=now)

    def take(self, now=0.0):
        batch = self.queues.take(now)
        return batch and [len(task.feeds["x"]) for task in batch.tasks]


def test_a_batch_waits_for_its_timeout_unless_it_is_full():
    clock = Clock(batch_timeout_micros=1000)
    clock.add(1, now=5.0)
    clock.add(2, now=5.0005)
    assert clock.take(5.0009) is None and clock.queues.next_due() == pytest.approx(5.001)
    assert clock.take(5.001) == [1, 1]
    clock.add(1, 2, 3, now=6.0)
    clock.add(4, now=6.0)
    assert clock.take(6.0) == [3, 1]
    assert clock.queues.next_due() == math.inf


def test_a_request_that_does_not_fit_closes_the_batch_before_it():
    clock = Clock(batch_timeout_micros=1000)
    clock.add(1, 2, 3)
    clock.add(4, 5)
    assert clock.take() == [3]
    assert clock.take() is None


def test_only_equal_shapes_types_and_keys_share_a_batch_and_the_oldest_is_first():
    clock = Clock(max_enqueued_batches=10)
    for now, form in enumerate([{}, {"width": 2}, {"dtype": np.int32}]):
        clock.add(1, now=now, **form)
    clock.add(1, now=3, key=KEY._replace(rest=2))
    clock.add(2, now=4)
    assert [clock.take(9) for _ in range(5)] == [[1, 1], [1], [1], [1], None]


def test_a_full_queue_is_unavailable_in_the_words_of_tensorflow_serving():
    clock = Clock()
    for _ in range(2):
        clock.add(1, 2, 3, 4)
    for form in ({}, {"width": 2}):
        with pytest.raises(ServingError, match="scheduling queue .* is full") as caught:
            clock.add(5, **form)
        assert caught.value.code is CODE.UNAVAILABLE
    assert clock.take() == [4]
    clock.add(5)


def test_a_split_request_is_taken_as_a_whole_or_not_at_all():
    clock = Clock(enable_large_batch_splitting=True, max_batch_size=9, max_execution_batch_size=4)
    clock.add(0)
    with pytest.raises(ServingError, match="task size is 8 but scheduling capacity is only 7"):
        clock.add(*range(8))
    assert [len(task.feeds["x"]) for task in clock.add(*range(7))] == [3, 4]
    assert [clock.take(), clock.take(), clock.take()] == [[1, 3], [4], None]


def test_what_is_dropped_makes_room():
    clock = Clock()
    first, second = clock.add(1, 2), clock.add(3, 4)
    clock.queues.drop(first, ServingError(CODE.CANCELLED, "gone"))
    assert first[0].finished.is_set() and not second[0].finished.is_set()
    assert clock.queues.waiting(KEY) == 1
    clock.add(5, 6)
    assert clock.take() == [2, 2] and clock.take() is None


@pytest.fixture
def scheduler(request):
    made = Scheduler(getattr(request, "param", parameters()), threads=2)
    yield made
    made.close()


def seen_sizes(sizes):
    """A graph, y = 2 x, that fails for rows below zero; notes the rows of each batch."""

    def run(feeds, seconds):
        sizes.append(len(feeds["x"]))
        if (feeds["x"] < 0).any():
            raise ServingError(CODE.INVALID_ARGUMENT, "below zero")
        return {"y": 2 * feeds["x"]}

    return run


MODES = {
    "one by one": None,
    "batches": parameters(max_enqueued_batches=1000, batch_timeout_micros=300),
    "padded": parameters(max_enqueued_batches=1000, allowed_batch_sizes=(3, 4)),
    "split": parameters(
        max_enqueued_batches=1000,
        max_batch_size=9,
        enable_large_batch_splitting=True,
        max_execution_batch_size=4,
    ),
}


@pytest.mark.parametrize("scheduler", MODES.values(), ids=MODES, indirect=True)
def test_thousands_of_concurrent_requests_get_their_own_answers(scheduler):
    """Each request's values are its own, so that a foreign or a missing row would be seen."""
    sizes, wrong = [], []
    run = seen_sizes(sizes)

    def client(number):
        rng = random.Random(number)
        for k in range(60):
            first = 1e4 * number + 10 * k
            values = [first + row for row in range(rng.randint(0, 4))]
            bad = rng.random() < 0.05 and bool(values)
            feeds = rows(*(([-1] if bad else []) + values)[:4], width=rng.choice([1, 3]))
            try:
                answer = scheduler.run(KEY, run, feeds, seconds=60)["y"]
                if bad or not np.array_equal(answer, 2 * feeds["x"]):
                    wrong.append((feeds, answer))
            except ServingError as error:
                if not (bad and error.code is CODE.INVALID_ARGUMENT):
                    wrong.append((feeds, error))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    if scheduler._parameters:
        assert len(sizes) < 40 * 60 and max(sizes) == 4


def blocked(scheduler, count=2):
    """Keeps all threads of a scheduler busy; returns what sets them free."""
    free, busy = threading.Event(), threading.Barrier(count + 1)

    def run(feeds, seconds):
        busy.wait()
        free.wait()
        return {"y": feeds["x"]}

    for number in range(count):
        key = KEY._replace(rest=f"blocks {number}")
        threading.Thread(target=scheduler.run, args=(key, run, rows(1))).start()
    busy.wait()
    return free


def test_a_deadline_is_kept_while_waiting_and_nothing_is_run(scheduler):
    sizes, free = [], blocked(scheduler)
    began = time.monotonic()
    with pytest.raises(ServingError) as caught:
        scheduler.run(KEY, seen_sizes(sizes), rows(1), seconds=0.02)
    assert caught.value.code is CODE.DEADLINE_EXCEEDED and time.monotonic() - began < 30
    free.set()
    scheduler.run(KEY, seen_sizes(sizes), rows(1, 2))
    assert sizes == [2]


def test_a_request_whose_caller_is_gone_is_dropped(scheduler):
    sizes, free, callbacks = [], blocked(scheduler), []

    def on_end(callback):
        threading.Thread(target=callback).start()
        callbacks.append(callback)
        return True

    for end in (on_end, lambda callback: False):
        with pytest.raises(ServingError) as caught:
            scheduler.run(KEY, seen_sizes(sizes), rows(1), on_end=end)
        assert caught.value.code is CODE.CANCELLED
    free.set()
    answer = scheduler.run(KEY, seen_sizes(sizes), rows(1, 2))
    callbacks[0]()  # much too late
    assert sizes == [2] and answer["y"].shape == (2, 3)


class Observer:
    def __init__(self):
        self.batches, self.depths = [], []

    def batch(self, model, signature, size):
        self.batches.append((model, signature, size))

    def queue_depth(self, model, signature, depth):
        self.depths.append(depth)


def test_batches_and_depths_are_reported():
    observer = Observer()
    scheduler = Scheduler(parameters(allowed_batch_sizes=(3, 4)), observer=observer)
    scheduler.run(KEY, seen_sizes([]), rows(1, 2))
    scheduler.close()
    assert observer.batches == [("tiny", "serving_default", 3)] and observer.depths == [1, 0]
