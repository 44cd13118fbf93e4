"""Inner products and lengths of many short vectors, such as the colours or normals of an image.

numpy adds up a last axis of three some four times as slowly as these do.
"""

from __future__ import annotations

import functools

import numpy as np

SHORTEST = 1e-9
"""A vector that is shorter has no direction, and stays about zero."""


def dot(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[...] inner products of vectors [..., C]."""
    return np.einsum("...c,...c->...", first, second)


def length(vectors: np.ndarray) -> np.ndarray:
    """[...] of vectors [..., C]."""
    return np.sqrt(dot(vectors, vectors))


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors [..., C] of length 1 in the same directions."""
    return vectors / np.maximum(length(vectors), SHORTEST)[..., None]


def mean_channel(image: np.ndarray) -> np.ndarray:
    """[...] mean over the channels of [..., C], floats."""
    count = image.shape[-1]
    return image @ np.full(count, 1.0 / count, image.dtype)


def largest_channel(image: np.ndarray) -> np.ndarray:
    """[...] largest value over the channels of [..., C]."""
    return functools.reduce(np.maximum, np.moveaxis(image, -1, 0))


def smallest_channel(image: np.ndarray) -> np.ndarray:
    """[...] smallest value over the channels of [..., C]."""
    return functools.reduce(np.minimum, np.moveaxis(image, -1, 0))
