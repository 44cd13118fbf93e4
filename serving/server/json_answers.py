"""Answers as JSON, as TensorFlow Serving's REST interface writes them."""

from __future__ import annotations

import base64
import json
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from serving.server.status import invalid

BYTES_SUFFIX = "_bytes"
"""Outputs whose name ends in this are {"b64": ...}, other strings are text."""
_AS_LISTS = operator.methodcaller("tolist")
"""For what a JSON encoder does not know: arrays, and numbers of rarer types."""


def encode_predict(response: predict_pb2.PredictResponse, *, rows: bool) -> bytes:
    """{"predictions": [...]} for the row form, {"outputs": ...} for the column form.

    A single output stands alone, several are an object (in the row form, one for each example).
    NaN and infinities are written so, as TensorFlow Serving does, though JSON itself has none.

    Raises:
      ServingError: INVALID_ARGUMENT if rows are asked for and outputs have no common batch size.
    """
    arrays = {name: tf.make_ndarray(proto) for name, proto in sorted(response.outputs.items())}
    if rows:
        _check_rows(arrays)
    values = {name: _with_texts(name, array) for name, array in arrays.items()}
    if len(values) == 1:
        value: Any = next(iter(values.values()))
    elif rows:
        value = [dict(zip(values, row)) for row in zip(*values.values())]
    else:
        value = values
    finite = all(np.isfinite(array).all() for array in arrays.values() if not _has_texts(array))
    return _numbers_as_json({"predictions" if rows else "outputs": value}, finite=finite)


def _check_rows(arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information")
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise invalid(f"the outputs have different batch sizes: {sizes}; ask in the column form")


def _numbers_as_json(value: Any, *, finite: bool) -> bytes:
    """JSON of lists, dicts and arrays.

    Arrays are written as they are: with a Python object for each number it takes nine times as
    long. Numbers that are not finite only Python's own encoder writes.
    """
    if finite:
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY, default=_AS_LISTS)
    return json.dumps(value, default=_AS_LISTS).encode()


def _has_texts(array: np.ndarray) -> bool:
    return array.dtype.kind in "OS"


def _with_texts(name: str, array: np.ndarray) -> Any:
    """Nested lists in place of an array of strings; any other array as it is."""
    if not _has_texts(array):
        return array
    write = _base64 if name.endswith(BYTES_SUFFIX) else _text
    flat = np.empty(array.size, object)
    for k, value in enumerate(array.ravel()):
        flat[k] = write(bytes(value))
    return flat.reshape(array.shape).tolist()


def _base64(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode()}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def encode_status(response: get_model_status_pb2.GetModelStatusResponse) -> bytes:
    """{"model_version_status": [{"version", "state", "status": {...}}]}."""
    return _pretty(_fields(response))


def encode_metadata(response: get_model_metadata_pb2.GetModelMetadataResponse) -> bytes:
    """{"model_spec": {...}, "metadata": {"signature_def": {"signature_def": {...}}}}."""
    definitions = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(definitions)
    spec = response.model_spec
    return _pretty(
        {
            "model_spec": {
                "name": spec.name,
                "signature_name": spec.signature_name,
                "version": str(spec.version.value),
            },
            "metadata": {"signature_def": _fields(definitions)},
        }
    )


def encode_error(message: str) -> bytes:
    """{"error": "..."}."""
    return json.dumps({"error": message}).encode()


def _fields(message) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, including_default_value_fields=True
    )


def _pretty(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
