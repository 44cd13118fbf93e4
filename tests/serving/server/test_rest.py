"""REST over a real port: the answers of gRPC, TensorFlow Serving's errors, limits, bad clients."""

import base64
import concurrent.futures
import json
import re
import socket
import time

import grpc
import httpx
import numpy as np
import pytest
from model_servers import NAME, Stubs, arrays_of, face_landmarks, pictures, predict_request
from prometheus_client.parser import text_string_to_metric_families
from test_server import png

from facemodel.morphable.model import MorphableModel
from serving.server import http_bodies, http_server
from serving.server.batching_parameters import BatchingParameters
from serving.server.front import FrontOptions
from serving.server.http_bodies import RestLimits
from serving.server.server import ModelServer
from serving.server.settings import ServerSettings

pytestmark = pytest.mark.serving

TINY = MorphableModel.tiny()
FACE = {"image": pictures(2), "landmarks": face_landmarks(TINY, 2)}
BODY_BYTES = 3 * 2**20
COLUMNS = {"inputs": {name: value.tolist() for name, value in FACE.items()}}
ROWS = {
    "instances": [
        {name: FACE[name][k].tolist() for name in FACE} for k in range(len(FACE["image"]))
    ]
}
MODEL = f"/v1/models/{NAME}"


@pytest.fixture(scope="module")
def server(tiny_versions):
    limits = RestLimits(body_bytes=BODY_BYTES, body_seconds=1.0, seconds=120)
    server = ModelServer(
        tiny_versions[0].parent,
        name=NAME,
        labels={"stable": 2},
        settings=ServerSettings(batching=BatchingParameters()),
        front=FrontOptions(rest_port=0, limits=limits),
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def http(server):
    with httpx.Client(
        base_url=f"http://{server.rest_address}", trust_env=False, timeout=120
    ) as client:
        yield client


@pytest.fixture(scope="module")
def stubs(server):
    stubs = Stubs(server.address)
    yield stubs
    stubs.channel.close()


def check_same(got, expected):
    assert set(got) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-4, atol=1e-3, err_msg=name)


def test_both_forms_give_what_grpc_gives(http, stubs):
    expected = arrays_of(stubs.predict(predict_request(FACE), timeout=120))
    columns = http.post(f"{MODEL}:predict", json=COLUMNS)
    assert columns.status_code == 200 and columns.headers["content-type"] == "application/json"
    check_same(columns.json()["outputs"], expected)
    rows = http.post(f"{MODEL}:predict", json=ROWS).json()["predictions"]
    check_same({name: [row[name] for row in rows] for name in rows[0]}, expected)


@pytest.mark.parametrize("target", ["", "/versions/2", "/labels/stable"])
def test_pictures_go_as_base64(http, stubs, target):
    image = {"b64": base64.b64encode(png(FACE["image"][0])).decode()}
    row = {"image_bytes": image, "landmarks": FACE["landmarks"][0].tolist()}
    body = {"signature_name": "encoded", "instances": [row]}
    (face,) = http.post(f"{MODEL}{target}:predict", json=body).json()["predictions"]
    one = {name: value[:1] for name, value in FACE.items()}
    expected = arrays_of(stubs.predict(predict_request(one), timeout=120))
    check_same(face, {name: value[0] for name, value in expected.items()})


def test_a_single_output_stands_alone_and_text_is_text(http):
    body = {"signature_name": "metadata", "instances": [""]}
    (facts,) = http.post(f"{MODEL}:predict", json=body).json()["predictions"]
    assert facts["model_name"] == "tiny"
    assert json.loads(facts["description"])["model_name"] == "tiny"


@pytest.mark.parametrize("target", ["", "/versions/2", "/labels/stable"])
def test_the_status_is_told(http, target):
    (status,) = http.get(MODEL + target).json()["model_version_status"]
    assert status == {
        "version": "2",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }


def test_the_metadata_are_told(http):
    answer = http.get(f"{MODEL}/metadata").json()
    assert answer["model_spec"] == {"name": NAME, "signature_name": "", "version": "2"}
    faces = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert faces["inputs"]["image"]["dtype"] == "DT_UINT8"
    assert [d["size"] for d in faces["inputs"]["landmarks"]["tensor_shape"]["dim"]] == [
        "-1", "478", "2",
    ]  # fmt: skip


NOT_FOUND = {"error": "Servable not found for request: Specific(tiny, 99)"}
ERRORS = {
    "unknown model": ("POST", "/v1/models/x:predict", COLUMNS, 404),
    "unknown version": ("POST", f"{MODEL}/versions/99:predict", COLUMNS, 404),
    "unknown label": ("POST", f"{MODEL}/labels/x:predict", COLUMNS, 400),
    "unknown signature": ("POST", f"{MODEL}:predict", {"signature_name": "x", "inputs": 1}, 400),
    "missing input": ("POST", f"{MODEL}:predict", {"inputs": {"image": [1]}}, 400),
    "wrong shape": ("POST", f"{MODEL}:predict", {"inputs": {**COLUMNS["inputs"], "image": 1}}, 400),
    "no form": ("POST", f"{MODEL}:predict", {}, 400),
    "classify": ("POST", f"{MODEL}:classify", {"examples": []}, 501),
    "status of an unknown model": ("GET", "/v1/models/x", None, 404),
    "status of an unknown version": ("GET", f"{MODEL}/versions/99", None, 404),
    "version too large": ("GET", f"{MODEL}/versions/{10**30}", None, 400),
    "not a version": ("GET", f"{MODEL}/versions/x", None, 400),
    "get of predict": ("GET", f"{MODEL}:predict", None, 400),
    "post of the status": ("POST", MODEL, {}, 400),
    "unknown verb": ("POST", f"{MODEL}:run", {}, 400),
    "unknown path": ("GET", "/v1/x", None, 400),
    "other path": ("GET", "/x", None, 404),
    "other method": ("DELETE", MODEL, None, 405),
    "path upwards": ("GET", "/v1/models/..%2f..%2fetc%2fpasswd", None, 400),
    "file": ("GET", "/etc/passwd", None, 404),
    "photo": ("POST", "/v1/reconstruct", {}, 404),
}


@pytest.mark.parametrize("case", ERRORS)
def test_every_mistake_has_its_status(http, case):
    method, path, body, status = ERRORS[case]
    answer = http.request(method, path, json=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"} and answer.json()["error"]


def test_errors_say_what_tensorflow_serving_says(http):
    answer = http.post(f"{MODEL}/versions/99:predict", json=COLUMNS)
    assert answer.json() == NOT_FOUND
    answer = http.get(f"{MODEL}:predict")
    assert answer.json() == {"error": f"Malformed request: GET {MODEL}:predict"}


BODIES = {
    "not json": (b"junk", {}, 400),
    "nothing": (b"", {}, 400),
    "deep": (b"[" * 10**6, {}, 400),
    "no object": (b"[]", {}, 400),
    "too large": (b" " * (BODY_BYTES + 1), {}, 413),
    "too large, in pieces": (iter([b" " * 2**20] * 4), {}, 413),
    "compressed": (b"{}", {"content-encoding": "gzip"}, 415),
}


@pytest.mark.parametrize("case", BODIES)
def test_bad_bodies_are_refused(http, case):
    content, headers, status = BODIES[case]
    answer = http.post(f"{MODEL}:predict", content=content, headers=headers)
    assert answer.status_code == status and answer.json()["error"]
    assert http.get(MODEL).status_code == 200


def say(server, text):
    """Sends bytes; what comes back until the server closes the connection."""
    host, _, port = server.rest_address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(text)
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_a_client_that_sends_all_before_it_reads_gets_its_answer(server):
    """It would be reset if the connection were closed while it sends, and lose the answer."""
    size = 16 * 2**20
    head = f"POST {MODEL}:predict HTTP/1.1\r\nhost: x\r\ncontent-length: {size}\r\n\r\n"
    assert say(server, head.encode() + bytes(size)).split()[1] == b"413"


HEADS = {
    "enormous": ("content-length: 99999999999999999999", b"413"),
    "too large": ("content-length: 4000000", b"413"),  # before it is sent
    "negative": ("content-length: -1", b"400"),
    "missing": ("content-length: 10", b"408"),
    "strange": ("transfer-encoding: x", b"400"),
    "both": ("content-length: 10\r\ntransfer-encoding: chunked", b"408"),
}


@pytest.mark.parametrize("case", HEADS)
def test_bodies_that_do_not_come_are_not_waited_for(server, http, case, monkeypatch):
    monkeypatch.setattr(http_bodies, "LINGER_SECONDS", 0.2)
    head, status = HEADS[case]
    answer = say(server, f"POST {MODEL}:predict HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n".encode())
    assert answer.split()[1] == status
    assert http.get(MODEL).status_code == 200


def test_a_client_that_sends_no_request_is_cut_off(server, monkeypatch):
    monkeypatch.setattr(http_server, "HEAD_SECONDS", 0.1)
    assert say(server, b"GET / HTTP/1.1\r\nx-slow: ") == b""


def send_for_ever(connection, data):
    while True:
        connection.sendall(data)


def test_a_client_that_does_not_read_its_answer_is_cut_off(server, http, monkeypatch):
    monkeypatch.setattr(http_server, "READ_SECONDS", 0.1)
    host, _, port = server.rest_address.rpartition(":")
    ask = f"GET {MODEL}/metadata HTTP/1.1\r\nhost: x\r\n\r\n".encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect((host, int(port)))
        with pytest.raises(ConnectionError):
            send_for_ever(connection, 100 * ask)
    assert http.get(MODEL).status_code == 200


def test_a_client_that_reads_slowly_gets_its_answer(monkeypatch):
    monkeypatch.setattr(http_server, "READ_SECONDS", 0.4)
    body = bytes(32 * 2**20)  # more than what the system keeps for a connection

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    listening = socket.create_server(("127.0.0.1", 0))
    serving = http_server.HttpServer(app, listening)
    serving.start()
    received = 0
    try:
        with socket.create_connection(listening.getsockname(), timeout=60) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            while part := connection.recv(2**20, socket.MSG_WAITALL):
                received += len(part)
                time.sleep(0.04)
    finally:
        serving.stop(1)
    assert received > len(body)


def test_an_answer_that_takes_too_long_is_given_up(tiny_versions):
    late = FrontOptions(rest_port=0, limits=RestLimits(seconds=1e-4))
    server = ModelServer(tiny_versions[0].parent, name=NAME, front=late)
    server.start()
    try:
        url = f"http://{server.rest_address}{MODEL}:predict"
        answer = httpx.post(url, json=COLUMNS, trust_env=False, timeout=120)
    finally:
        server.stop()
    assert answer.status_code == 504 and "eadline" in answer.json()["error"]


def test_clients_that_leave_do_no_harm(server, http):
    host, _, port = server.rest_address.rpartition(":")
    body = json.dumps(COLUMNS).encode()
    head = f"POST {MODEL}:predict HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
    for part in (body[: len(body) // 2], body):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(head.encode() + part)
    assert http.post(f"{MODEL}:predict", json=COLUMNS).status_code == 200


def test_many_clients_get_their_own_answers(http, stubs):
    """Faces that differ, sent at once over both protocols."""
    faces = [FACE["landmarks"][:1] + np.float32(k) for k in range(12)]

    def ask(landmarks):
        body = {"inputs": {"image": FACE["image"][:1].tolist(), "landmarks": landmarks.tolist()}}
        return http.post(f"{MODEL}:predict", json=body).json()["outputs"]["translation"]

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, faces))
    for landmarks, answer in zip(faces, answers):
        request = predict_request({"image": FACE["image"][:1], "landmarks": landmarks})
        expected = arrays_of(stubs.predict(request, timeout=120))["translation"]
        np.testing.assert_allclose(answer, expected, atol=1e-3)


def counted(http, **labels):
    text = http.get("/monitoring/prometheus/metrics").text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "facerelief_serving_requests_total"
        and labels.items() <= sample.labels.items()
    )


def test_requests_of_both_protocols_are_counted(http, stubs):
    before = [counted(http, protocol=protocol, code="OK") for protocol in ("grpc", "rest")]
    wrong = counted(http, protocol="grpc", code="INVALID_ARGUMENT", model=NAME)
    stubs.predict(predict_request(FACE), timeout=120)
    http.post(f"{MODEL}:predict", json=COLUMNS)
    with pytest.raises(grpc.RpcError):
        stubs.predict(predict_request({}), timeout=120)
    after = [counted(http, protocol=protocol, code="OK") for protocol in ("grpc", "rest")]
    assert np.subtract(after, before).tolist() == [1, 1]
    assert counted(http, protocol="grpc", code="INVALID_ARGUMENT", model=NAME) == wrong + 1
    text = http.get("/monitoring/prometheus/metrics").text
    assert f'model_load_seconds{{model="{NAME}",version="2"}}' in text
    of_model = f'{{model="{NAME}",signature="serving_default"}}'
    (examples,) = re.findall(rf"batch_size_sum{of_model} (\S+)", text)
    assert float(examples) >= 2 * len(FACE["image"])  # those of the two answers at least
    assert f"queue_depth{of_model} 0.0" in text


def test_health_is_told_over_http(http):
    assert (http.get("/healthz").status_code, http.get("/healthz").text) == (200, "SERVING\n")


def test_services_are_listed(stubs):
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(stubs.channel)
    (answer,) = stub.ServerReflectionInfo(iter([request]), timeout=60)
    assert {service.name for service in answer.list_services_response.service} == {
        "tensorflow.serving.PredictionService",
        "tensorflow.serving.ModelService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


@pytest.mark.slow
def test_a_server_that_ends_answers_what_has_begun(tiny_versions):
    server = ModelServer(tiny_versions[1], name=NAME, front=FrontOptions(rest_port=0))
    server.start()
    url = f"http://{server.rest_address}{MODEL}:predict"
    with concurrent.futures.ThreadPoolExecutor(1) as threads, httpx.Client(
        trust_env=False, timeout=120
    ) as client:  # fmt: skip
        first = threads.submit(client.post, url, json=COLUMNS)
        while not server._front._http._server.server_state.tasks:
            assert not first.done()
            time.sleep(0.001)
        server.stop()
        assert first.result().status_code == 200
        with pytest.raises(httpx.ConnectError):
            client.get(url)
