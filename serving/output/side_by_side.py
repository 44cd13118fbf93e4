"""Frames of a film beside the heads that were found in them, in the same places and poses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from serving.output.panels import backdrop
from serving.output.pictures import over
from serving.output.textured_mesh import TexturedMesh
from serving.output.textured_views import photographed
from serving.output.views import look


class Placed(NamedTuple):
    """A head in a frame.

    Attributes:
      mesh: in the expression of the frame.
      rotation: [3, 3] camera_from_model.
      scale: px/mm of the frame.
      translation: [2] px of the frame.
    """

    mesh: TexturedMesh
    rotation: np.ndarray
    scale: float
    translation: np.ndarray


def panel_size(size: tuple[int, int], *, longest: int) -> tuple[int, int]:
    """(height, width) px, even, of a panel for frames of a size, at most `longest` a side."""
    zoom = min(1.0, longest / max(size))
    height, width = (max(2, 2 * round(side * zoom / 2)) for side in size)
    return height, width


def render_pair(image: np.ndarray, heads: Sequence[Placed], *, size: tuple[int, int]) -> np.ndarray:
    """Renders a frame and its heads.

    Args:
      image: uint8 [H, W, 3] sRGB, the frame.
      heads: in it; those with the smallest scale, which are farther away, are covered by others.
      size: (height, width) px of each of the two panels; even.

    Returns:
      uint8 [height, 2 * width, 3].
    """
    height, width = size
    way = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    shown = cv2.resize(image, (width, height), interpolation=way)
    canvas = np.array(backdrop(height, width), np.float32)
    zoom = np.array([width / image.shape[1], height / image.shape[0]])
    for head in sorted(heads, key=lambda head: head.scale):
        view = look(
            head.mesh.vertices, head.mesh.triangles, rotation=head.rotation,
            scale=head.scale * float(zoom.mean()), translation=head.translation * zoom,
            height=height, width=width, samples=1,
        )  # fmt: skip
        canvas = over(canvas, *photographed(view, head.mesh, head.rotation))
    made = np.round(255 * np.clip(canvas, 0, 1)).astype(np.uint8)
    return np.concatenate([shown, made], 1)
