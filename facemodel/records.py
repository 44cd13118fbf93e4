"""The records of synthetic faces: the only place that knows their features.

A sample is a dict whose keys are the features' names, apart from "image", which stands for the
encoded image and its size. docs/records.md describes each feature.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import deflate
import numpy as np
import tensorflow as tf

from facemodel.morphable.landmarks import MEDIAPIPE_COUNT

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_LEVEL, _UP, _RGB = 1, 2, 2

_COUNTS = ("coefficient_count", "albedo_count")
_FLOATS: dict[str, tuple] = {
    "face/coefficients": ("coefficient_count",),
    "face/albedo_coefficients": ("albedo_count",),
    "face/landmarks_true": (MEDIAPIPE_COUNT, 2),
    "face/landmarks": (MEDIAPIPE_COUNT, 2),
    "landmark/sigma_px": (),
    "pose/rotation": (3, 3),
    "pose/scale": (),
    "pose/translation": (2,),
    "camera/inverse_distance": (),
    "light/ambient": (),
    "light/diffuse": (),
    "light/specular": (),
    "light/direction": (3,),
}
_INTEGERS = (
    "slice/yaw_bin",
    "slice/expression_bin",
    "slice/skin_tone_bin",
    "slice/light_bin",
    "sample/seed",
    "sample/index",
)
_STRINGS = ("model/version",)


class ExampleError(ValueError):
    """A sample that does not fit the record's features."""


def encode_record(sample: Mapping[str, Any]) -> bytes:
    """Serializes one sample; the same sample always gives the same bytes.

    Args:
      sample: "image" uint8 [H, W, 3] RGB and a value for every other feature.

    Returns:
      A serialized tf.train.Example.

    Raises:
      ExampleError: if a feature is missing or unknown, or has another shape.
    """
    _check(sample)
    image = sample["image"]
    features = {
        "image/encoded": _bytes(encode_png(image)),
        "image/height": _integers(image.shape[0]),
        "image/width": _integers(image.shape[1]),
        **{name: _floats(sample[name]) for name in _FLOATS},
        **{name: _integers(sample[name]) for name in _INTEGERS},
        **{name: _bytes(sample[name].encode()) for name in _STRINGS},
    }
    example = tf.train.Example(features=tf.train.Features(feature=features))
    return example.SerializeToString(deterministic=True)


def _check(sample: Mapping[str, Any]) -> None:
    wanted = {"image", *_FLOATS, *_INTEGERS, *_STRINGS}
    if wrong := sorted(wanted ^ set(sample)):
        raise ExampleError(f"missing or unknown features: {', '.join(wrong)}")
    image = sample["image"]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ExampleError(f"image should be uint8 [H, W, 3], got {image.dtype} {image.shape}")
    for name, shape in _FLOATS.items():
        got = np.shape(sample[name])
        if len(got) != len(shape) or any(
            isinstance(size, int) and size != length for size, length in zip(shape, got)
        ):
            raise ExampleError(f"{name} should be {list(shape)}, got {list(got)}")


def encode_png(image: np.ndarray) -> bytes:
    """Compresses uint8 [H, W, 3] RGB, several times as fast as libpng with zlib and as small.

    The same image always gives the same bytes. Every row is stored as its difference to the row
    above (PNG's filter 2).
    """
    height, width, channels = image.shape
    rows = np.empty((height, 1 + width * channels), np.uint8)
    flat = image.reshape(height, -1)
    rows[:, 0] = _UP
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, _RGB, 0, 0, 0)
    data = bytes(deflate.zlib_compress(rows, _PNG_LEVEL))
    return _PNG_SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    checksum = deflate.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _integers(value) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))


def _floats(value) -> tf.train.Feature:
    flat = np.asarray(value, np.float32).ravel().tolist()  # faster than numpy's own numbers
    return tf.train.Feature(float_list=tf.train.FloatList(value=flat))


def parse_records(
    serialized, *, coefficient_count: int = 284, albedo_count: int = 200
) -> dict[str, tf.Tensor]:
    """Reads records back; works in a graph and in tf.data.

    Args:
      serialized: string [B], from encode; all images of one size.
      coefficient_count: n of the face model.
      albedo_count: A of the face model.

    Returns:
      "image" uint8 [B, H, W, 3] and every other feature with its shape behind [B].
    """
    counts = dict(zip(_COUNTS, (coefficient_count, albedo_count)))
    spec: dict[str, Any] = {
        name: tf.io.FixedLenFeature([counts.get(size, size) for size in shape], tf.float32)
        for name, shape in _FLOATS.items()
    }
    spec |= {name: tf.io.FixedLenFeature([], tf.int64) for name in _INTEGERS}
    spec |= {name: tf.io.FixedLenFeature([], tf.string) for name in ("image/encoded", *_STRINGS)}
    parsed = tf.io.parse_example(serialized, spec)
    return {"image": decode_images(parsed.pop("image/encoded")), **parsed}


def parse_request(serialized) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads only what a trained model needs: encoded image string [B], landmarks [B, 478, 2]."""
    spec = {
        "image/encoded": tf.io.FixedLenFeature([], tf.string),
        "face/landmarks": tf.io.FixedLenFeature([MEDIAPIPE_COUNT, 2], tf.float32),
    }
    parsed = tf.io.parse_example(serialized, spec)
    return parsed["image/encoded"], parsed["face/landmarks"]


def read_records(files: str | os.PathLike[str] | Sequence[str]) -> Iterator[bytes]:
    """The records of a file, or of several, one by one.

    Raises:
      tf.errors.OpError: if there is no such file, or it is damaged.
    """
    names = [os.fspath(files)] if isinstance(files, (str, os.PathLike)) else list(files)
    found = tf.data.TFRecordDataset(names).map(lambda record: (record, True))
    # TensorFlow logs a warning when it reaches the end of a dataset; so this stops before it.
    end = tf.data.Dataset.from_tensors(("", False))
    for record, more in found.concatenate(end).as_numpy_iterator():
        if not more:
            return
        yield record


def decode_images(encoded) -> tf.Tensor:
    """PNG files string [B], all of one size -> uint8 [B, H, W, 3]."""
    return tf.map_fn(
        lambda data: tf.io.decode_png(data, channels=3),
        tf.convert_to_tensor(encoded),
        fn_output_signature=tf.TensorSpec([None, None, 3], tf.uint8),
    )
