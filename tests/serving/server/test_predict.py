"""Requests against a loaded model: what fits, what is refused, and warm-up."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from model_servers import arrays_of, face_landmarks, pictures, predict_request, with_warm_up
from tensorflow.core.framework import tensor_pb2

from facemodel.morphable.model import MorphableModel
from facemodel.saved_model.metadata import WARMUP_REQUESTS
from serving.saved_function import SavedFunction
from serving.server import predict, warmup
from serving.server.loaded_model import LoadedModel
from serving.server.status import ServingError

TINY = MorphableModel.tiny()
FACE = {"image": pictures(), "landmarks": face_landmarks(TINY)}
CODE = grpc.StatusCode


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
    "rows of few bytes": (
        {
            "image": tf.make_tensor_proto(1, tf.uint8, (300, 1, 1, 3)),
            "landmarks": tf.make_tensor_proto(1.0, tf.float32, (300, 478, 2)),
        },
        CODE.RESOURCE_EXHAUSTED,
        "has 300 rows; this server takes 256 in a request",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUTS)
def test_inputs_that_do_not_fit_are_refused(loaded, case):
    tensors, code, message = BAD_INPUTS[case]
    with pytest.raises(ServingError, match=message) as caught:
        predict.read_inputs(loaded.signatures["serving_default"], tensors)
    assert caught.value.code is code


def test_a_string_is_not_repeated_without_end(loaded):
    repeated = {"request": tf.make_tensor_proto(b"", tf.string, (2**20,))}
    with pytest.raises(ServingError, match="1048576 rows"):
        predict.read_inputs(loaded.signatures["metadata"], repeated)
    three = {"request": tf.make_tensor_proto(b"", tf.string, (3,))}
    with pytest.raises(ServingError, match="has 3 rows; this server takes 2"):
        predict.read_inputs(loaded.signatures["metadata"], three, max_rows=2)
    [array] = predict.read_inputs(loaded.signatures["metadata"], three).values()
    assert array.shape == (3,)


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
    expected = SavedFunction(tiny_versions[0])(**FACE)
    answer = arrays_of(loaded.predict(predict_request(FACE)))
    assert set(answer) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name], value, rtol=1e-4, atol=1e-4, err_msg=name)


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
    file = tmp_path / WARMUP_REQUESTS
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
