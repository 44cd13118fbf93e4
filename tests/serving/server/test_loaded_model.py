"""A loaded model of few ops: only what was asked for is computed, and batches through a session."""

import gc
import random
import threading
import weakref

import grpc
import numpy as np
import pytest
import tensorflow as tf
from model_servers import face_landmarks, pictures, predict_request, with_warm_up

from facemodel.morphable.model import MorphableModel
from serving.model_store import default_model_dir
from serving.server import loaded_model, warmup
from serving.server.batching_parameters import BatchingParameters
from serving.server.loaded_model import LoadedModel
from serving.server.scheduler import Scheduler
from serving.server.status import ServingError


class Texts(tf.Module):
    """Outputs of a text; `number` fails unless it is one. Calls, a variable and checks."""

    def __init__(self):
        super().__init__()
        self.nothing = tf.Variable(0, trainable=False)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def describe(self, text):
        return {"twice": tf.strings.join([text, text]), **self.measure(text)}

    @tf.function(autograph=False)
    def measure(self, text):
        length = tf.strings.length(text) + self.nothing
        tf.debugging.assert_less(length, 9, message="too long")
        return {"length": length, "number": tf.strings.to_number(text)}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder, texts = tmp_path_factory.mktemp("texts") / "1", Texts()
    tf.saved_model.save(texts, str(folder), signatures=texts.describe)
    return folder


@pytest.fixture
def model(path):
    model = LoadedModel(path)
    yield model
    model.close()


def ask(model, *texts, outputs=()):
    response = model.predict(predict_request({"text": list(texts)}, outputs=outputs))
    return {name: tf.make_ndarray(proto).tolist() for name, proto in response.outputs.items()}


def test_outputs_that_nobody_asked_for_are_not_computed(model):
    assert ask(model, "abc", outputs=["length", "twice"]) == {"length": [3], "twice": [b"abcabc"]}
    with pytest.raises(ServingError) as caught:
        ask(model, "abc")
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.slow
def test_a_face_model_computes_only_what_is_asked_for():
    """Of the default model, whose loop is no part of the crop."""
    model = LoadedModel(default_model_dir())
    signature = model.signatures["serving_default"]
    values = {"image": pictures(), "landmarks": face_landmarks(MorphableModel.load())}
    feeds = {signature.inputs[name].name: value for name, value in values.items()}

    def count_ops(*outputs):
        fetches = [model._fetches["serving_default"][output] for output in outputs]
        options, traced = tf.compat.v1.RunOptions(trace_level=3), tf.compat.v1.RunMetadata()
        model._session.run(fetches, feeds, options=options, run_metadata=traced)
        return sum(len(device.node_stats) for device in traced.step_stats.dev_stats)

    assert 0 < count_ops("crop_from_image") < 0.5 * count_ops("crop_from_image", "shading")
    model.close()


def test_checks_are_made_whatever_was_asked_for(model):
    with pytest.raises(ServingError, match="too long") as caught:
        ask(model, "123456789", outputs=["twice"])
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_after_some_sets_of_outputs_all_are_computed_and_the_asked_for_sent(model, monkeypatch):
    monkeypatch.setattr(loaded_model, "MAX_OUTPUT_SETS", 1)
    assert ask(model, "12", outputs=["length"]) == {"length": [2]}
    assert ask(model, "12", outputs=["twice"]) == {"twice": [b"1212"]}
    with pytest.raises(ServingError):
        ask(model, "abc", outputs=["twice"])
    assert ask(model, "abc", outputs=["length"]) == {"length": [3]}


def test_a_closed_version_leaves_no_graph_behind(path):
    """It is a circle of objects, which Python by itself finds late or, in a big process, never."""
    gc.disable()
    gc.freeze()
    try:
        model = LoadedModel(path)
        assert ask(model, "abc", outputs=["length"]) == {"length": [3]}
        graphs = [weakref.ref(one) for one in gc.get_objects() if isinstance(one, tf.Graph)]
        assert graphs
        model.close()
        assert not any(one() for one in graphs)
    finally:
        gc.unfreeze()
        gc.enable()


def test_the_initializer_is_no_signature(model):
    with pytest.raises(ServingError) as caught:
        model.predict(predict_request({}, signature="__saved_model_init_op"))
    assert caught.value.code is grpc.StatusCode.FAILED_PRECONDITION


def test_concurrent_requests_through_a_session_get_their_own_answers(path):
    scheduler = Scheduler(
        BatchingParameters(
            max_batch_size=16,
            max_enqueued_batches=1000,
            num_batch_threads=2,
            allowed_batch_sizes=(4, 16),
        )
    )
    model, answers = LoadedModel(path, name="texts", scheduler=scheduler), []

    def client(number):
        rng = random.Random(number)
        for k in range(60):
            texts = [f"{number * 1000 + 10 * k + row}" for row in range(rng.randint(1, 4))]
            outputs = rng.choice([("number",), ("number", "twice")])
            if rng.random() < 0.05:
                texts[-1] = "no number"
            try:
                answer = ask(model, *texts, outputs=outputs)
                right = answer["number"] == [float(np.float32(text)) for text in texts]
                twice = [(text + text).encode() for text in texts]
                answers.append(right and answer.get("twice", twice) == twice)
            except ServingError as error:
                refused = error.code is grpc.StatusCode.INVALID_ARGUMENT
                answers.append(refused and texts[-1] == "no number")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    scheduler.close()
    model.close()
    assert len(answers) == 30 * 60 and all(answers)


def test_warm_up_requests_are_answered_in_batches_of_all_sizes(path, tmp_path):
    """Each kind once: this signature, these outputs, one row; and the same with other outputs."""
    rare = predict_request({"text": ["1"]})
    rare.output_filter.append("length")
    requests = [predict_request({"text": [text]}) for text in "12"]
    warm = with_warm_up(path, tmp_path, [*requests, rare])
    rows = []

    def predict(request):
        texts = tf.make_ndarray(request.inputs["text"]).tolist()
        rows.append((len(texts), set(texts), tuple(request.output_filter)))

    assert warmup.replay(warm, predict, batch_sizes=(2, 4)) == 3
    sizes = [(1, {b"1"}, ()), (2, {b"1"}, ()), (4, {b"1"}, ()), (1, {b"2"}, ())]
    lengths = [(count, {b"1"}, ("length",)) for count in (1, 2, 4)]
    assert rows == sizes + lengths
    model = LoadedModel(warm, max_rows=1, batch_sizes=(2, 4))
    assert model.warmed_up == 3
    model.close()


def test_warm_up_requests_may_have_more_rows_than_those_of_clients(path, tmp_path):
    warm = with_warm_up(path, tmp_path, [predict_request({"text": ["1"] * 5})])
    model = LoadedModel(warm, max_rows=4)
    try:
        assert model.warmed_up == 1
        assert ask(model, *["1"] * 4, outputs=["length"]) == {"length": [1] * 4}
        with pytest.raises(ServingError, match="has 5 rows; this server takes 4"):
            ask(model, *["1"] * 5)
    finally:
        model.close()
