"""Light and the albedo coefficients of a face, fitted to the skin that a photo shows."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import linalg

from facemodel.morphable.mesh import SKIN
from facemodel.texture import light as lights
from facemodel.texture.skin_model import SkinModel

NOISE = 0.05
"""Scale of what albedo and smooth light leave unexplained, sRGB."""
FREEDOM = 4.0
"""Of the Student-t distribution of that: shadows, hair and highlights are far out."""
CORRELATED = 20.0
"""So many neighbouring vertices say the same as one: blotches and shadows are larger than they."""
ROUNDS = 4
_LEAST = 20.0
"""With less skin than so many well-seen vertices nothing is fitted."""


@dataclasses.dataclass(frozen=True, eq=False)
class SkinFit:
    """What explains the visible skin.

    Attributes:
      coefficients: [A] of the albedo basis, standard deviations.
      light: [9, 3] spherical-harmonic coefficients, see light.harmonics.
    """

    coefficients: np.ndarray
    light: np.ndarray


def fit_skin(
    model: SkinModel, observed: np.ndarray, normals: np.ndarray, seen: np.ndarray
) -> SkinFit:
    """Finds light and albedo together, by turns, with robust weights.

    Albedo coefficients have the prior N(0, 1) and light is nearly grey; residuals are Student-t.

    Args:
      model: the mesh's statistics.
      observed: [V, 3] sRGB, the photo's colours at the vertices.
      normals: [V, 3] unit, camera frame.
      seen: [V] in [0, 1], how much each of them counts.

    Source: paper section 8: the recovered texture is projected on the linear texture model.
    """
    chosen = model.fit_vertices
    chosen = chosen[seen[chosen] > 0.05]
    basis = model.fit_basis[seen[model.fit_vertices] > 0.05]
    colours, mean = observed[chosen], model.albedo_mean[chosen]
    shapes = lights.harmonics(normals[chosen])
    trust = seen[chosen] * lights.unclipped(colours)
    coefficients, weights = np.zeros(basis.shape[-1]), trust / NOISE**2 / CORRELATED
    if trust.sum() < _LEAST:
        return SkinFit(coefficients, np.eye(9, 1) * np.ones(3))
    albedo = mean
    for _ in range(ROUNDS):
        light = lights.fit_light(colours, albedo, shapes, weights)
        reaching = np.maximum(shapes @ light, 0.05)
        coefficients = _fit_albedo(colours, mean, basis, reaching, weights)
        albedo = np.clip(mean + basis @ coefficients, 0.02, 1.0)
        weights = trust * _student(colours - albedo * reaching)
    return SkinFit(coefficients, lights.fit_light(colours, albedo, shapes, weights))


def _fit_albedo(colours, mean, basis, light, weights) -> np.ndarray:
    """[A] by ridge regression: colours = (mean + basis @ a) * light, a ~ N(0, 1)."""
    root = np.sqrt(weights)[:, None] * light
    rows = (basis * root[..., None]).reshape(-1, basis.shape[-1]).astype(np.float32)
    rest = (np.sqrt(weights)[:, None] * (colours - mean * light)).ravel().astype(np.float32)
    normal = (rows.T @ rows).astype(np.float64)
    normal[np.diag_indices_from(normal)] += 1.0
    factor = linalg.cho_factor(normal, overwrite_a=True, check_finite=False)
    return linalg.cho_solve(factor, (rows.T @ rest).astype(np.float64), check_finite=False)


def _student(residual: np.ndarray) -> np.ndarray:
    """Weights of residuals [M, 3]: inverse variances that fall with their size."""
    squared = (residual**2).mean(-1) / NOISE**2
    return (FREEDOM + 1.0) / (FREEDOM + squared) / NOISE**2 / CORRELATED


def albedo_of(model: SkinModel, coefficients: np.ndarray) -> np.ndarray:
    """[V, 3] sRGB of coefficients [A]; outside the face model the mean in the face's tone."""
    own = model.albedo_mean.astype(np.float64, copy=True)
    count = model.face_count
    weights = coefficients.astype(np.float32)
    own[:count] += (weights @ model.albedo.reshape(len(weights), -1)).reshape(count, 3)
    if count < len(own):
        skin = model.regions[:count] == SKIN
        own[count:] *= own[:count][skin].mean(0) / model.albedo_mean[:count][skin].mean(0)
    return np.clip(own, 0.02, 1.0)
