"""The grey crop that the network sees, cut out of a photo without aliasing."""

from __future__ import annotations

import numpy as np
from keras import ops

from facemodel.backend import Tensor
from facemodel.camera import CROP_SIZE
from facemodel.colour import luma
from facemodel.transforms import apply_similarity, invert_similarity, similarity_scale

SUPERSAMPLE = 2
_LEVELS = 6


def grey_crop(
    image, crop_from_image, *, size: int = CROP_SIZE, supersample: int = SUPERSAMPLE
) -> Tensor:
    """Cuts a square grey crop out of each image.

    Each crop pixel is the mean of supersample^2 bilinear samples, taken from the image halved as
    often as their distance asks for, so that a large face shrinks without aliasing. Outside the
    image everything is 0.

    Args:
      image: uint8 [B, H, W, 3], or float in [0, 1]; any H and W.
      crop_from_image: [B, 2, 3] similarity from image pixels to crop pixels.
      size: Side of the crop, px.
      supersample: samples along each side of a crop pixel.

    Returns:
      [B, size, size] float32 in [0, 1].
    """
    pyramid, heights, widths, offsets = _pyramid(luma(image))
    image_from_crop = invert_similarity(crop_from_image)
    level = _level(similarity_scale(image_from_crop) / supersample)
    points = apply_similarity(image_from_crop, _grid(size, supersample)[None])
    points = points / ops.cast(2**level, "float32")[:, None, None] - 0.5
    shape = (ops.take(table, level)[:, None] for table in (heights, widths, offsets))
    samples = _bilinear(pyramid, points, *shape)
    cells = ops.reshape(samples, (-1, size, supersample, size, supersample))
    return ops.mean(cells, (2, 4))


def _grid(size: int, supersample: int):
    """[N, 2] crop positions of all samples, row by row."""
    steps = (np.arange(size * supersample, dtype=np.float32) + 0.5) / supersample
    x, y = np.meshgrid(steps, steps)
    return ops.convert_to_tensor(np.stack([x.ravel(), y.ravel()], -1))


def _pyramid(grey):
    """Halves [B, H, W] again and again -> all levels, each with a black border, in one row [B, P].

    Also returns each level's height and width without border, and its offset in the row.
    """
    level, rows, heights, widths = grey[..., None], [], [], []
    for _ in range(_LEVELS):
        batch, height, width, _ = ops.shape(level)
        bordered = ops.pad(level[..., 0], ((0, 0), (1, 1), (1, 1)))
        rows.append(ops.reshape(bordered, (batch, (height + 2) * (width + 2))))
        heights.append(height)
        widths.append(width)
        level = ops.average_pool(level, 2, strides=2, padding="same")
    heights, widths = (
        ops.stack([ops.cast(n, "int32") for n in sizes]) for sizes in (heights, widths)
    )
    counts = (heights + 2) * (widths + 2)
    return ops.concatenate(rows, 1), heights, widths, ops.cumsum(counts) - counts


def _level(step):
    """[B] px between samples -> [B] int32 halvings that leave them 0.7 to 1.4 px apart."""
    halvings = ops.round(ops.log2(ops.maximum(step, 1e-6)))
    return ops.cast(ops.clip(halvings, 0, _LEVELS - 1), "int32")


def _bilinear(rows, points, height, width, offset):
    """Samples points [B, N, 2] (0 = first pixel's centre) of the level at [B, 1] offset."""
    last = ops.cast(ops.stack([width, height], -1), "float32")
    points = ops.clip(points, -1.0, last) + 1.0  # the border is column and row 0
    corner = ops.minimum(ops.floor(points), last)
    x, y = (points - corner)[..., 0], (points - corner)[..., 1]
    corner = ops.cast(corner, "int32")
    start = ops.arange(ops.shape(rows)[0], dtype="int32")[:, None] * ops.shape(rows)[1] + offset
    top = start + corner[..., 1] * (width + 2) + corner[..., 0]
    values = ops.reshape(rows, (-1,))

    def at(index):
        return ops.take(values, index)

    upper = at(top) * (1.0 - x) + at(top + 1) * x
    bottom = top + width + 2
    lower = at(bottom) * (1.0 - x) + at(bottom + 1) * x
    return upper * (1.0 - y) + lower * y
