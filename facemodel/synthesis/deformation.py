"""Faces that the prior of a face model does not expect: smooth displacements of the whole face.

People differ from a face model in two ways: in proportions and local shapes that its coefficients
could express but hardly ever do, and in what no coefficient expresses. Both are added here. The
label of a displaced face is its nearest face of the model: what identity coefficients of a moderate
size express of a displacement is added to the label, the rest is seen in the picture only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from facemodel.morphable.landmarks import CHIN, INNER_51, SUBNASALE, embedded_points
from facemodel.morphable.model import MorphableModel

WAVES = 12
SCALES_MM = ((120.0, 0.8), (60.0, 0.7), (30.0, 0.6), (15.0, 0.6), (8.0, 0.33))
"""Length scale of each random field, and its standard deviation for each axis, both in mm."""
MODERATION_MM = 0.5
"""A vertex may be this far off for a coefficient to be one smaller (as if it had noise of this
standard deviation and 1000 vertices were seen): without it, some would become ten and more."""
_SEED = 7
_SOFT_MM = 12.0


class Deformations(NamedTuple):
    """Displacements, D = 3 * WAVES * len(SCALES_MM) + 1; the last one is the lower face.

    Attributes:
      identity: [D, I] float32, what each adds to the identity coefficients.
      rest: [D, V, 3] float32 mm, what each adds to the vertices besides.
      landmarks: [D, 51, 3] float32 mm, the same at the inner landmarks.
    """

    identity: np.ndarray
    rest: np.ndarray
    landmarks: np.ndarray


def make_deformations(model: MorphableModel) -> Deformations:
    """Plane waves over the mean face along each axis, and one mm more from nose to chin.

    With coefficients N(0, 1) the sum of the waves is nearly a Gaussian random field.
    """
    fields = displacement_fields(model).reshape(-1, model.mean.size)
    count = model.identity_count
    span = model.basis[:count].reshape(count, -1).astype(np.float64)
    both = np.concatenate([span, _similarities(model.mean)])
    cost = np.zeros(len(both))
    cost[:count] = MODERATION_MM**2 * model.mean.size / 1000.0
    weights = np.linalg.solve(both @ both.T + np.diag(cost), both @ fields.T).T
    rest = (fields - weights @ both).reshape(-1, *model.mean.shape).astype(np.float32)
    identity = weights[:, :count].astype(np.float32)
    return Deformations(identity, rest, _at_landmarks(model, INNER_51, rest))


def displacement_fields(model: MorphableModel) -> np.ndarray:
    """[D, V, 3] mm, whole displacements; what they turn, move or scale is no part of a face."""
    rng = np.random.default_rng(_SEED)
    waves = np.concatenate([_waves(rng, model.mean, *scale) for scale in SCALES_MM])
    fields = waves[:, None, :, None] * np.eye(3)[None, :, None, :]  # [waves, 3 axes, V, 3]
    return np.concatenate([fields.reshape(-1, *model.mean.shape), _lower_face(model)[None]])


def _waves(rng: np.random.Generator, places: np.ndarray, scale: float, spread: float) -> np.ndarray:
    frequencies = rng.standard_normal((WAVES, 3)) / scale
    phases = rng.uniform(0.0, 2 * np.pi, WAVES)
    return spread * np.sqrt(2.0 / WAVES) * np.cos(frequencies @ places.T + phases[:, None])


def _lower_face(model: MorphableModel) -> np.ndarray:
    """[V, 3] the chin 1 mm lower, what is above the nose stays; a soft bend lies between."""
    top, bottom = _at_landmarks(model, (SUBNASALE, CHIN), model.mean)[:, 1]
    below = np.logaddexp(0.0, 2.0 * (top - model.mean[:, 1]) / _SOFT_MM) * _SOFT_MM / 2.0
    field = np.zeros_like(model.mean, np.float64)
    field[:, 1] = -below / (top - bottom)
    return field


def _at_landmarks(model: MorphableModel, landmarks: Sequence[int], values) -> np.ndarray:
    """[..., L, 3] what values [..., V, 3] of the vertices are at landmarks."""
    at = np.asarray(landmarks)
    places = model.landmark_triangles[at], model.landmark_barycentric[at]
    return embedded_points(values, model.triangles, *places)


def _similarities(places: np.ndarray) -> np.ndarray:
    """[7, 3 V] the displacements of shifts, small turns and a change of size."""
    centred = places - places.mean(0)
    shifts = [np.broadcast_to(axis, places.shape) for axis in np.eye(3)]
    turns = [np.cross(axis, centred) for axis in np.eye(3)]
    return np.stack([field.reshape(-1) for field in [*shifts, *turns, centred]])
