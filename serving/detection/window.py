"""The part of a photo around a face that a SavedModel gets to see."""

from __future__ import annotations

import cv2
import numpy as np

from serving.detection.detector import DetectedFace

WINDOW_PX = 1024
"""Longest side of the part of the photo that is handed to the SavedModel."""
WINDOW_MARGIN = 2.2
"""Side of that part in sizes of the detected face."""


def cut_window(
    image: np.ndarray, face: DetectedFace, *, limit: int = WINDOW_PX
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cuts the part of a photo around a face that a SavedModel needs.

    Args:
      image: uint8 [H, W, 3].
      face: Detected face in it.
      limit: Longest side of the result, px.

    Returns:
      uint8 [h, w, 3], zoom [2] and corner [2] px: window = (photo - corner) * zoom.
    """
    left, top, right, bottom = face.box
    half = WINDOW_MARGIN / 2 * face.size_px
    middle = np.array([left + right, top + bottom]) / 2
    size = np.array(image.shape[1::-1])
    first = np.clip(np.floor(middle - half), 0, size - 1).astype(int)
    last = np.clip(np.ceil(middle + half), first + 1, size).astype(int)
    window = image[first[1] : last[1], first[0] : last[0]]
    wanted = np.maximum(1, np.round((last - first) * min(1.0, limit / (last - first).max())))
    zoom = wanted / (last - first)
    if (zoom < 1.0).any():
        window = cv2.resize(window, tuple(wanted.astype(int)), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(window), zoom, first.astype(np.float64)
