"""Films as the bytes of files."""

from __future__ import annotations

import io
import pathlib
import tempfile
from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from PIL import Image

GIF_TICKS = 100
"""Of a second: the unit of time in a GIF."""
_CODEC = "vp09"
_COLOURS = 255


def encode_mp4(frames: Iterable[np.ndarray], *, fps: int) -> bytes:
    """Encodes a film as VP9 in an .mp4, which browsers and the usual players show.

    H.264 is not among the encoders that come with OpenCV.

    Args:
      frames: uint8 [H, W, 3] sRGB, H and W even.
      fps: frames per second.

    Raises:
      RuntimeError: if this OpenCV cannot write VP9.
      ValueError: if there is no frame.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "film.mp4")
        write_mp4(path, frames, fps=fps)
        return path.read_bytes()


def write_mp4(path: pathlib.Path, frames: Iterable[np.ndarray], *, fps: float) -> None:
    """Writes a film as encode_mp4 does, frame by frame, into a file that ends in .mp4.

    Raises:
      RuntimeError: if this OpenCV cannot write VP9.
      ValueError: if there is no frame.
    """
    writer = None
    try:
        for frame in frames:
            if writer is None:
                writer = _open_writer(path, fps, frame.shape[1::-1])
            writer.write(frame[..., ::-1])
    finally:
        if writer is not None:
            writer.release()
    if writer is None:
        raise ValueError("a film needs a frame")


def _open_writer(path: pathlib.Path, fps: float, size: Sequence[int]) -> cv2.VideoWriter:
    code = cv2.VideoWriter.fourcc(*_CODEC)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, tuple(size))
    if not writer.isOpened():
        raise RuntimeError("this build of OpenCV cannot encode VP9; write a .gif instead")
    return writer


def encode_gif(
    frames: Iterable[np.ndarray], *, fps: int, palette_from: Sequence[np.ndarray]
) -> bytes:
    """Encodes a film as GIF that repeats for ever.

    Args:
      frames: uint8 [H, W, 3] sRGB.
      fps: frames per second; a GIF shows each for a whole number of hundredths of a second.
      palette_from: frames whose colours the palette is made for; one palette for the whole film, or
        it would flicker.

    Raises:
      ValueError: if there is no frame.
    """
    palette = Image.fromarray(np.concatenate(palette_from)).quantize(
        _COLOURS, method=Image.Quantize.MEDIANCUT, kmeans=1
    )
    pictures = (
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        for frame in frames
    )
    first = next(pictures, None)
    if first is None:
        raise ValueError("a film needs a frame")
    content = io.BytesIO()
    first.save(
        content,
        "GIF",
        save_all=True,
        append_images=pictures,
        duration=10 * round(GIF_TICKS / fps),
        loop=0,
        optimize=False,
    )
    return content.getvalue()
