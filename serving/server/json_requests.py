"""Predict requests from JSON, as TensorFlow Serving's REST interface reads them.

Row form: {"instances": [...]}, one value (or one object with a value for each input) an example.
Column form: {"inputs": ...}, the whole batch of the only input, or an object with that of each.
Bytes are {"b64": "..."}.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import predict_pb2

from serving.server.predict import find_signature
from serving.server.status import invalid

ROW, COLUMN = "instances", "inputs"
SIGNATURE_NAME = "signature_name"
B64 = "b64"


def read_json(body: bytes) -> dict[str, Any]:
    """The JSON object of a body.

    Raises:
      ServingError: INVALID_ARGUMENT if it is none.
    """
    try:
        value = json.loads(body)
        halved = _has_half_characters(body, value)  # goes deeper by a frame than loads
    except (ValueError, RecursionError) as error:
        text = getattr(error, "msg", None) or type(error).__name__
        raise invalid(f"JSON Parse error: {text} at offset: {getattr(error, 'pos', 0)}") from None
    if halved:
        raise invalid("JSON Parse error: the surrogate pair in a string is invalid")
    if not isinstance(value, dict):
        raise invalid(f"JSON Parse error: the body should be an object, got {_kind(value)}")
    return value


def _has_half_characters(body: bytes, value: Any) -> bool:
    """Whether a string in a body cannot be written as UTF-8."""
    if rb"\ud" not in body.lower() and body.isascii():
        return False  # as nearly always
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def signature_name(body: Mapping[str, Any]) -> str:
    """Which signature a body asks for; empty for the default one.

    Raises:
      ServingError: INVALID_ARGUMENT if it isn't a string.
    """
    name = body.get(SIGNATURE_NAME, "")
    if not isinstance(name, str):
        raise invalid(f"'{SIGNATURE_NAME}' key must be a string value.")
    return name


def fill_request(
    request: predict_pb2.PredictRequest,
    body: Mapping[str, Any],
    signatures: Mapping[str, SignatureDef],
) -> bool:
    """Puts the inputs of a body into a request.

    Args:
      request: without inputs; gets the signature's name and the inputs.
      body: A JSON object.
      signatures: Of the model that it is for.

    Returns:
      Whether it has the row form, as the answer should have then.

    Raises:
      ServingError: INVALID_ARGUMENT if the body does not fit the signature; FAILED_PRECONDITION if
        there is no such signature.
    """
    request.model_spec.signature_name = signature_name(body)
    _, signature = find_signature(signatures, request.model_spec.signature_name)
    rows = _is_row_form(body)
    columns = _from_rows(body[ROW], signature) if rows else _from_columns(body[COLUMN], signature)
    for name, value in columns.items():
        info = signature.inputs.get(name)
        array = _array(name, value, tf.dtypes.as_dtype(info.dtype) if info else None)
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array, info and info.dtype))
    return rows


def _is_row_form(body: Mapping[str, Any]) -> bool:
    if (ROW in body) == (COLUMN in body):
        found = "both" if ROW in body else "neither"
        raise invalid(f"the body should have either '{ROW}' or '{COLUMN}', got {found}")
    return ROW in body


def _from_rows(rows: Any, signature: SignatureDef) -> dict[str, list]:
    if not isinstance(rows, list) or not rows:
        raise invalid(f"'{ROW}' should be a list with at least one example, got {_kind(rows)}")
    if not _has_names(rows[0]):
        return {_only_input(signature): rows}
    names = set(rows[0])
    for k, row in enumerate(rows):
        if not _has_names(row) or set(row) != names:
            raise invalid(
                f"Failed to process element: {k} of '{ROW}' list: it should have the inputs "
                f"{sorted(names)} as the first one"
            )
    return {name: [row[name] for row in rows] for name in names}


def _from_columns(columns: Any, signature: SignatureDef) -> dict[str, Any]:
    return columns if _has_names(columns) else {_only_input(signature): columns}


def _has_names(value: Any) -> bool:
    """Whether a value is an object with inputs, and not bytes."""
    return isinstance(value, dict) and set(value) != {B64}


def _only_input(signature: SignatureDef) -> str:
    if len(signature.inputs) != 1:
        raise invalid(
            f"the signature has the inputs {sorted(signature.inputs)}: give an object with a value "
            "for each"
        )
    return next(iter(signature.inputs))


def _array(name: str, value: Any, dtype: tf.DType | None) -> np.ndarray:
    """A JSON value as an array of a type; of an unknown input, which Predict refuses, of any."""
    if dtype is None:
        return np.zeros(0, np.float32)
    if dtype == tf.string:
        return _strings(name, value)
    array = _numbers(name, value)
    kinds = {"f": "iuf", "c": "iuf", "b": "b"}.get(dtype.as_numpy_dtype(0).dtype.kind, "iu")
    if array.size and array.dtype.kind not in kinds:
        raise invalid(f"input {name} should be {dtype.name}, got {_described(array)}")
    if dtype.is_integer and array.size and not _within(array, dtype):
        raise invalid(f"input {name} has values that are out of the range of {dtype.name}")
    return array.astype(dtype.as_numpy_dtype)


def _numbers(name: str, value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except (ValueError, OverflowError, RecursionError):
        raise invalid(
            f"input {name}: lists of different lengths, or too deep or large numbers"
        ) from None


def _within(array: np.ndarray, dtype: tf.DType) -> bool:
    return int(array.min()) >= dtype.min and int(array.max()) <= dtype.max


def _described(array: np.ndarray) -> str:
    kinds = {"U": "strings", "O": "objects or null", "b": "booleans", "f": "fractions"}
    return kinds.get(array.dtype.kind, array.dtype.name)


def _strings(name: str, value: Any) -> np.ndarray:
    """Nested lists of strings and of {"b64": ...} -> bytes in an array of the same shape."""
    array = np.empty((), object)
    if isinstance(value, list):
        array = _nested(name, value)
    else:
        array[()] = value
    result = np.empty(array.size, object)
    for k, one in enumerate(array.ravel()):
        result[k] = _bytes(name, one)
    return result.reshape(array.shape)


def _nested(name: str, value: list) -> np.ndarray:
    try:
        return np.asarray(value, object)
    except (ValueError, RecursionError):
        raise invalid(f"input {name}: lists of different lengths") from None


def _bytes(name: str, value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, dict) and set(value) == {B64} and isinstance(value[B64], str):
        try:
            return base64.b64decode(value[B64], validate=True)
        except (binascii.Error, ValueError):
            raise invalid(f"input {name}: unable to base64 decode") from None
    raise invalid(f'input {name} should be strings or {{"{B64}": ...}}, got {_kind(value)}')


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else names.get(type(value), "a number")
