"""Pictures into Blender and out of it."""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile

import bpy
import numpy as np


def float_image(name: str, values: np.ndarray):
    """A picture of linear values [H, W, 3]."""
    height, width = values.shape[:2]
    image = bpy.data.images.new(name, width, height, float_buffer=True, is_data=True)
    image.colorspace_settings.name = "Non-Color"
    image.pixels.foreach_set(_rgba(values))
    image.pack()
    return image


def byte_image(name: str, values: np.ndarray):
    """An sRGB picture of uint8 [H, W, 3]."""
    height, width = values.shape[:2]
    image = bpy.data.images.new(name, width, height)
    image.pixels.foreach_set(_rgba(values.astype(np.float32) / 255.0))
    image.pack()
    return image


def _rgba(values: np.ndarray) -> np.ndarray:
    """Rows from the bottom up, with an opaque fourth channel, flat."""
    opaque = np.ones((*values.shape[:2], 1), np.float32)
    return np.concatenate([values[::-1].astype(np.float32), opaque[::-1]], -1).ravel()


def rendered(world) -> np.ndarray:
    """Renders a scene: float32 [H, W, 3] linear, the upper row first."""
    with tempfile.TemporaryDirectory() as folder:
        world.render.filepath = os.path.join(folder, "picture.exr")
        with _silence():
            bpy.ops.render.render(write_still=True)
        image = bpy.data.images.load(world.render.filepath)
        width, height = image.size
        pixels = np.empty(width * height * 4, np.float32)
        image.pixels.foreach_get(pixels)
    return pixels.reshape(height, width, 4)[::-1, :, :3].copy()


class _silence:
    """Keeps Blender's progress off standard output."""

    def __enter__(self):
        sys.stdout.flush()
        self._kept, empty = os.dup(1), os.open(os.devnull, os.O_WRONLY)
        os.dup2(empty, 1)
        os.close(empty)

    def __exit__(self, *_):
        os.dup2(self._kept, 1)
        os.close(self._kept)


def save_jpeg(path: pathlib.Path, picture: np.ndarray, quality: int) -> None:
    """Writes uint8 [H, W, 3]; the file appears under its name only when complete."""
    image = byte_image("result", picture)
    image.file_format = "JPEG"
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.jpg")
    image.save(filepath=str(temporary), quality=quality)
    os.replace(temporary, path)
