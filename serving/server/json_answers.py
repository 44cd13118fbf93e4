"""Answers as JSON, as TensorFlow Serving's REST interface writes them."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, predict_pb2

from serving.server.status import invalid

BYTES_SUFFIX = "_bytes"
"""Outputs whose name ends in this are {"b64": ...}, other strings are text."""


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
    lists = {name: _as_json(name, array) for name, array in arrays.items()}
    if len(lists) == 1:
        value: Any = next(iter(lists.values()))
    elif rows:
        value = [dict(zip(lists, row)) for row in zip(*lists.values())]
    else:
        value = lists
    return json.dumps({"predictions" if rows else "outputs": value}).encode()


def _check_rows(arrays: Mapping[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information")
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        raise invalid(f"the outputs have different batch sizes: {sizes}; ask in the column form")


def _as_json(name: str, array: np.ndarray) -> Any:
    if array.dtype.kind not in "OS":
        return array.tolist()
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
