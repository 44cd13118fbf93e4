"""Checks Predict requests against a signature and turns their tensors into arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from serving.server.settings import MAX_ROWS
from serving.server.status import ServingError, invalid

DEFAULT_SIGNATURE = "serving_default"
INITIALIZER = "__saved_model_init_op"
"""A signature by which a SavedModel names an operation; it has no outputs."""
MAX_TENSOR_BYTES = 512 * 2**20
"""A few bytes of request can describe a tensor of any size; larger ones than this are refused."""
_STRING_BYTES = 8
"""Of a string in an array, without its text."""


def find_signature(signatures: Mapping[str, SignatureDef], name: str) -> tuple[str, SignatureDef]:
    """Gives the SignatureDef of a name, the default one's if it is empty, with its name.

    Raises:
      ServingError: FAILED_PRECONDITION if there is none.
    """
    name = name or DEFAULT_SIGNATURE
    if name not in signatures or name == INITIALIZER:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.'
        )
    return name, signatures[name]


def read_inputs(
    signature: SignatureDef, tensors: Mapping, *, max_rows: int = MAX_ROWS
) -> dict[str, np.ndarray]:
    """Turns the tensors of a request into what a session is fed with.

    Args:
      signature: What the inputs should be.
      tensors: TensorProtos by input name.
      max_rows: Most rows (size of dimension 0, where the signature leaves it open).

    Returns:
      Arrays by the graph's tensor names.

    Raises:
      ServingError: INVALID_ARGUMENT if an input is missing, too much, of another type or shape or
        damaged; RESOURCE_EXHAUSTED if it is too large.
    """
    sent, wanted = set(tensors), set(signature.inputs)
    if sent != wanted:
        raise invalid(
            f"input size does not match signature: {len(sent)}!={len(wanted)} "
            f"len({_names(sent)}) != len({_names(wanted)}). Sent extra: {_names(sent - wanted)}. "
            f"Missing but required: {_names(wanted - sent)}."
        )
    return {
        info.name: _read_tensor(name, tensors[name], info, max_rows)
        for name, info in signature.inputs.items()
    }


def choose_outputs(signature: SignatureDef, output_filter: Sequence[str]) -> list[str]:
    """Names the outputs that were asked for, all of the signature's if none.

    Raises:
      ServingError: INVALID_ARGUMENT if one is unknown or named twice.
    """
    for k, name in enumerate(output_filter):
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} "
                f"Outputs expected to be in the set {_names(signature.outputs)}."
            )
        if name in output_filter[:k]:
            raise invalid(f"duplicate output tensor alias: {name}")
    return list(output_filter) or sorted(signature.outputs)


def write_tensor(value: np.ndarray, dtype: int, proto) -> None:
    """Fills a TensorProto with an array.

    Args:
      value: an output of the session.
      dtype: Its DataType.
      proto: TensorProto to fill.
    """
    if value.dtype.hasobject:  # strings
        proto.CopyFrom(tf.make_tensor_proto(value, dtype=dtype))
        return
    proto.dtype = dtype
    for size in value.shape:
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = value.tobytes()


def _read_tensor(name: str, proto, info, max_rows: int) -> np.ndarray:
    expected, shape = tf.dtypes.as_dtype(info.dtype), [d.size for d in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise invalid(f"tensor parsing error: {name}")
    if proto.dtype != info.dtype or not _fits(shape, info.tensor_shape):
        raise invalid(
            f"input {name} should be {expected.name} {_shape_text(info.tensor_shape)}, "
            f"got {_type_name(proto.dtype)} {_shape_text(proto.tensor_shape)}"
        )
    _check_size(name, shape, info, max_rows)
    try:
        return tf.make_ndarray(proto)
    except (ValueError, TypeError):
        raise invalid(f"tensor parsing error: {name}") from None


def _check_size(name: str, shape: Sequence[int], info, max_rows: int) -> None:
    bytes_each = tf.dtypes.as_dtype(info.dtype).size or _STRING_BYTES
    rows = info.tensor_shape.dim[0].size if info.tensor_shape.dim else 0
    if rows < 0 and shape[0] > max_rows:
        problem = f"has {shape[0]} rows; this server takes {max_rows} in a request"
    elif math.prod(shape) * bytes_each > MAX_TENSOR_BYTES:
        problem = f"is larger than {MAX_TENSOR_BYTES // 2**20} MiB"
    else:
        return
    raise ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, f"input {name} {problem}")


def _fits(shape: Sequence[int], expected) -> bool:
    if expected.unknown_rank:
        return True
    sizes = [dimension.size for dimension in expected.dim]
    return len(sizes) == len(shape) and all(
        size in (-1, given) for size, given in zip(sizes, shape)
    )


def _type_name(number: int) -> str:
    try:
        return tf.dtypes.as_dtype(number).name
    except TypeError:
        return f"type {number}"


def _shape_text(shape) -> str:
    if shape.unknown_rank:
        return "of any shape"
    sizes = ("?" if dimension.size < 0 else str(dimension.size) for dimension in shape.dim)
    return f"[{', '.join(sizes)}]"


def _names(names: Iterable[str]) -> str:
    return f"{{{','.join(sorted(names))}}}"
