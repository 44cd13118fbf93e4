"""The server's answers, case by case; they are those of tensorflow_model_server."""

import cv2
import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2
from model_servers import (
    KINDS,
    NAME,
    arrays_of,
    face_landmarks,
    metadata_request,
    pictures,
    predict_request,
    running,
)
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)

from facemodel.morphable.model import MorphableModel
from facemodel.saved_model.metadata import MESH_OUTPUTS
from serving.saved_function import SavedFunction

TINY = MorphableModel.tiny()
FACE = {"image": pictures(), "landmarks": face_landmarks(TINY)}
CODE = grpc.StatusCode


@pytest.fixture(scope="module", params=KINDS)
def server(request, tiny_versions, tmp_path_factory):
    folder = tiny_versions[0].parent
    work = tmp_path_factory.mktemp("server")
    with running(request.param, folder, work, labels={"latest": 2}) as server:
        yield server


@pytest.fixture(scope="module")
def local(tiny_versions):
    return SavedFunction(tiny_versions[1])(**FACE)


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
    "mesh": FACE,
    "encoded": {"image_bytes": [png(FACE["image"][0])], "landmarks": FACE["landmarks"]},
    "examples": {"examples": [serialized_example()]},
}


@pytest.mark.serving
@pytest.mark.parametrize("signature", SIGNATURES)
def test_every_signature_of_faces_gives_what_the_saved_model_gives(server, local, signature):
    request = predict_request(SIGNATURES[signature], signature=signature)
    response = server.stubs.predict(request, timeout=60)
    named = MESH_OUTPUTS if signature == "mesh" else local
    check_same(arrays_of(response), {name: local[name] for name in named})
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
    with pytest.raises(grpc.RpcError) as caught:
        server.stubs.classify(classification_pb2.ClassificationRequest(), timeout=60)
    stock = CODE.INVALID_ARGUMENT  # it classifies, and this request says nothing
    assert caught.value.code() is (CODE.UNIMPLEMENTED if server.kind == "facerelief" else stock)
