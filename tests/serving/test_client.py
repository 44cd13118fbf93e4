"""The client: same numbers as without a server, what is tried again, and clear errors."""

import contextlib
import json
import pathlib
import re
import signal
import socket
import threading
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
import trimesh
from model_servers import KINDS, NAME, ROOT, face_landmarks, pictures, running
from PIL import Image
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
from typer.testing import CliRunner

from facemodel.morphable.landmarks import IBUG_68
from facemodel.morphable.model import MorphableModel
from facemodel.saved_model.metadata import MESH_OUTPUTS
from pipeline.cli import make_app
from pipeline.inference import photos
from serving import client, served_model
from serving.client import RemoteModel, RemoteModelError
from serving.images import read_photo
from serving.local_model import LocalModel
from serving.reconstructor import Reconstructor
from serving.saved_function import SavedFunction

DEMO = pathlib.Path("docs/images/demo.jpg")
TINY = MorphableModel.tiny()
FACE = {"image": pictures(), "landmarks": face_landmarks(TINY)}
CODE = grpc.StatusCode


# Against a server in this process that answers as it is told.


class Scripted(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Gives one step of a script for each call: a status code, or a version that answers."""

    def __init__(self):
        self.script, self.calls = [], []

    def Predict(self, request, context):
        self.calls.append(request)
        step = self.script.pop(0) if self.script else 1
        if isinstance(step, grpc.StatusCode):
            context.abort(step, "as the script says")
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = step
        is_metadata = request.model_spec.signature_name == "metadata"
        for name, value in (METADATA if is_metadata else OUTPUTS).items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
        return response


OUTPUTS = {name: np.ones((1, 3), np.float32) for name in MESH_OUTPUTS}
METADATA = {
    **{
        name: np.ones((1, 2), np.float32)
        for name in served_model.ARRAYS + served_model.LANDMARK_ARRAYS
    },
    "description": [json.dumps({"model_name": "scripted"}).encode()],
}


@pytest.fixture
def servicer():
    return Scripted()


@pytest.fixture
def address(servicer):
    server = grpc.server(futures.ThreadPoolExecutor(4))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()


@pytest.fixture
def remote(address, monkeypatch):
    monkeypatch.setattr(client, "FIRST_PAUSE_S", 0.001)
    with RemoteModel(address, name="scripted") as remote:
        yield remote


def test_an_unavailable_server_is_asked_again(remote, servicer):
    servicer.script = [CODE.UNAVAILABLE, CODE.UNAVAILABLE, 1]
    outputs, model = remote.run(**FACE)
    assert len(servicer.calls) == 4 and set(outputs) == set(MESH_OUTPUTS)
    assert model.facts["model_name"] == "scripted" and model is remote.model


def test_it_is_not_asked_for_ever(remote, servicer):
    servicer.script = [CODE.UNAVAILABLE] * 100
    with pytest.raises(RemoteModelError, match="cannot be reached") as caught:
        remote.run(**FACE)
    assert len(servicer.calls) == 1 + client.ATTEMPTS
    assert caught.value.code is CODE.UNAVAILABLE


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (CODE.INVALID_ARGUMENT, "refused the request: INVALID_ARGUMENT: as the script says"),
        (CODE.NOT_FOUND, "serves no model scripted"),
        (CODE.DEADLINE_EXCEEDED, "no answer within 30 s"),
        (CODE.INTERNAL, "INTERNAL"),
        (CODE.RESOURCE_EXHAUSTED, "too much for one message"),
    ],
)
def test_nothing_else_is_tried_again(remote, servicer, address, code, message):
    servicer.script = [code]
    with pytest.raises(RemoteModelError, match=message) as caught:
        remote.run(**FACE)
    assert str(caught.value).startswith(f"{address}: ")
    assert caught.value.code is code and len(servicer.calls) == 2


def test_metadata_is_asked_once_for_each_version(remote, servicer):
    servicer.script = [1, 1, 2, 2, 2]
    models = [remote.run(**FACE)[1] for _ in range(4)]
    signatures = [call.model_spec.signature_name for call in servicer.calls]
    assert signatures == ["metadata", *["serving_default"] * 3, "metadata", "serving_default"]
    assert servicer.calls[4].model_spec.version.value == 2
    assert set(servicer.calls[1].output_filter) == set(MESH_OUTPUTS)
    assert models[0] is models[1] and models[2] is models[3] and models[0] is not models[2]


def test_a_version_that_is_gone_before_it_is_described_is_asked_no_more(remote, servicer):
    servicer.script = [2, CODE.NOT_FOUND, 3, 3]
    _, model = remote.run(**FACE)
    signatures = [call.model_spec.signature_name for call in servicer.calls[1:]]
    assert signatures == ["serving_default", "metadata"] * 2
    assert model is remote.model


def test_a_label_is_passed_on(address, servicer):
    with RemoteModel(address, name="scripted", label="stable") as remote:
        remote.run(**FACE)
    assert {call.model_spec.version_label for call in servicer.calls} == {"stable"}
    assert {call.model_spec.name for call in servicer.calls} == {"scripted"}


def test_a_message_that_is_too_large_is_not_sent(address, servicer):
    remote = RemoteModel(address, name="scripted", max_message_bytes=20_000)
    with remote, pytest.raises(RemoteModelError, match="too much for one message"):
        remote.run(**FACE)
    assert len(servicer.calls) == 1


@pytest.mark.parametrize("missing", ["vertices", "description"])
def test_a_model_of_another_kind_is_noticed(address, servicer, monkeypatch, missing):
    monkeypatch.delitem(METADATA if missing in METADATA else OUTPUTS, missing)
    with pytest.raises(RemoteModelError, match=f"does not give {missing}"):
        RemoteModel(address, name="scripted").run(**FACE)


def test_a_server_that_is_not_there_is_named():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(RemoteModelError, match=f"{address}: cannot be reached"):
            RemoteModel(address, attempts=2)


def test_a_server_that_does_not_answer_is_given_up(tmp_path):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RemoteModelError, match=f"{address}: no answer within 0.3 s"):
            RemoteModel(address, timeout_s=0.3)


@pytest.mark.parametrize("address", ["", "host", ":80", "a b:1", "http://host:80", "::1:80", "h:x"])
def test_addresses_are_checked(address):
    with pytest.raises(ValueError, match="HOST:PORT"):
        RemoteModel(address)


@pytest.mark.parametrize("port", ["0", "00000", "65536", "99999"])
def test_ports_that_no_server_has_are_refused(port):
    with pytest.raises(ValueError, match=f"HOST:PORT with a port of 1 to 65535, got 'h:{port}'"):
        RemoteModel(f"h:{port}", attempts=1)


def test_options_that_exclude_each_other_are_refused(tmp_path):
    for options in (["--server", "a:1", "--model", "x"], ["--server-model", "x"]):
        words = ["reconstruct", str(DEMO), "-o", str(tmp_path), *options]
        assert CliRunner().invoke(make_app(), words).exit_code == 2
    assert list(tmp_path.iterdir()) == []


# Against real servers.


@pytest.fixture(scope="module", params=KINDS)
def server(request, tiny_versions, tmp_path_factory):
    folder, work = tiny_versions[0].parent, tmp_path_factory.mktemp("server")
    with running(request.param, folder, work) as server:
        yield server


@pytest.fixture(scope="module")
def served_version(tiny_versions):
    return tiny_versions[1]


@pytest.mark.serving
def test_a_remote_model_is_the_local_one(server, served_version):
    expected, known = LocalModel(served_version).run(**FACE)
    with RemoteModel(server.address, name=NAME) as remote:
        outputs, model = remote.run(**FACE)
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(
            outputs[name].astype(float), value, rtol=1e-4, atol=1e-3, err_msg=name
        )
    assert model.facts == known.facts and model.path is None
    for name, value in model.arrays.items():
        np.testing.assert_array_equal(value, known.arrays[name], err_msg=name)
    assert model.arrays["landmark_triangles"].shape == (len(IBUG_68),)


@pytest.mark.serving
def test_a_photo_gives_the_same_face(server, served_version):
    photo = np.asarray(read_photo(DEMO))
    large = np.repeat(np.repeat(photo, 5, 0), 5, 1)  # its window is reduced before it is sent
    with contextlib.ExitStack() as stack:
        local = stack.enter_context(Reconstructor(served_version))
        remote = stack.enter_context(RemoteModel(server.address, name=NAME))
        there = stack.enter_context(Reconstructor(face_model=remote, detector=local.detector))
        for image in (photo, large):
            (expected,), (face,) = (one.reconstruct(image) for one in (local, there))
            for name in ("coefficients", "vertices", "rotation", "landmarks_68_px", "translation"):
                np.testing.assert_allclose(
                    getattr(face, name), getattr(expected, name), atol=1e-3, err_msg=name
                )
            np.testing.assert_allclose(face.scale, expected.scale, rtol=1e-5)
            assert face.flags == expected.flags
            assert face.coefficient_names == expected.coefficient_names


def run_command(*words):
    return CliRunner().invoke(make_app(), [str(word) for word in words], catch_exceptions=False)


@pytest.mark.slow
@pytest.mark.serving
def test_the_command_gives_the_same_files(server, served_version, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    remote = ["--server", server.address, "--server-model", NAME]
    assert run_command("reconstruct", DEMO, "-o", here, "--model", served_version).exit_code == 0
    assert run_command("reconstruct", DEMO, "-o", there, *remote).exit_code == 0
    assert {path.name for path in here.iterdir()} == {path.name for path in there.iterdir()}
    meshes = [trimesh.load(folder / "demo_0.ply", process=False) for folder in (here, there)]
    np.testing.assert_allclose(meshes[1].vertices, meshes[0].vertices, atol=1e-3)
    np.testing.assert_array_equal(meshes[1].faces, meshes[0].faces)
    descriptions = [json.loads((folder / "demo_0.json").read_text()) for folder in (here, there)]
    assert descriptions[0]["model"] == descriptions[1]["model"]
    first, second = (list(one["coefficients"].values()) for one in descriptions)
    np.testing.assert_allclose(second, first, atol=1e-4)


@pytest.mark.slow
@pytest.mark.serving
def test_photos_are_with_the_server_at_once_and_give_what_they_give_one_by_one(
    server, tmp_path, monkeypatch
):
    photo, folder, under_way = np.asarray(read_photo(DEMO)), tmp_path / "in", threading.Barrier(3)
    folder.mkdir()
    for number in range(3):
        Image.fromarray(np.roll(photo, 9 * number, axis=1)).save(folder / f"p{number}.png")
    words = ["--server", server.address, "--server-model", NAME, "--formats", "ply"]
    with monkeypatch.context() as patched:
        patched.setattr(photos, "SERVER_REQUESTS", 1)
        assert run_command("reconstruct", folder, "-o", tmp_path / "1", *words).exit_code == 0
    run = RemoteModel.run

    def run_together(self, image, landmarks):
        under_way.wait(120)  # else it is broken, which is an error
        return run(self, image, landmarks)

    monkeypatch.setattr(RemoteModel, "run", run_together)
    assert run_command("reconstruct", folder, "-o", tmp_path / "all", *words).exit_code == 0
    files = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert len(files) == 9 and files == sorted(path.name for path in (tmp_path / "1").iterdir())
    for name in files:
        assert (tmp_path / "all" / name).read_bytes() == (tmp_path / "1" / name).read_bytes(), name


@pytest.mark.serving
def test_an_unknown_model_stops_the_command_with_one_line(server, tmp_path):
    result = run_command("reconstruct", DEMO, "-o", tmp_path, "--server", server.address)
    assert result.exit_code == 2
    assert f"error: {server.address}: serves no model facerelief" in result.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.serving
def test_the_documented_client_works(server, served_version):
    page = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    names = {}
    exec(code, names)
    answer = names["reconstruct"](
        server.address, FACE["image"][0], FACE["landmarks"][0], model=NAME
    )
    expected = SavedFunction(served_version)(**FACE)
    np.testing.assert_allclose(answer["vertices"], expected["vertices"][0], atol=1e-3)
    assert set(answer) == set(expected)


@pytest.mark.slow
@pytest.mark.serving
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_is_started_again_is_found_again(tiny_versions, tmp_path, number):
    folder = tiny_versions[1]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running("facerelief", folder, tmp_path, port=port))
        patient = RemoteModel(first.address, name=NAME, attempts=20, timeout_s=60)
        remote = stack.enter_context(patient)
        expected, _ = remote.run(**FACE)
        first.process.send_signal(number)
        first.process.wait(60)
        with pytest.raises(RemoteModelError, match="cannot be reached"):
            RemoteModel(first.address, name=NAME, attempts=1)
        second = stack.enter_context(running("facerelief", folder, tmp_path, port=port))
        assert second.address == first.address and second.process.pid != first.process.pid
        outputs, _ = remote.run(**FACE)
        np.testing.assert_array_equal(outputs["coefficients"], expected["coefficients"])
