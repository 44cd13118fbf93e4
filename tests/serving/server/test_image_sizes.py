"""Image files in requests: refused by what their headers say, before their pixels cost memory."""

import io
import struct
import zlib

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from serving.server.image_sizes import check_image_sizes
from serving.server.status import ServingError


def chunk(kind, content):
    return (
        struct.pack(">I", len(content)) + kind + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )  # fmt: skip


def bomb(width, height):
    """A valid grey PNG of few bytes whose pixels are all zero."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer, lines = zlib.compressobj(9), bytes((width + 7) // 8 + 1)
    pixels = b"".join(packer.compress(lines) for _ in range(height)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def file_of(kind, size=(40, 30)):
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, kind)
    return buffer.getvalue()


def example(file):
    features = {"image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[file]))}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def check(*files, name="image_bytes", limit=1200):
    check_image_sizes(name, np.array(files, object), limit=limit)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP"])
def test_images_up_to_the_limit_pass_and_larger_ones_do_not(kind):
    check(file_of(kind))
    check(example(file_of(kind)), name="examples")
    for files, name in (
        ([file_of(kind), file_of(kind, (41, 30))], "image_bytes"),
        ([example(file_of(kind)), example(file_of(kind, (41, 30)))], "examples"),
    ):
        with pytest.raises(ServingError, match="image 1 has 41 x 30 px") as caught:
            check(*files, name=name)
        assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_small_file_of_many_pixels_is_refused_without_decoding():
    file = bomb(50_000, 2_000)
    assert len(file) < 60_000
    with pytest.raises(ServingError, match="50000 x 2000 px"):
        check(file, limit=10**7)
    huge = file.replace(struct.pack(">II", 50_000, 2_000), struct.pack(">II", 50_000, 50_000))
    with pytest.raises(ServingError, match="more pixels than are accepted|is no"):
        check(huge, limit=10**10)


@pytest.mark.parametrize("file", [b"", b"no image", file_of("TIFF")])
def test_what_is_no_image_is_an_invalid_argument(file):
    with pytest.raises(ServingError, match="is no JPEG, PNG, GIF or BMP") as caught:
        check(file_of("PNG"), file)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_other_inputs_are_left_alone():
    check(b"no image", name="request")
    check_image_sizes("landmarks", np.zeros([1, 478, 2], np.float32), limit=1)
    check(b"\xff no example", name="examples")
