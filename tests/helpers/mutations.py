"""Changes of valid requests: of their bytes, of the fields of a message, of values in JSON.

All take a numpy generator, so that a number names a request.
"""

import json
import math

import numpy as np
from tensorflow_serving.apis import predict_pb2

SIZES = (-(2**63), -1, 0, 1, 2, 3, 7, 478, 1000, 2**20, 2**31, 2**32 + 1, 2**62, 2**63 - 1)
NAMES = (
    "",
    "tiny",
    "x",
    "metadata",
    "__saved_model_init_op",
    "../../etc",
    "a" * 5000,
    "\x00",
    "\u00fc",
)
VALUES = (
    None, True, False, 0, -1, 1e308, 1e400, -1e400, math.nan, 2**63, 10**400, "", "text", "\ud800",
    [], [[]], [[1], [1, 2]], {}, {"b64": "!"}, {"b64": ""}, {"b64": "AAAA"}, {"b64": 1},
    {"b64": "AAAA", "x": 1}, [None], [[[[[[[[[[1]]]]]]]]]], "9" * 1000, [{"image": 1}],
)  # fmt: skip


def mutate_bytes(rng, data, other=b""):
    """Flips, cuts, doubles or inserts bytes, or goes on with those of another request."""
    data = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at, end = sorted(int(k) for k in rng.integers(0, len(data) + 1, 2))
        end = min(end, at + int(rng.integers(1, 64)))
        how = rng.integers(6)
        if how == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << int(rng.integers(8))
        elif how == 1:
            del data[at:end]
        elif how == 2:
            data[at:at] = data[at:end] * int(rng.integers(1, 4))
        elif how == 3:
            data[at:at] = rng.bytes(int(rng.integers(1, 16)))
        elif how == 4:
            data[at:end] = bytes([int(rng.choice([0, 0x7F, 0x80, 0xFF]))]) * (end - at)
        else:
            data = data[:at] + other[int(rng.integers(0, len(other) + 1)) :]
    return bytes(data)


def mutate_predict(rng, data, other):
    """Changes fields of a PredictRequest; its own bytes and those of image files, too."""
    request = predict_pb2.PredictRequest.FromString(data)
    for _ in range(int(rng.integers(1, 3))):
        change = PREDICT_CHANGES[rng.integers(len(PREDICT_CHANGES))]
        change(rng, request, other)
    return request.SerializeToString()


def _name(rng):
    return NAMES[rng.integers(len(NAMES))]


def _change_spec(rng, request, _other):
    spec, how = request.model_spec, rng.integers(5)
    if how == 0:
        spec.name = _name(rng)
    elif how == 1:
        spec.signature_name = _name(rng)
    elif how == 2:
        spec.version.value = int(rng.choice(SIZES))
    elif how == 3:
        spec.version_label = _name(rng)
    else:
        request.ClearField("model_spec")


def _change_shape(rng, request, _other):
    shape = _some_tensor(rng, request).tensor_shape
    how = rng.integers(4)
    if how == 0:
        shape.unknown_rank = True
    elif how == 1:
        shape.dim.add(size=int(rng.choice(SIZES)))
    elif shape.dim:
        at = int(rng.integers(len(shape.dim)))
        if how == 2:
            shape.dim[at].size = int(rng.choice(SIZES))
        else:
            del shape.dim[at]


def _change_values(rng, request, other):
    tensor, how = _some_tensor(rng, request), rng.integers(7)
    if how == 0:
        tensor.dtype = int(rng.integers(-1, 130))
    elif how == 1:
        tensor.tensor_content = mutate_bytes(rng, tensor.tensor_content, other)
    elif how == 2:
        tensor.ClearField("tensor_content")
    elif how == 3:
        tensor.float_val.extend(rng.choice([0.0, math.nan, math.inf, 1e38], int(rng.integers(4))))
    elif how == 4:
        tensor.int_val.extend(int(k) for k in rng.integers(-(2**31), 2**31, int(rng.integers(4))))
    elif how == 5:
        del tensor.string_val[int(rng.integers(len(tensor.string_val) + 1)) :]
    elif tensor.string_val:
        at = int(rng.integers(len(tensor.string_val)))
        tensor.string_val[at] = mutate_bytes(rng, tensor.string_val[at], other)


def _change_landmarks(rng, request, _other):
    """Right in form, and nonsense."""
    if "landmarks" in request.inputs:
        tensor = request.inputs["landmarks"]
        count = len(tensor.tensor_content) // 4
        values = rng.choice([0.0, 1e-30, 1e30, -5.0, math.nan, math.inf], count)
        tensor.tensor_content = values.astype(np.float32).tobytes()


def _change_inputs(rng, request, _other):
    names = sorted(request.inputs)
    if rng.integers(2) or not names:
        request.inputs[_name(rng)].CopyFrom(_some_tensor(rng, request))
    else:
        del request.inputs[names[rng.integers(len(names))]]


def _change_outputs(rng, request, _other):
    names = ("scale", "scale", "scale", "", "x", "image")
    request.output_filter.extend(rng.choice(names, int(rng.integers(1, 3))))


def _some_tensor(rng, request):
    names = sorted(request.inputs) or ["image"]
    return request.inputs[names[rng.integers(len(names))]]


PREDICT_CHANGES = (
    _change_spec,
    _change_shape,
    _change_shape,
    _change_values,
    _change_values,
    _change_landmarks,
    _change_inputs,
    _change_outputs,
)


def mutate_json(rng, value):
    """The text of a JSON value in which one or two values or keys are others."""
    for _ in range(int(rng.integers(1, 3))):
        value = _changed(rng, value)
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _changed(rng, value):
    """A copy with one change, somewhere below."""
    items = list(value.items()) if isinstance(value, dict) else None
    if not value or not isinstance(value, dict | list) or rng.integers(5) == 0:
        return VALUES[rng.integers(len(VALUES))]
    if items is None:
        at = int(rng.integers(len(value)))
        how = rng.integers(8)
        middle = [] if how == 0 else [value[at]] * 2 if how == 1 else [_changed(rng, value[at])]
        return [*value[:at], *middle, *value[at + 1 :]]
    at = int(rng.integers(len(items)))
    key, one = items[at]
    how = rng.integers(8)
    changed = [] if how == 0 else [(_name(rng), one)] if how == 1 else [(key, _changed(rng, one))]
    return dict([*items[:at], *changed, *items[at + 1 :]])
