"""Images as the bytes of files: the same pixels always give the same bytes."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

TEXTURE_QUALITY, VECTOR_QUALITY = 92, 95
"""JPEG quality of colours, and of normal maps, whose errors are seen as wrong light."""


def encode_jpeg(image: np.ndarray, *, quality: int = TEXTURE_QUALITY) -> bytes:
    """Encodes uint8 [H, W, 3] RGB as JPEG without chroma subsampling.

    Red lips beside skin, and the channels of a normal map, would bleed with it.
    """
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    return _encode(
        ".jpg",
        image,
        [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling],
    )


def encode_png(image: np.ndarray, *, level: int | None = None) -> bytes:
    """Encodes uint8 [H, W, 3] RGB or [H, W] grey as PNG.

    Args:
      image: the pixels.
      level: zlib's level, 0 to 9; None for run lengths, a fifth larger than level 1 in half of its
        time.
    """
    return _encode(".png", image, [] if level is None else [cv2.IMWRITE_PNG_COMPRESSION, level])


def decode_image(content: bytes) -> np.ndarray:
    """Decodes a JPEG or PNG.

    Returns:
      uint8 [H, W, 3] RGB.

    Raises:
      ValueError: if it is neither.
    """
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    if image is None:
        raise ValueError("an image in it cannot be decoded")
    return np.ascontiguousarray(image[..., ::-1])


def _encode(suffix: str, image: np.ndarray, options: Sequence[int]) -> bytes:
    pixels = np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
    return cv2.imencode(suffix, pixels, options)[1].tobytes()
