"""Moves a foreign face model to where the default model is, which also proves its units and axes.

Pose, crop, outline and the places where errors are measured all refer to model space, so a
converted model has its landmarks where the default one has them. It is turned and shifted, never
scaled: a wrong unit would otherwise go unnoticed.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from facemodel.morphable.landmarks import INNER_51
from facemodel.morphable.mesh import ModelError
from facemodel.morphable.readers.foreign import ForeignModel

SIZE_LIMITS = (0.75, 1.35)
"""A mean face's size relative to the default one's; wrong units are a factor of ten."""
LARGEST_RESIDUAL_MM = 9.0
"""Root mean square over the landmarks, after alignment with scale. A mirrored face and a wrong
list of landmarks leave more than 15 mm."""
_FEWEST_POINTS = 12


@dataclasses.dataclass(frozen=True, eq=False)
class Alignment:
    """A rotation and a shift, and how well two faces agree after it.

    Attributes:
      rotation: [3, 3] target_from_source.
      shift: [3] mm.
      relative_size: size of the source's landmarks relative to the target's.
      residual_mm: what alignment with scale leaves, root mean square over the landmarks.
    """

    rotation: np.ndarray
    shift: np.ndarray
    relative_size: float
    residual_mm: float

    def points(self, values: np.ndarray) -> np.ndarray:
        """Moves points [..., 3] mm."""
        return values @ self.rotation.T + self.shift

    def back(self, values: np.ndarray) -> np.ndarray:
        """Moves aligned points [..., 3] mm to where they were."""
        return (values - self.shift) @ self.rotation

    def vectors(self, values: np.ndarray) -> np.ndarray:
        """Turns offsets [..., 3] mm."""
        return values @ self.rotation.T


def align(source: np.ndarray, target: np.ndarray) -> Alignment:
    """Finds the least-squares rotation and shift; never a reflection.

    Args:
      source: [N, 3] mm.
      target: [N, 3] mm, point k corresponds to point k of source.

    Source: Umeyama 1991, eq. 40 to 42.
    """
    source, target = source.astype(np.float64), target.astype(np.float64)
    from_middle, to_middle = source - source.mean(0), target - target.mean(0)
    u, singular, vt = np.linalg.svd(to_middle.T @ from_middle)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = (u * signs) @ vt
    scale = (singular * signs).sum() / (from_middle**2).sum()
    missed = to_middle - scale * from_middle @ rotation.T
    return Alignment(
        rotation=rotation,
        shift=target.mean(0) - rotation @ source.mean(0),
        relative_size=float(np.sqrt((from_middle**2).sum() / (to_middle**2).sum())),
        residual_mm=float(np.sqrt((missed**2).sum(-1).mean())),
    )


def align_to_default(points: np.ndarray, default_points: np.ndarray) -> Alignment:
    """Aligns a mean face by its inner landmarks.

    Args:
      points: [478, 3] mm, NaN where unknown.
      default_points: [478, 3] mm, the default model's.

    Raises:
      ModelError: if there are too few landmarks, or units, axes or landmarks are wrong.
    """
    inner = np.asarray(INNER_51)
    known = inner[np.isfinite(points[inner]).all(-1)]
    if len(known) < _FEWEST_POINTS:
        raise ModelError(f"only {len(known)} of the 51 inner landmarks are known")
    found = align(points[known], default_points[known])
    low, high = SIZE_LIMITS
    if not low <= found.relative_size <= high:
        raise ModelError(
            f"its face is {found.relative_size:.3g} times as large as the default one: "
            "its units are not those of its format"
        )
    if found.residual_mm > LARGEST_RESIDUAL_MM:
        raise ModelError(
            f"its landmarks are {found.residual_mm:.1f} mm from a face's: its axes are mirrored, "
            "or the landmarks are another list than iBUG's 68"
        )
    return found


def moved(model: ForeignModel, alignment: Alignment) -> ForeignModel:
    """The model with mean and bases in the default model's place."""
    return dataclasses.replace(
        model,
        mean=alignment.points(model.mean).astype(np.float32),
        identity=alignment.vectors(model.identity).astype(np.float32),
        expression=alignment.vectors(model.expression).astype(np.float32),
    )
