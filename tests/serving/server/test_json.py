"""REST bodies to Predict requests and answers to REST bodies, against TensorFlow's own tensors."""

import base64
import json
import sys
import warnings

import grpc
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import predict_pb2

from serving.server import json_answers, json_requests
from serving.server.predict import read_inputs
from serving.server.status import ServingError

CODE = grpc.StatusCode


def signature(**inputs):
    """A SignatureDef with inputs of any shape: dtypes by name."""
    definition = SignatureDef()
    for name, dtype in inputs.items():
        info = definition.inputs[name]
        info.name, info.dtype = f"{name}:0", tf.as_dtype(dtype).as_datatype_enum
        info.tensor_shape.unknown_rank = True
    return {"serving_default": definition}


def read(body, signatures):
    """What a graph is fed with for a body, by input, and whether it has the row form."""
    request = predict_pb2.PredictRequest()
    content = json_requests.read_json(json.dumps(body).encode())
    rows = json_requests.fill_request(request, content, signatures)
    fed = read_inputs(signatures["serving_default"], request.inputs)
    return {name.removesuffix(":0"): value for name, value in fed.items()}, rows


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64", "bool"])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_numbers_arrive_as_they_are_in_both_forms(dtype, data):
    shapes = arrays.array_shapes(min_dims=1, max_dims=3, max_side=4)
    finite = {} if dtype[0] != "f" else {"allow_nan": False}
    elements = arrays.from_dtype(np.dtype(dtype), **finite)
    x = data.draw(arrays.arrays(dtype, shapes, elements=elements))
    one, two = signature(x=dtype), signature(x=dtype, y=dtype)
    forms = [
        (one, {"instances": x.tolist()}),
        (one, {"inputs": x.tolist()}),
        (one, {"inputs": {"x": x.tolist()}}),
        (two, {"instances": [{"x": value, "y": value} for value in x.tolist()]}),
        (two, {"inputs": {"x": x.tolist(), "y": x.tolist()}}),
    ]
    for signatures, body in forms:
        fed, rows = read(body, signatures)
        assert rows == ("instances" in body)
        for value in fed.values():
            assert value.dtype == dtype
            np.testing.assert_array_equal(value, x)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.one_of(st.binary(), st.text("aä\n\0\U0001f600")), min_size=1))
def test_bytes_and_text_arrive_as_they_are(values):
    written = [b64(value) if isinstance(value, bytes) else value for value in values]
    expected = [value if isinstance(value, bytes) else value.encode() for value in values]
    for body in ({"instances": written}, {"inputs": written}, {"inputs": {"x": written}}):
        fed, _ = read(body, signature(x="string"))
        assert fed["x"].tolist() == expected
    rows = [{"x": one, "n": k} for k, one in enumerate(written)]
    fed, _ = read({"instances": rows}, signature(x="string", n="int32"))
    assert fed["x"].tolist() == expected


def test_a_signature_is_named():
    request = predict_pb2.PredictRequest()
    body = {"signature_name": "other", "inputs": [1]}
    json_requests.fill_request(request, body, {"other": signature(x="int32")["serving_default"]})
    assert request.model_spec.signature_name == "other"


MISTAKES = {
    "no form": {},
    "both forms": {"inputs": [1], "instances": [1]},
    "no list": {"instances": 3},
    "no example": {"instances": []},
    "null": {"inputs": None},
    "ragged": {"inputs": [[1], [1, 2]]},
    "text": {"inputs": ["1"]},
    "fraction": {"inputs": [1.5]},
    "boolean": {"inputs": [True]},
    "too large": {"inputs": [256]},
    "negative": {"inputs": [-1]},
    "huge": {"inputs": [10**40]},
    "object in a list": {"inputs": [{"y": 1}]},
    "unknown input": {"inputs": {"y": [1]}},
    "more inputs": {"inputs": {"x": [1], "y": [1]}},
    "different rows": {"instances": [{"x": 1}, {"y": 1}]},
    "row without names": {"instances": [{"x": 1}, 1]},
    "signature is no text": {"signature_name": 1, "inputs": [1]},
    "deep": {"inputs": json.loads("[" * 60 + "]" * 60)},
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_body_that_does_not_fit_is_an_invalid_argument(case):
    with pytest.raises(ServingError) as caught:
        read(MISTAKES[case], signature(x="uint8"))
    assert caught.value.code is CODE.INVALID_ARGUMENT and caught.value.message


@pytest.mark.parametrize("value", ["%%%", 1, None])
def test_base64_is_checked(value):
    with pytest.raises(ServingError) as caught:
        read({"inputs": [{"b64": value}]}, signature(x="string"))
    assert caught.value.code is CODE.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[1]", b"\xff", b"[" * 100_000, b'{"inputs": [1}', b'{"a\\uD800": 1}'],
)
def test_what_is_no_json_object_is_said(body):
    with pytest.raises(ServingError, match="JSON Parse error") as caught:
        json_requests.read_json(body)
    assert caught.value.code is CODE.INVALID_ARGUMENT


def test_a_body_near_the_limit_of_recursion_is_read_or_refused():
    """The check of its characters goes deeper by a frame than the reader."""
    limit, outcomes = sys.getrecursionlimit(), set()
    for depth in range(limit - 300, limit):
        body = b'{"inputs": ' + b"[" * depth + b'"\\ud83d\\ude00"' + b"]" * depth + b"}"
        try:
            outcomes |= set(json_requests.read_json(body))
        except ServingError as error:
            outcomes.add(error.code)
    assert outcomes == {"inputs", CODE.INVALID_ARGUMENT}


def test_the_warnings_of_the_process_are_left_alone(monkeypatch):
    """They are those of all threads, and many read requests."""
    filters, seen, asarray = warnings.filters, [], np.asarray

    def watched(*values, **options):
        seen.append(warnings.filters is filters)
        return asarray(*values, **options)

    with monkeypatch.context() as patched:
        patched.setattr(np, "asarray", watched)
        read({"inputs": [1]}, signature(x="uint8"))
    assert seen and all(seen)


def test_an_unknown_signature_is_a_failed_precondition():
    with pytest.raises(ServingError) as caught:
        read({"signature_name": "x", "inputs": [1]}, signature(x="uint8"))
    assert caught.value.code is CODE.FAILED_PRECONDITION


def answer(rows=False, **outputs):
    response = predict_pb2.PredictResponse()
    for name, value in outputs.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return json.loads(json_answers.encode_predict(response, rows=rows))


def test_answers_are_rows_or_columns():
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([1, 2], np.uint8)
    assert answer(a=a) == {"outputs": a.tolist()}
    assert answer(a=a, b=b) == {"outputs": {"a": a.tolist(), "b": [1, 2]}}
    assert answer(a=a, rows=True) == {"predictions": a.tolist()}
    both = [{"a": [0, 1, 2], "b": 1}, {"a": [3, 4, 5], "b": 2}]
    assert answer(a=a, b=b, rows=True) == {"predictions": both}
    for values in ({"a": a, "b": b[:1]}, {"a": np.float32(1)}):
        with pytest.raises(ServingError):
            answer(rows=True, **values)


def test_bytes_in_answers_are_base64_where_the_name_says_so():
    texts = [b"a", "ä".encode()]
    assert answer(x=texts) == {"outputs": ["a", "ä"]}
    assert answer(x_bytes=texts) == {"outputs": [b64(text) for text in texts]}


def test_floats_come_back_to_the_last_bit():
    values = np.random.default_rng(0).normal(size=100).astype(np.float32)
    np.testing.assert_array_equal(np.float32(answer(a=values)["outputs"]), values)
    odd = answer(a=np.float32([np.nan, np.inf, -np.inf]))["outputs"]
    np.testing.assert_array_equal(odd, [np.nan, np.inf, -np.inf])


@pytest.mark.parametrize(
    "dtype", ["bool", "uint8", "int64", "uint64", "float16", "bfloat16", "float32"]
)
@pytest.mark.parametrize("rows", [True, False])
def test_numbers_of_every_type_are_written(dtype, rows):
    x = np.array([[1, 0, 1], [0, 1, 1]]).astype(tf.as_dtype(dtype).as_numpy_dtype)
    name = "predictions" if rows else "outputs"
    for value in (x, x[:, 0], x[:, :0]):
        assert answer(a=value, rows=rows) == {name: value.tolist()}
    both = answer(a=x, b=x[:, 0], rows=rows)[name]
    read_back = [[one[key] for one in both] if rows else both[key] for key in "ab"]
    assert read_back == [x.tolist(), x[:, 0].tolist()]
    if not rows:
        assert answer(a=x[0, 0]) == {name: x[0, 0].tolist()}


def test_characters_in_two_escapes_are_read():
    assert json_requests.read_json(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}
