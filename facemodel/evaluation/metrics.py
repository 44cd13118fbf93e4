"""Error measures in millimetres between point sets in correspondence."""

from __future__ import annotations

import numpy as np

from facemodel.evaluation.similarity import fit_similarity


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
    return fit_similarity(source, target).apply(np.asarray(source, np.float64))


def vertex_error_mm(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Mean distance after similarity alignment of two [..., N, 3] mm -> [...] mm (paper sec. 8)."""
    aligned = similarity_align(source, target)
    return np.linalg.norm(aligned - np.asarray(target, np.float64), axis=-1).mean(-1)
