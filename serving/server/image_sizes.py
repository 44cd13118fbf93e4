"""Refuses images whose pixels would not fit, by their headers, before anything decodes them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable

import numpy as np
from PIL import Image

from serving.server.status import invalid

MAX_IMAGE_PIXELS = 120_000_000
"""As many as the library reads from a file."""
IMAGE_INPUT, EXAMPLE_INPUT = "image_bytes", "examples"
EXAMPLE_FEATURE = "image/encoded"
_FORMATS = ("JPEG", "PNG", "GIF", "BMP")
"""What TensorFlow's decode_image reads."""


def check_image_sizes(name: str, values: np.ndarray, *, limit: int) -> None:
    """Checks an input of a signature, if it is one that holds image files.

    Args:
      name: Name of the input.
      values: Array of bytes objects.
      limit: Most pixels of an image.

    Raises:
      ServingError: INVALID_ARGUMENT if an image is larger, or is no image.
    """
    if name == IMAGE_INPUT:
        files: Iterable[bytes] = values.ravel()
    elif name == EXAMPLE_INPUT:
        files = [file for value in values.ravel() for file in _images_of(value)]
    else:
        return
    for number, file in enumerate(files):
        width, height = _size(number, file)
        if width * height > limit:
            raise invalid(
                f"image {number} has {width} x {height} px, more than the {limit} pixels "
                "that are accepted"
            )


def _size(number: int, file: bytes) -> tuple[int, int]:
    """Width and height in px as a file's header has them; no pixel is decoded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(file), formats=_FORMATS) as image:
                return image.size
        except Image.DecompressionBombError:
            raise invalid(f"image {number} has more pixels than are accepted") from None
        except Exception:
            raise invalid(f"image {number} is no JPEG, PNG, GIF or BMP file") from None


def _images_of(serialized: bytes) -> list[bytes]:
    """The image files in a tf.Example; none if it is no tf.Example, which the graph then says."""
    from tensorflow.core.example import example_pb2  # loads TensorFlow

    try:
        example = example_pb2.Example.FromString(serialized)
    except Exception:
        return []
    return list(example.features.feature[EXAMPLE_FEATURE].bytes_list.value)
