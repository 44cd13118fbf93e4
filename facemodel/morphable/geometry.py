"""A face model's arrays as tensors for graphs, and the linear decoding of coefficients."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from facemodel.backend import Tensor
from facemodel.morphable import landmarks
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.landmarks import INNER_51
from facemodel.morphable.model import MorphableModel

IDENTITY_SD = 1.0
EXPRESSION_MEAN = 0.03
EXPRESSION_SD = 0.25


class Surface(NamedTuple):
    """A mesh whose vertices are linear in the coefficients.

    Attributes:
      mean: [V, 3] mm.
      flat_basis: [n, 3 V] mm per unit of each coefficient.
      triangles: [T, 3] int32.
      vertex_triangles: [V, D] int32, the triangles around each vertex, padded with T.
    """

    mean: Any
    flat_basis: Any
    triangles: Any
    vertex_triangles: Any


class FaceGeometry(NamedTuple):
    """Constants of one face model at one level, as tensors of the Keras backend.

    Attributes:
      fine: The mesh that is the result.
      coarse: The mesh with the fewest vertices, which the loop renders.
      landmark_mean: [51, 3] mm, the inner landmarks on the mean face.
      landmark_basis: [n, 51 * 3] mm.
      landmark_weights: [51] how much each counts in a pose: one over its squared error, mean 1.
      landmark_whitening: [102, 102] turns a detector's errors, divided by their root mean square,
        into independent ones of variance 1.
      centre: [3] mm, middle of the mean face's bounding box; goes to the middle of a crop.
      gram_factor: [n, n] F such that |d F|^2 is the mean squared vertex distance of two faces whose
        coefficients differ by d.
      prior_mean: [n] what the landmark fit expects of a coefficient.
      prior_sd: [n] and how far it may stray.
    """

    fine: Surface
    coarse: Surface
    landmark_mean: Any
    landmark_basis: Any
    landmark_weights: Any
    landmark_whitening: Any
    centre: Any
    gram_factor: Any
    prior_mean: Any
    prior_sd: Any

    @classmethod
    def create(cls, model: MorphableModel, noise: LandmarkNoise | None = None) -> FaceGeometry:
        """Puts a face model's arrays on the backend's device.

        Args:
          model: the face model.
          noise: A detector's errors at the 478 landmarks; as measured if None.
        """
        inner = np.asarray(landmarks.INNER_51)
        errors = (noise or LandmarkNoise.load()).select(landmarks.INNER_51)
        at = (model.triangles, model.landmark_triangles[inner], model.landmark_barycentric[inner])
        prior_mean, prior_sd = _prior(model)
        arrays = cls(
            fine=_surface(model.mean, model.basis, model.triangles),
            coarse=_surface(model.coarse.mean, model.coarse.basis, model.coarse.triangles),
            landmark_mean=landmarks.embedded_points(model.mean, *at),
            landmark_basis=landmarks.embedded_points(model.basis, *at).reshape(
                model.coefficient_count, -1
            ),
            landmark_weights=compute_landmark_weights(errors),
            landmark_whitening=compute_landmark_whitening(errors),
            centre=(model.mean.min(0) + model.mean.max(0)) / 2,
            gram_factor=compute_gram_factor(model.basis),
            prior_mean=prior_mean,
            prior_sd=prior_sd,
        )
        return keras.tree.map_structure(ops.convert_to_tensor, arrays)


def _surface(mean: np.ndarray, basis: np.ndarray, triangles: np.ndarray) -> Surface:
    around = compute_vertex_triangles(triangles, len(mean))
    return Surface(mean, basis.reshape(len(basis), -1), triangles, around)


def _prior(model: MorphableModel) -> tuple[np.ndarray, np.ndarray]:
    identity, expression = model.identity_count, model.expression_count
    mean = np.repeat([0.0, EXPRESSION_MEAN], [identity, expression])
    deviation = np.repeat([IDENTITY_SD, EXPRESSION_SD], [identity, expression])
    return mean.astype(np.float32), deviation.astype(np.float32)


def compute_vertex_triangles(triangles: np.ndarray, vertex_count: int) -> np.ndarray:
    """Lists the triangles around each vertex: [T, 3] -> [V, D] int32, padded with T."""
    corners = triangles.ravel()
    order = np.argsort(corners, kind="stable")
    counts = np.bincount(corners, minlength=vertex_count)
    slot = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    table = np.full((vertex_count, int(counts.max())), len(triangles), np.int32)
    table[corners[order], slot] = order // 3
    return table


def compute_landmark_weights(errors: LandmarkNoise) -> np.ndarray:
    """[L] one over each landmark's mean squared error, scaled to mean 1."""
    precision = 1.0 / (errors.landmark_sigma_mm.astype(np.float64) ** 2).mean(-1)
    return (precision / precision.mean()).astype(np.float32)


def compute_landmark_whitening(errors: LandmarkNoise) -> np.ndarray:
    """W [2 L, 2 L] with W M W^T = I for the second moment M of errors of root mean square 1."""
    factor = np.linalg.cholesky(errors.second_moment / errors.sigma_mm**2)
    return np.linalg.inv(factor).astype(np.float32)


def compute_gram_factor(basis: np.ndarray) -> np.ndarray:
    """Factors the mean Gram matrix: basis [n, V, 3] mm -> F [n, n] with F F^T = A A^T / V.

    Source: paper section 5.2, eq. 3, without a tensor of V vertices.
    """
    flat = basis.reshape(len(basis), -1).astype(np.float64)
    values, vectors = np.linalg.eigh(flat @ flat.T / basis.shape[1])
    return (vectors * np.sqrt(np.clip(values, 0.0, None))).astype(np.float32)


def decode(surface: Surface, coefficients) -> Tensor:
    """Builds faces: [B, n] coefficients -> [B, V, 3] mm, model space (paper eq. 1 and 2)."""
    offsets = ops.matmul(coefficients, surface.flat_basis)  # [B, n] @ [n, 3 V]
    return surface.mean + ops.reshape(offsets, (-1, *surface.mean.shape))


def decode_landmarks(geometry: FaceGeometry, coefficients) -> Tensor:
    """The 51 inner landmarks on faces: [B, n] coefficients -> [B, 51, 3] mm, model space."""
    offsets = ops.matmul(coefficients, geometry.landmark_basis)
    return geometry.landmark_mean + ops.reshape(offsets, (-1, *geometry.landmark_mean.shape))


def inner_landmarks(landmarks) -> Tensor:
    """The 51 of 478 landmarks [B, 478, 2] that poses and fits use."""
    return ops.take(landmarks, np.asarray(INNER_51), axis=1)
