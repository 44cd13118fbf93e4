"""The server: its answers case by case, versions that come and go, and how it ends."""

import signal
import socket
import subprocess
import sys
import threading

import cv2
import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2
from model_servers import (
    KINDS,
    NAME,
    ROOT,
    add_version,
    arrays_of,
    face_landmarks,
    metadata_request,
    pictures,
    predict_request,
    running,
    wait_until,
)
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from facemodel.morphable import MorphableModel
from pipeline.serving_process import read_labels
from serving import predict, warmup
from serving.loaded_model import LoadedModel
from serving.local_model import LocalModel
from serving.server import ModelServer, ServerStartError, check_port
from serving.status import ServingError, State
from serving.versions import Versions, find_versions

TINY = MorphableModel.tiny()
FACE = {"image": pictures(), "landmarks": face_landmarks(TINY)}
CODE = grpc.StatusCode


# Requests and signatures, without a server.


@pytest.fixture(scope="module")
def loaded(tiny_versions):
    model = LoadedModel(tiny_versions[0])
    yield model
    model.close()


def tensor(value, **changes):
    proto = tf.make_tensor_proto(value)
    for name, change in changes.items():
        getattr(proto, name).CopyFrom(change)
    return proto


def shape(*sizes, **fields):
    return (
        tf.TensorShape(sizes).as_proto() if sizes else type(tf.TensorShape([]).as_proto())(**fields)
    )


HUGE = tensor_pb2.TensorProto(dtype=tf.uint8.as_datatype_enum, tensor_shape=shape(9, 9**6, 9**3, 3))
BAD_INPUTS = {
    "missing": ({"image": tensor(FACE["image"])}, CODE.INVALID_ARGUMENT, "required: {landmarks}"),
    "extra": (
        {**{k: tensor(v) for k, v in FACE.items()}, "more": tensor(1.0)},
        CODE.INVALID_ARGUMENT,
        "extra: {more}",
    ),
    "another name": (
        {"image": tensor(FACE["image"]), "points": tensor(FACE["landmarks"])},
        CODE.INVALID_ARGUMENT,
        "extra: {points}. Missing but required: {landmarks}",
    ),
    "type": (
        {"image": tensor(FACE["image"]), "landmarks": tensor(FACE["landmarks"].astype("f8"))},
        CODE.INVALID_ARGUMENT,
        "should be float32 .*, got float64",
    ),
    "shape": (
        {"image": tensor(FACE["image"]), "landmarks": tensor(FACE["landmarks"][:, :68])},
        CODE.INVALID_ARGUMENT,
        r"should be float32 \[\?, 478, 2\], got float32 \[1, 68, 2\]",
    ),
    "rank": (
        {"image": tensor(FACE["image"][0]), "landmarks": tensor(FACE["landmarks"])},
        CODE.INVALID_ARGUMENT,
        r"got uint8 \[128, 128, 3\]",
    ),
    "too few bytes": (
        {
            "image": tensor(FACE["image"], tensor_shape=shape(2, 128, 128, 3)),
            "landmarks": tensor(FACE["landmarks"]),
        },
        CODE.INVALID_ARGUMENT,
        "parsing error: image",
    ),
    "no shape": (
        {
            "image": tensor(FACE["image"], tensor_shape=shape(unknown_rank=True)),
            "landmarks": tensor(FACE["landmarks"]),
        },
        CODE.INVALID_ARGUMENT,
        "parsing error: image",
    ),
    "huge": (
        {"image": HUGE, "landmarks": tensor(FACE["landmarks"])},
        CODE.RESOURCE_EXHAUSTED,
        "MiB",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_inputs_that_do_not_fit_are_refused(loaded, case):
    tensors, code, message = BAD_INPUTS[case]
    with pytest.raises(ServingError, match=message) as caught:
        predict.read_inputs(loaded.signatures["serving_default"], tensors)
    assert caught.value.code is code


def test_tensors_come_back_as_they_were_in_both_forms(loaded):
    signature = loaded.signatures["serving_default"]
    protos = {name: tf.make_tensor_proto(value) for name, value in FACE.items()}
    in_fields = {name: tensor_pb2.TensorProto() for name in FACE}
    for name, proto in in_fields.items():
        proto.dtype = protos[name].dtype
        proto.tensor_shape.CopyFrom(protos[name].tensor_shape)
    in_fields["image"].int_val.extend(FACE["image"].ravel().tolist())
    in_fields["landmarks"].float_val.extend(FACE["landmarks"].ravel().tolist())
    for form in (protos, in_fields):
        read = predict.read_inputs(signature, form)
        for name, value in FACE.items():
            np.testing.assert_array_equal(read[signature.inputs[name].name], value)


def test_a_loaded_model_gives_what_the_saved_model_gives(loaded, tiny_versions):
    expected, _ = LocalModel(tiny_versions[0]).run(**FACE)
    answer = arrays_of(loaded.predict(predict_request(FACE)))
    assert set(answer) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


def with_warm_up(source, folder, requests):
    path = add_version(folder, source, 9)
    warmup.write_requests(path, requests)
    return path


def test_warm_up_requests_are_replayed(tiny_versions, tmp_path):
    request = predict_request({"request": [b""]}, signature="metadata")
    path = with_warm_up(tiny_versions[0], tmp_path, [request, request])
    model = LoadedModel(path)
    assert model.warmed_up == 2
    model.close()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"no records", CODE.DATA_LOSS),
        ([b"\xff\xff"], CODE.INVALID_ARGUMENT),
        ([b""], CODE.UNIMPLEMENTED),
    ],
)
def test_damaged_warm_up_files_are_noticed(tmp_path, content, code):
    file = tmp_path / warmup.REQUESTS_FILE
    file.parent.mkdir()
    if isinstance(content, bytes):
        file.write_bytes(content * 10)
    else:
        with tf.io.TFRecordWriter(str(file)) as writer:
            for record in content:
                writer.write(record)
    with pytest.raises(ServingError) as caught:
        warmup.replay(tmp_path, lambda request: None)
    assert caught.value.code is code


# Versions: what is loaded, swapped and unloaded, with models that only note their end.


class Model:
    def __init__(self, path):
        self.path, self.closed = path, False
        if (path / "broken").exists():
            raise ValueError("is broken")

    def close(self):
        self.closed = True


def put_version(folder, name, *files):
    path = folder / str(name)
    path.mkdir(exist_ok=True)
    for file in files or ("saved_model.pb",):
        (path / file).write_text("x")
    return path


def spec(name=NAME, **choice):
    return predict_request({}, name=name, **choice).model_spec


@pytest.fixture
def folder(tmp_path):
    put_version(tmp_path, 1)
    return tmp_path


@pytest.fixture
def versions(folder):
    versions = Versions(NAME, folder, Model, labels={"stable": 1, "gone": 77})
    versions.poll(settled=False)
    return versions


@pytest.fixture
def unlabelled(folder):
    versions = Versions(NAME, folder, Model)
    versions.poll(settled=False)
    return versions


def states(versions):
    return {status.number: status.state for status in versions.statuses}


def poll_twice(versions):
    versions.poll()
    versions.poll()


def test_only_folders_named_by_numbers_with_a_model_count(folder):
    for name in ("02", "x", "-3", "4.5", ".6", "7tmp", "٨"):
        put_version(folder, name)
    (folder / "9").mkdir()
    (folder / "10").write_text("a file")
    assert sorted(find_versions(folder)) == [1, 2]
    assert find_versions(folder / "02") == {2: folder / "02"}
    assert find_versions(folder / "x") == {1: folder / "x"}


def test_the_newest_is_served_and_a_new_one_replaces_it(unlabelled, folder):
    with unlabelled.use(spec()) as (number, old):
        assert number == 1
    put_version(folder, 12)
    poll_twice(unlabelled)
    assert unlabelled.available == [12] and old.closed
    assert states(unlabelled) == {1: State.END, 12: State.AVAILABLE}


def test_an_old_version_goes_only_when_its_last_request_is_done(unlabelled, folder):
    put_version(folder, 2)
    with unlabelled.use(spec()) as (_, old):
        with unlabelled.use(spec()) as (_, same):
            assert same is old
            poll_twice(unlabelled)
            assert states(unlabelled) == {1: State.UNLOADING, 2: State.AVAILABLE}
            with unlabelled.use(spec()) as (number, _):
                assert number == 2
        assert not old.closed
    assert old.closed and states(unlabelled)[1] is State.END


def test_a_version_that_is_still_being_copied_is_not_loaded(unlabelled, folder):
    path = put_version(folder, 2)
    unlabelled.poll()
    put_version(folder, 2, "more")
    unlabelled.poll()
    assert unlabelled.available == [1] and set(states(unlabelled)) == {1}
    (path / "variables").mkdir()
    put_version(path, "variables", "data")
    unlabelled.poll()
    assert unlabelled.available == [1]
    unlabelled.poll()
    assert unlabelled.available == [2]


def test_a_broken_version_is_reported_and_tried_again_when_it_changes(unlabelled, folder, caplog):
    path = put_version(folder, 2, "saved_model.pb", "broken")
    for _ in range(4):
        unlabelled.poll()
    assert unlabelled.available == [1]
    assert states(unlabelled) == {1: State.AVAILABLE, 2: State.END}
    assert unlabelled.statuses[1].problem.message == "is broken"
    assert len([record for record in caplog.records if "is broken" in record.message]) == 1
    (path / "broken").unlink()
    poll_twice(unlabelled)
    assert unlabelled.available == [2]


def test_a_removed_version_gives_way_to_the_one_before(unlabelled, folder):
    put_version(folder, 2)
    poll_twice(unlabelled)
    (folder / "2" / "saved_model.pb").unlink()
    poll_twice(unlabelled)
    assert unlabelled.available == [1]
    (folder / "1" / "saved_model.pb").unlink()
    poll_twice(unlabelled)
    assert unlabelled.available == [1], "the last one is kept"


def test_a_folder_that_cannot_be_read_changes_nothing(unlabelled, folder):
    folder.rename(folder.with_name("elsewhere"))
    unlabelled.poll()
    assert unlabelled.available == [1]


def test_a_version_with_a_label_is_kept_beside_the_newest(versions, folder):
    put_version(folder, 2)
    poll_twice(versions)
    assert versions.available == [1, 2]
    with versions.use(spec(label="stable")) as (number, _):
        assert number == 1
    with versions.use(spec()) as (number, _):
        assert number == 2
    with versions.use(spec(version=1)) as (number, _):
        assert number == 1


def test_a_version_is_loading_until_it_is_loaded(folder):
    begun, go_on = threading.Event(), threading.Event()

    def load(path):
        begun.set()
        go_on.wait()
        return Model(path)

    versions = Versions(NAME, folder, load)
    poller = threading.Thread(target=versions.poll, kwargs={"settled": False})
    poller.start()
    begun.wait()
    assert states(versions) == {1: State.LOADING}
    with pytest.raises(ServingError, match=r"Latest\(tiny\)"), versions.use(spec()):
        pass
    go_on.set()
    poller.join()
    assert states(versions) == {1: State.AVAILABLE}


@pytest.mark.parametrize(
    ("choice", "code", "message"),
    [
        ({"name": ""}, CODE.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        ({"name": "x"}, CODE.NOT_FOUND, "Servable not found for request: Latest(x)"),
        (
            {"name": "x", "version": 1},
            CODE.NOT_FOUND,
            "Servable not found for request: Specific(x, 1)",
        ),
        ({"version": 9}, CODE.NOT_FOUND, "Servable not found for request: Specific(tiny, 9)"),
        ({"label": "gone"}, CODE.NOT_FOUND, "Servable not found for request: Specific(tiny, 77)"),
        ({"label": "x"}, CODE.INVALID_ARGUMENT, "Unrecognized servable version label: x"),
        (
            {"name": "x", "label": "stable"},
            CODE.INVALID_ARGUMENT,
            "Unrecognized servable version label: stable",
        ),
    ],
)
def test_what_is_not_served_is_named(versions, choice, code, message):
    with pytest.raises(ServingError) as caught, versions.use(spec(**choice)):
        pass
    assert (caught.value.code, caught.value.message) == (code, message)


# Starting.


def test_labels_are_read():
    assert read_labels(["stable=1", "canary=20"]) == {"stable": 1, "canary": 20}
    for text in ("stable", "=1", "stable=x", "stable=-1"):
        with pytest.raises(ValueError, match="NAME=VERSION"):
            read_labels([text])


def test_ports_that_cannot_be_had_are_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerStartError, match=f"port {port} of 127.0.0.1 is in use"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", 0)
    with pytest.raises(ServerStartError, match="port 80 of 203.0.113.5"):
        check_port("203.0.113.5", 80)


def test_two_servers_do_not_share_a_port(tiny_versions):
    first = ModelServer(tiny_versions[0], name=NAME)
    first.start()
    second = ModelServer(tiny_versions[0], name=NAME, port=first.port)
    try:
        with pytest.raises(ServerStartError, match=str(first.port)):
            second.start()
    finally:
        second.stop()
        first.stop()


@pytest.mark.parametrize("problem", ["missing", "empty", "broken"])
def test_a_server_without_a_model_does_not_start(tmp_path, problem):
    if problem == "broken":
        put_version(tmp_path, 1)
    folder = tmp_path / "missing" if problem == "missing" else tmp_path
    server = ModelServer(folder)
    with pytest.raises(ServerStartError, match=str(folder)):
        server.start()
    server.stop()


# A server process: every call and every status.


@pytest.fixture(scope="module", params=KINDS)
def server(request, tiny_versions, tmp_path_factory):
    folder = tiny_versions[0].parent
    work = tmp_path_factory.mktemp("server")
    with running(request.param, folder, work, labels={"latest": 2}) as server:
        yield server


@pytest.fixture(scope="module")
def local(tiny_versions):
    outputs, _ = LocalModel(tiny_versions[1]).run(**FACE)
    return outputs


def check_same(answer, expected):
    assert set(answer) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(
            answer[name].astype(float), value, rtol=1e-3, atol=2e-3, err_msg=name
        )


def png(image):
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


def serialized_example():
    features = {
        "image/encoded": tf.train.BytesList(value=[png(FACE["image"][0])]),
        "face/landmarks": tf.train.FloatList(value=FACE["landmarks"].ravel()),
    }
    fields = {
        name: tf.train.Feature(
            **{"bytes_list" if isinstance(v, tf.train.BytesList) else "float_list": v}
        )
        for name, v in features.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=fields)).SerializeToString()


SIGNATURES = {
    "": FACE,
    "serving_default": FACE,
    "encoded": {"image_bytes": [png(FACE["image"][0])], "landmarks": FACE["landmarks"]},
    "examples": {"examples": [serialized_example()]},
}


@pytest.mark.serving
@pytest.mark.parametrize("signature", SIGNATURES)
def test_every_signature_of_faces_gives_what_the_saved_model_gives(server, local, signature):
    request = predict_request(SIGNATURES[signature], signature=signature)
    response = server.stubs.predict(request, timeout=60)
    check_same(arrays_of(response), local)
    assert response.model_spec.name == NAME
    assert response.model_spec.version.value == 2
    assert response.model_spec.signature_name == (signature or "serving_default")


@pytest.mark.serving
def test_the_metadata_signature_describes_the_model(server):
    request = predict_request({"request": [b"", b""]}, signature="metadata")
    answer = arrays_of(server.stubs.predict(request, timeout=60))
    np.testing.assert_array_equal(answer["triangles"], [TINY.triangles] * 2)
    assert answer["model_name"].tolist() == [b"tiny"] * 2


@pytest.mark.serving
@pytest.mark.parametrize("choice", [{}, {"version": 2}, {"label": "latest"}])
def test_a_version_is_chosen_by_number_label_or_as_the_latest(server, choice):
    response = server.stubs.predict(predict_request(FACE, **choice), timeout=60)
    assert response.model_spec.version.value == 2


@pytest.mark.serving
def test_only_the_outputs_that_are_asked_for_come(server, local):
    request = predict_request(FACE, outputs=["scale", "rotation"])
    answer = arrays_of(server.stubs.predict(request, timeout=60))
    check_same(answer, {name: local[name] for name in ("scale", "rotation")})


def without(name):
    return {key: value for key, value in FACE.items() if key != name}


PREDICT_ERRORS = {
    "no model spec": (predict_pb2.PredictRequest(), CODE.INVALID_ARGUMENT),
    "no name": (predict_request(FACE, name=""), CODE.INVALID_ARGUMENT),
    "unknown model": (predict_request(FACE, name="other"), CODE.NOT_FOUND),
    "unknown version": (predict_request(FACE, version=99), CODE.NOT_FOUND),
    "unknown label": (predict_request(FACE, label="canary"), CODE.INVALID_ARGUMENT),
    "unknown signature": (predict_request(FACE, signature="x"), CODE.FAILED_PRECONDITION),
    "missing input": (predict_request(without("landmarks")), CODE.INVALID_ARGUMENT),
    "extra input": (predict_request({**FACE, "more": 1.0}), CODE.INVALID_ARGUMENT),
    "unknown input": (
        predict_request({**without("image"), "picture": FACE["image"]}),
        CODE.INVALID_ARGUMENT,
    ),
    "wrong type": (
        predict_request({**FACE, "landmarks": FACE["landmarks"].astype(np.float64)}),
        CODE.INVALID_ARGUMENT,
    ),
    "wrong shape": (
        predict_request({**FACE, "landmarks": FACE["landmarks"][:, :68]}),
        CODE.INVALID_ARGUMENT,
    ),
    "wrong rank": (predict_request({**FACE, "image": FACE["image"][0]}), CODE.INVALID_ARGUMENT),
    "unequal batches": (
        predict_request({**FACE, "image": pictures(2)}),
        CODE.INVALID_ARGUMENT,
    ),
    "no picture": (
        predict_request(
            {"image_bytes": [b"junk"], "landmarks": FACE["landmarks"]}, signature="encoded"
        ),
        CODE.INVALID_ARGUMENT,
    ),
    "no example": (
        predict_request({"examples": [b"junk"]}, signature="examples"),
        CODE.INVALID_ARGUMENT,
    ),
    "unknown output": (predict_request(FACE, outputs=["x"]), CODE.INVALID_ARGUMENT),
    "output twice": (predict_request(FACE, outputs=["scale"] * 2), CODE.INVALID_ARGUMENT),
}


@pytest.mark.serving
@pytest.mark.parametrize("case", PREDICT_ERRORS)
def test_every_mistake_has_its_status(server, case):
    request, code = PREDICT_ERRORS[case]
    with pytest.raises(grpc.RpcError) as caught:
        server.stubs.predict(request, timeout=60)
    assert caught.value.code() is code, caught.value.details()
    assert caught.value.details()


@pytest.mark.serving
def test_signature_definitions_are_told(server):
    response = server.stubs.metadata(metadata_request("signature_def"), timeout=60)
    assert (response.model_spec.name, response.model_spec.version.value) == (NAME, 2)
    definitions = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(definitions)
    faces = definitions.signature_def["serving_default"]
    assert set(faces.inputs) == {"image", "landmarks"}
    assert faces.inputs["image"].dtype == tf.uint8.as_datatype_enum
    assert {"metadata", "encoded", "examples"} <= set(definitions.signature_def)


@pytest.mark.serving
@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (get_model_metadata_pb2.GetModelMetadataRequest(), CODE.INVALID_ARGUMENT),
        (metadata_request(), CODE.INVALID_ARGUMENT),
        (metadata_request("x"), CODE.INVALID_ARGUMENT),
        (metadata_request("signature_def", name="x"), CODE.NOT_FOUND),
        (metadata_request("signature_def", version=99), CODE.NOT_FOUND),
    ],
)
def test_mistakes_in_metadata_requests_have_their_status(server, request_, code):
    with pytest.raises(grpc.RpcError) as caught:
        server.stubs.metadata(request_, timeout=60)
    assert caught.value.code() is code


def status_request(**spec):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.CopyFrom(metadata_request(**spec).model_spec)
    return request


@pytest.mark.serving
def test_the_status_of_the_version_is_told(server):
    assert server.stubs.states()[2] == ("AVAILABLE", 0)
    one = server.stubs.status(status_request(version=2), timeout=60).model_version_status
    assert [status.version for status in one] == [2]


@pytest.mark.serving
@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (get_model_status_pb2.GetModelStatusRequest(), CODE.INVALID_ARGUMENT),
        (status_request(name="x"), CODE.NOT_FOUND),
        (status_request(version=99), CODE.NOT_FOUND),
    ],
)
def test_mistakes_in_status_requests_have_their_status(server, request_, code):
    with pytest.raises(grpc.RpcError) as caught:
        server.stubs.status(request_, timeout=60)
    assert caught.value.code() is code


@pytest.mark.serving
def test_health_is_told(server):
    answer = server.stubs.health(health_pb2.HealthCheckRequest(), timeout=60)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        server.stubs.health(health_pb2.HealthCheckRequest(service="x"), timeout=60)
    assert caught.value.code() is CODE.NOT_FOUND


@pytest.mark.serving
def test_what_is_not_offered_here_is_said(server):
    if "tensorflow_model_server" in str(server.process.args[0]):
        pytest.skip("it classifies, too")
    with pytest.raises(grpc.RpcError) as caught:
        server.stubs.classify(classification_pb2.ClassificationRequest(), timeout=60)
    assert caught.value.code() is CODE.UNIMPLEMENTED


# Server processes whose models change, and that are told to end.


class Load:
    """Threads that send requests until they are stopped; notes versions and errors."""

    def __init__(self, server, threads=2):
        self.seen, self.errors, self._stop = [[] for _ in range(threads)], [], threading.Event()
        self._server = server
        self._threads = [threading.Thread(target=self._send, args=(seen,)) for seen in self.seen]

    def _send(self, seen):
        request = predict_request(FACE, outputs=["coefficients"])
        while not self._stop.is_set() and len(seen) < 20_000:
            try:
                response = self._server.stubs.predict(request, timeout=60)
                seen.append(response.model_spec.version.value)
            except grpc.RpcError as error:
                self.errors.append((error.code(), error.details()))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.serving
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_version_takes_over_under_load_without_an_error(kind, tiny_versions, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    add_version(folder, tiny_versions[0], 1)
    with running(kind, folder, tmp_path) as server:
        with Load(server) as load:
            wait_until(lambda: all(load.seen) or load.errors, "first answers")
            path = with_warm_up(tiny_versions[1], tmp_path, [predict_request(FACE)])
            path.rename(folder / "2")
            wait_until(lambda: all(seen[-1] == 2 for seen in load.seen) or load.errors, "the swap")
            wait_until(lambda: server.stubs.states()[1][0] == "END", "the end of version 1")
        assert load.errors == []
        for seen in load.seen:
            assert seen == sorted(seen) and set(seen) == {1, 2}
        assert server.stubs.states() == {1: ("END", 0), 2: ("AVAILABLE", 0)}


@pytest.mark.serving
def test_versions_that_do_not_work_are_passed_over(tiny_versions, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    add_version(folder, tiny_versions[0], 1)
    broken = add_version(folder, tiny_versions[0], 5)
    next(broken.glob("variables/*.data*")).write_bytes(b"damaged")
    with running("facerelief", folder, tmp_path) as server:
        assert server.stubs.states()[5][0] == "END" and server.stubs.states()[5][1] != 0
        (folder / "6").mkdir()
        (folder / "6" / "variables").mkdir()
        wrong = predict_request({**FACE, "landmarks": FACE["landmarks"][:, :68]})
        with_warm_up(tiny_versions[1], tmp_path, [wrong]).rename(folder / "7")
        wait_until(lambda: 7 in server.stubs.states(), "a look at version 7", lambda: server.log)
        wait_until(lambda: server.stubs.states()[7][0] == "END", "the end of version 7")
        assert server.stubs.states()[7][1] == CODE.INVALID_ARGUMENT.value[0]
        assert 6 not in server.stubs.states()
        response = server.stubs.predict(predict_request(FACE), timeout=60)
        assert response.model_spec.version.value == 1
        assert f"{folder / '7'}: not loaded" in server.log


@pytest.mark.serving
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_when_its_requests_are_done(number, tiny_versions, tmp_path):
    batch = {"image": pictures(24), "landmarks": face_landmarks(TINY, 24)}
    request = predict_request(batch, outputs=["coefficients"])
    with running("facerelief", tiny_versions[0], tmp_path) as server:
        calls = [server.stubs.predict.future(request, timeout=120) for _ in range(8)]
        wait_until(lambda: any(call.done() for call in calls), "the first answer")
        server.process.send_signal(number)
        unfinished = [call for call in calls if not call.done()]
        for call in calls:
            assert arrays_of(call.result())["coefficients"].shape == (24, TINY.coefficient_count)
        assert server.process.wait(60) == 0
        assert unfinished, "all were done before the signal: use larger batches"
        with pytest.raises(grpc.RpcError) as caught:
            server.stubs.predict(request, timeout=60)
        assert caught.value.code() is CODE.UNAVAILABLE
        assert "Traceback" not in server.log


@pytest.mark.serving
def test_a_port_in_use_is_one_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "pipeline.cli", "serve", "--port", port]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"error: port {port} of 127.0.0.1 is in use; choose another, or 0 for a free one"
    ]
