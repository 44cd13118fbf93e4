"""The landmark-only fit: the baseline that the paper compares against, and the loop's second start."""

from __future__ import annotations

import numpy as np
from keras import ops

from facemodel.camera import Pose, fit_pose
from facemodel.geometry import FaceGeometry, decode_landmarks

ROUNDS = 4


def landmark_fit(geometry: FaceGeometry, pixels, sigma_px, *, rounds: int = ROUNDS):
    """Finds the most probable coefficients given the 51 inner landmarks, refitting the pose in between.

    With the pose fixed the image is linear in the coefficients, so the Gaussian posterior has a closed form:
    a = mu + P J^T (J P J^T + sigma^2 I)^-1 r, a system of only 102 unknowns.

    Args:
      geometry: of the face model.
      pixels: [B, 51, 2] px.
      sigma_px: [B] standard deviation of the landmarks' noise, px.
      rounds: how often pose and coefficients are refitted in turn.

    Returns:
      [B, n] coefficients.

    Source: the landmark-based initial fit of paper section 8; MAP estimate of a linear Gaussian model.
    """
    variance = ops.square(geometry.prior_sd)
    coefficients = ops.zeros((ops.shape(pixels)[0], geometry.prior_mean.shape[0]))
    for _ in range(rounds):
        pose = fit_pose(decode_landmarks(geometry, coefficients), pixels)
        jacobian = _project_directions(geometry.landmark_basis, pose)
        rest = _project_directions(ops.reshape(geometry.landmark_mean, (1, -1)), pose)[:, 0]
        shifted = pixels - pose.translation[:, None, :]
        expected = rest + ops.einsum("k,bkl->bl", geometry.prior_mean, jacobian)
        residual = ops.reshape(shifted, (-1, rest.shape[-1])) - expected
        coefficients = geometry.prior_mean + _posterior(jacobian, variance, residual, sigma_px)
    return coefficients


def _project_directions(directions, pose: Pose):
    """[K, L * 3] mm seen through pose [B] without its shift -> [B, K, L * 2] px."""
    count = directions.shape[0]
    points = ops.reshape(directions, (count, -1, 3))
    flip = ops.convert_to_tensor(np.float32([1.0, -1.0]))
    rows = pose.rotation[:, :2] * (pose.scale[:, None] * flip)[:, :, None]
    pixels = ops.einsum("klj,bij->bkli", points, rows)
    return ops.reshape(pixels, (-1, count, points.shape[1] * 2))


def _posterior(jacobian, variance, residual, sigma_px):
    """P J^T (J P J^T + sigma^2 I)^-1 r for [B, K, L] jacobians of K coefficients."""
    weighted = jacobian * variance[:, None]
    size = jacobian.shape[-1]
    noise = ops.square(sigma_px)[:, None, None] * ops.eye(size)
    covariance = ops.einsum("bkl,bkm->blm", weighted, jacobian) + noise
    factor = ops.cholesky(covariance)
    half = ops.solve_triangular(factor, residual[..., None], lower=True)
    solved = ops.solve_triangular(ops.swapaxes(factor, -1, -2), half, lower=False)
    return ops.einsum("bkl,bl->bk", weighted, solved[..., 0])
