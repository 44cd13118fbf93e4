"""Similarity transforms of space, and the one that fits points to points best."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Similarity:
    """target_from_source: X -> scale * rotation X + translation.

    Attributes:
      scale: [...] target units per source unit.
      rotation: [..., 3, 3]; of determinant -1 only where a reflection was asked for.
      translation: [..., 3] in target units.
    """

    scale: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray

    @classmethod
    def identity(cls) -> Similarity:
        """The one that moves nothing."""
        return cls(np.ones(()), np.eye(3), np.zeros(3))

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Moves points [..., N, 3] of the source to the target."""
        scale = np.asarray(self.scale)[..., None, None]
        turned = scale * points @ np.swapaxes(self.rotation, -1, -2)
        return turned + self.translation[..., None, :]

    def inverse(self) -> Similarity:
        """source_from_target."""
        rotation = np.swapaxes(self.rotation, -1, -2)
        scale = 1 / np.asarray(self.scale)
        back = rotation @ self.translation[..., None]
        return Similarity(scale, rotation, -scale[..., None] * back[..., 0])


def fit_similarity(
    source: np.ndarray, target: np.ndarray, *, scaled: bool = True, reflected: bool = False
) -> Similarity:
    """The least-squares transform of points in correspondence.

    Args:
      source: [..., N, 3].
      target: [..., N, 3], point k corresponds to point k of source.
      scaled: Whether it may change the size; 1 if not.
      reflected: Whether it is a rotation with a reflection in place of a rotation.

    Returns:
      target_from_source, float64.

    Raises:
      ValueError: if the shapes differ or are not [..., N, 3] with N >= 3.

    Source: Umeyama 1991, eq. 40 to 42.
    """
    source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
    if source.shape != target.shape or source.shape[-1:] != (3,) or source.shape[-2] < 3:
        raise ValueError(
            f"expected two [..., N >= 3, 3] arrays, got {source.shape} and {target.shape}"
        )
    source_mean, target_mean = source.mean(-2), target.mean(-2)
    moved, fixed = source - source_mean[..., None, :], target - target_mean[..., None, :]
    u, singular, vt = np.linalg.svd(np.swapaxes(fixed, -1, -2) @ moved)
    signs = np.ones_like(singular)
    proper = np.linalg.det(u) * np.linalg.det(vt) > 0
    signs[..., -1] = np.where(proper == reflected, -1.0, 1.0)
    rotation = (u * signs[..., None, :]) @ vt
    scale = (singular * signs).sum(-1) / np.maximum((moved**2).sum((-1, -2)), 1e-300)
    if not scaled:
        scale = np.ones_like(scale)
    turned = (rotation @ source_mean[..., None])[..., 0]
    return Similarity(scale, rotation, target_mean - scale[..., None] * turned)
