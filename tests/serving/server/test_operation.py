"""What an operator sets: batching, several models, limits and the log, on a server process."""

import json
import signal
import threading

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from model_servers import (
    NAME,
    arrays_of,
    face_landmarks,
    pictures,
    predict_request,
    running,
    wait_until,
)
from tensorflow_serving.apis import model_management_pb2
from test_image_sizes import bomb, file_of

from facemodel.morphable.model import MorphableModel
from serving.local_model import LocalModel

TINY = MorphableModel.tiny()
CODE = grpc.StatusCode
PARAMETERS = """
max_batch_size { value: 8 }
batch_timeout_micros { value: 20000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 1 }
allowed_batch_sizes: [2, 4, 8]
"""


def refusal(call, *args, **kwargs):
    with pytest.raises(grpc.RpcError) as caught:
        call(*args, timeout=kwargs.pop("timeout", 60), **kwargs)
    return caught.value.code(), caught.value.details()


def face(number, count=1):
    """A request of its own: the face is elsewhere in the picture."""
    points = face_landmarks(TINY, count) + np.float32(number) / 16
    return {"image": pictures(count), "landmarks": points.astype(np.float32)}


@pytest.mark.slow
@pytest.mark.serving
def test_batched_requests_get_their_own_answers(tiny_versions, tmp_path):
    file = tmp_path / "batching_parameters.txt"
    file.write_text(PARAMETERS)
    options = ["--enable-batching", "--batching-parameters-file", file]
    local, right = LocalModel(tiny_versions[1]), []
    truth = np.concatenate([local.run(**face(n))[0]["translation"] for n in range(16)])
    with running("facerelief", tiny_versions[1].parent, tmp_path, options=options) as server:

        def client(first):
            rng = np.random.default_rng(first)
            for _ in range(20):
                numbers = rng.integers(0, 16, rng.integers(1, 4))
                inputs = face(numbers[:, None, None], len(numbers))
                request = predict_request(inputs, outputs=["translation", "scale"])
                answer = arrays_of(server.stubs.predict(request, timeout=60))["translation"]
                right.append(np.allclose(answer, truth[numbers], atol=2e-3))

        clients = [threading.Thread(target=client, args=(number,)) for number in range(16)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        assert len(right) == 16 * 20 and all(right)
        code, text = refusal(server.stubs.predict, predict_request(face(0, 9)))
        assert (code, text) == (
            CODE.INVALID_ARGUMENT,
            "Task size 9 is larger than maximum input batch size 8",
        )
        good = {"image_bytes": [file_of("PNG", (128, 128))], "landmarks": face_landmarks(TINY)}
        broken = dict(good, image_bytes=[good["image_bytes"][0][:60]])
        calls = [
            server.stubs.predict.future(predict_request(inputs, signature="encoded"), timeout=60)
            for inputs in (good, broken, good)
        ]
        assert [call.code() for call in calls] == [CODE.OK, CODE.INVALID_ARGUMENT, CODE.OK]


def config_of(**models):
    """models.config from (folder, policy) by name."""
    entries = (
        f'config {{ name: "{name}" base_path: "{folder}" model_platform: "tensorflow" {more} }}'
        for name, (folder, more) in models.items()
    )
    return f"model_config_list {{ {' '.join(entries)} }}"


def reload_request(text):
    request = model_management_pb2.ReloadConfigRequest()
    text_format.Parse(text, request.config)
    return request


@pytest.mark.slow
@pytest.mark.serving
def test_several_models_are_served_and_changed(tiny_versions, tmp_path):
    folder, file = tiny_versions[0].parent, tmp_path / "models.config"
    both = (folder, "model_version_policy { all {} }")
    one = (folder, "model_version_policy { specific { versions: 1 } }")
    file.write_text(config_of(tiny=both, one=one))
    options = ["--model-config-file", file, "--allow-reload-requests"]
    metadata = {"request": [b""]}
    with running("facerelief", None, tmp_path, options=options) as server:

        def version(name, **choice):
            request = predict_request(metadata, signature="metadata", name=name, **choice)
            return server.stubs.predict(request, timeout=60).model_spec.version.value

        assert set(server.stubs.states()) == {1, 2} and set(server.stubs.states("one")) == {1}
        assert (version(NAME), version(NAME, version=1), version("one")) == (2, 1, 1)

        file.write_text(config_of(one=(folder, ""), other=one))
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "was read again" in server.log, "the reload", lambda: server.log)
        assert (version("one"), version("other")) == (2, 1)
        assert refusal(server.stubs.status, status_of(NAME))[0] is CODE.NOT_FOUND

        file.write_text("nonsense")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "not followed" in server.log, "the refusal", lambda: server.log)
        server.stubs.reload(reload_request(config_of(third=both)), timeout=60)
        assert version("third", version=1) == 1
        code, text = refusal(server.stubs.reload, reload_request(config_of(third=("here", ""))))
        assert code is CODE.INVALID_ARGUMENT and "absolute path" in text
        empty = tmp_path / "empty"
        empty.mkdir()
        code, text = refusal(server.stubs.reload, reload_request(config_of(x=(empty, ""))))
        assert code is CODE.UNKNOWN and "did not become available: {x}" in text


def status_of(name):
    from tensorflow_serving.apis import get_model_status_pb2

    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    return request


@pytest.mark.serving
def test_limits_are_kept_and_each_request_is_logged(tiny_versions, tmp_path):
    options = ["--max-message-bytes", 100_000, "--max-image-pixels", 10**6]
    options += ["--request-log", "json", "--grace-seconds", 5, "--max-concurrent-streams", 8]
    points = face_landmarks(TINY)
    with running("facerelief", tiny_versions[0], tmp_path, options=options) as server:
        predict = server.stubs.predict
        large = predict_request({"image": pictures(3), "landmarks": face_landmarks(TINY, 3)})
        assert refusal(predict, large)[0] is CODE.RESOURCE_EXHAUSTED
        inputs = {"image_bytes": [bomb(50_000, 2_000)], "landmarks": points}
        code, text = refusal(predict, predict_request(inputs, signature="encoded"))
        assert code is CODE.INVALID_ARGUMENT and "50000 x 2000 px" in text
        assert refusal(predict, predict_request(face(0)), timeout=1e-6)[0] is (
            CODE.DEADLINE_EXCEEDED
        )
        predict(predict_request(face(0), outputs=["scale"]), timeout=60)
        as_bytes = server.stubs.channel.unary_unary(
            "/tensorflow.serving.PredictionService/Predict", None, None
        )
        code, text = refusal(as_bytes, b"\xff" * 7)
        assert (code, text) == (
            CODE.INVALID_ARGUMENT,
            "7 bytes were sent that are no request of Predict",
        )
        code, text = refusal(server.stubs.reload, reload_request(config_of(x=("/", ""))))
        assert code is CODE.PERMISSION_DENIED and "--allow-reload-requests" in text
        lines = [
            json.loads(line[line.index("{") :]) for line in server.log.splitlines() if "{" in line
        ]
        seen = {(line["method"], line["signature"], line["code"]) for line in lines}
        assert ("Predict", "encoded", "INVALID_ARGUMENT") in seen
        assert ("HandleReloadConfigRequest", "", "PERMISSION_DENIED") in seen
        done = next(line for line in lines if line["code"] == "OK")
        assert (done["model"], done["version"]) == (NAME, 1)
        assert 49_000 < done["bytes_in"] < 60_000 and done["bytes_out"] < 200 and done["ms"] > 0


@pytest.mark.serving
def test_beyond_the_queue_requests_are_refused_and_the_others_answered(tiny_versions, tmp_path):
    file = tmp_path / "parameters.txt"
    file.write_text(
        "max_batch_size { value: 4 } max_enqueued_batches { value: 1 } "
        "num_batch_threads { value: 1 }"
    )
    options = ["--enable-batching", "--batching-parameters-file", file]
    batch = predict_request(face(0, 4), outputs=["crop", "scale"])
    with running("facerelief", tiny_versions[0], tmp_path, options=options) as server:
        calls = [server.stubs.predict.future(batch, timeout=120) for _ in range(40)]
        codes = {call.code() for call in calls}
        assert codes == {CODE.OK, CODE.UNAVAILABLE}
        refused = next(call for call in calls if call.code() is CODE.UNAVAILABLE)
        assert "queue to which this task was submitted is full" in refused.details()
