"""Error measures in millimetres between point sets in correspondence."""

from __future__ import annotations

import numpy as np


def similarity_align(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Moves source onto target by the least-squares rotation, scale and shift; never a reflection.

    Args:
      source: [..., N, 3] mm.
      target: [..., N, 3] mm, point k corresponds to point k of source.

    Returns:
      [..., N, 3] mm, the moved source.

    Raises:
      ValueError: if the shapes differ or are not [..., N, 3] with N >= 3.

    Source: Umeyama 1991, eq. 40 to 42.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.shape[-1:] != (3,) or source.shape[-2] < 3:
        raise ValueError(
            f"expected two [..., N >= 3, 3] arrays, got {source.shape} and {target.shape}"
        )
    source_mean = source.mean(-2, keepdims=True)
    target_mean = target.mean(-2, keepdims=True)
    moved, fixed = source - source_mean, target - target_mean
    u, singular, vt = np.linalg.svd(np.swapaxes(fixed, -1, -2) @ moved)
    signs = np.ones_like(singular)
    signs[..., -1] = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    rotation = (u * signs[..., None, :]) @ vt
    scale = (singular * signs).sum(-1) / np.maximum((moved**2).sum((-1, -2)), 1e-300)
    return scale[..., None, None] * moved @ np.swapaxes(rotation, -1, -2) + target_mean


def vertex_error_mm(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mean distance after similarity alignment of two [..., N, 3] mm -> [...] mm (paper sec. 8)."""
    aligned = similarity_align(source, target)
    return np.linalg.norm(aligned - np.asarray(target, np.float64), axis=-1).mean(-1)
