"""Smooth enlargement of coarse noise, and blur, for images [B, H, W, C] on any backend."""

from __future__ import annotations

import functools

import numpy as np
from keras import ops

from facemodel.backend import Tensor


def upsample_smooth(grid, size: int) -> Tensor:
    """Enlarges noise [B, N, M, C] smoothly to [B, size, size, C], through its values."""
    cells, channels = grid.shape[1], grid.shape[3]
    rows, columns = (_stretch_matrix(count, size) for count in grid.shape[1:3])
    wide = ops.reshape(ops.einsum("xm,bnmc->bnxc", columns, grid), (-1, cells, size * channels))
    return ops.reshape(ops.matmul(rows, wide), (-1, size, size, channels))


@functools.lru_cache(maxsize=64)
def _stretch_matrix(cells: int, size: int) -> np.ndarray:
    """[size, cells] weights of smoothstep interpolation between cells over the whole side."""
    position = np.linspace(0, cells - 1, size)
    left = np.minimum(position.astype(int), cells - 2)
    part = position - left
    part = part * part * (3 - 2 * part)
    matrix = np.zeros((size, cells), np.float32)
    matrix[np.arange(size), left] = 1 - part
    matrix[np.arange(size), left + 1] = part
    return matrix


def box_blur3(image) -> Tensor:
    """Means of [B, H, W, C] over the 3 x 3 pixels around each; at borders over those there are."""
    _, height, width, channels = image.shape
    rows = ops.reshape(image, (-1, height, width * channels))
    padded = ops.pad(rows, ((0, 0), (1, 1), (0, 0)))
    rows = sum(padded[:, k : k + height] for k in range(3))
    padded = ops.pad(rows, ((0, 0), (0, 0), (channels, channels)))
    summed = sum(padded[:, :, k * channels : (k + width) * channels] for k in range(3))
    share = 1.0 / np.outer(_neighbours(height), np.repeat(_neighbours(width), channels))
    return ops.reshape(summed * share.astype(np.float32), (-1, height, width, channels))


def _neighbours(size: int) -> np.ndarray:
    counts = np.full(size, 3, np.float32)
    counts[[0, -1]] = min(size, 2)
    return counts


def desaturate(colours) -> Tensor:
    """Rooms and streets are greyer than random colours."""
    grey = ops.mean(colours, -1, keepdims=True)
    return grey + 0.4 * (colours - grey)
