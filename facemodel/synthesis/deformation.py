"""Faces outside a face model's span: smooth displacements that no coefficient can express.

People's faces differ from every face of a model. What differs is left over when their nearest face
of the model has been taken away, so the displacements here have no part in the span, and no part
that turns, moves or scales the whole face: the coefficients of a displaced face stay those of its
nearest one, and are its label.
"""

from __future__ import annotations

import numpy as np

from facemodel.morphable.model import MorphableModel

WAVES = 12
SCALES_MM = ((60.0, 0.7), (30.0, 0.6), (15.0, 0.6), (8.0, 0.33))
"""Length scale of each random field, and its standard deviation for each axis, both in mm; what the
span can express of it is taken away, most of the long ones."""
_SEED = 7


def deformation_basis(model: MorphableModel) -> np.ndarray:
    """Displacements outside the span: [D, V, 3] float32 mm, D = 3 * WAVES * len(SCALES_MM).

    Each is a plane wave over the mean face along one axis, less its projection on the span. With
    coefficients N(0, 1) their sum is nearly a Gaussian random field.
    """
    rng = np.random.default_rng(_SEED)
    waves = np.concatenate([_waves(rng, model.mean, *scale) for scale in SCALES_MM])
    fields = (waves[:, None, :, None] * np.eye(3)[None, :, None, :]).reshape(
        -1, model.mean.size
    )  # [D, 3 V]
    span = np.concatenate([model.basis.reshape(len(model.basis), -1), _similarities(model.mean)])
    span = span.astype(np.float64)
    weights = np.linalg.lstsq(span @ span.T, span @ fields.T, rcond=1e-10)[0]
    return (fields - weights.T @ span).reshape(-1, *model.mean.shape).astype(np.float32)


def _waves(rng: np.random.Generator, places: np.ndarray, scale: float, spread: float) -> np.ndarray:
    frequencies = rng.standard_normal((WAVES, 3)) / scale
    phases = rng.uniform(0.0, 2 * np.pi, WAVES)
    return spread * np.sqrt(2.0 / WAVES) * np.cos(frequencies @ places.T + phases[:, None])


def _similarities(places: np.ndarray) -> np.ndarray:
    """[7, 3 V] the displacements of shifts, small turns and a change of size."""
    centred = places - places.mean(0)
    shifts = [np.broadcast_to(axis, places.shape) for axis in np.eye(3)]
    turns = [np.cross(axis, centred) for axis in np.eye(3)]
    return np.stack([field.reshape(-1) for field in [*shifts, *turns, centred]])
