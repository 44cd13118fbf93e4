"""Small copies of a data set's first images, side by side."""

from __future__ import annotations

import itertools
import pathlib

import cv2
import numpy as np

_TILE_PX = 128
_COLUMNS = 8
PICTURES = 64
"""How many a sheet shows."""


def first_images(paths: list[str], count: int) -> list[np.ndarray]:
    """Reads the first images of TFRecord files."""
    import tensorflow as tf

    from facemodel import records

    images = []
    for record in itertools.islice(records.read_records(paths), count):
        features = tf.train.Example.FromString(record).features.feature
        encoded = features["image/encoded"].bytes_list.value[0]
        images.append(records.decode_images([encoded])[0].numpy())
    return images


def contact_sheet(images: list[np.ndarray]) -> np.ndarray:
    """Small copies of uint8 [H, W, 3] images side by side, uint8 [H, W, 3]."""
    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * _TILE_PX, columns * _TILE_PX, 3), 255, np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        place = sheet[row * _TILE_PX :, column * _TILE_PX :][:_TILE_PX, :_TILE_PX]
        place[:] = cv2.resize(image, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_AREA)
    return sheet


def write_png(path: pathlib.Path, image: np.ndarray) -> None:
    """Writes uint8 [H, W, 3] RGB as PNG."""
    _, data = cv2.imencode(".png", image[..., ::-1])
    path.write_bytes(data.tobytes())
