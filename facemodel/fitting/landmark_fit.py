"""The landmark-only fit: the baseline of the paper, and the loop's second start."""

from __future__ import annotations

import numpy as np
from keras import ops

from facemodel.backend import Tensor
from facemodel.camera import Pose
from facemodel.fitting.alignment import fit_face_pose
from facemodel.morphable.geometry import FaceGeometry, decode_landmarks

ROUNDS = 4


def landmark_fit(geometry: FaceGeometry, pixels, sigma_px, *, rounds: int = ROUNDS) -> Tensor:
    """Finds the most probable coefficients for the 51 inner landmarks, whatever the pose.

    Each round linearises the image around the current face and pose, in coordinates in which the
    detector's errors are independent. What a small change of the pose could explain is projected
    out, so the pose has a flat prior; the Gaussian posterior of the coefficients then has a closed
    form, a = mu + P J^T (J P J^T + sigma^2 I)^-1 r, a system of only 102 unknowns.

    Args:
      geometry: Face model tensors.
      pixels: Landmarks [B, 51, 2] px.
      sigma_px: Root mean square [B] of the landmarks' errors, px.
      rounds: Number of Gauss-Newton steps.

    Returns:
      [B, n] coefficients.

    Source: the landmark-based fit of paper section 8; MAP estimate with the pose marginalised.
    """
    variance = ops.square(geometry.prior_sd)
    rest_points = ops.reshape(geometry.landmark_mean, (1, -1))
    coefficients = ops.zeros((ops.shape(pixels)[0], geometry.prior_mean.shape[0]))
    for _ in range(rounds):
        pose = fit_face_pose(geometry, coefficients, pixels)
        jacobian = _project_directions(geometry.landmark_basis, pose)  # [B, n, 102]
        rest = _project_directions(rest_points, pose)[:, 0]  # [B, 102]
        expected = rest + ops.einsum("k,bkl->bl", geometry.prior_mean, jacobian)  # [B, 102]
        residual = (
            ops.reshape(pixels - pose.translation[:, None, :], (-1, rest.shape[-1])) - expected
        )
        free = pose_directions(decode_landmarks(geometry, coefficients), pose)  # [B, 6, 102]
        free, jacobian, residual = (
            ops.matmul(rows, ops.transpose(geometry.landmark_whitening))
            for rows in (free, jacobian, residual[:, None, :])
        )
        free = _orthonormal_basis(free)
        jacobian, residual = _without(free, jacobian), _without(free, residual)[:, 0]
        coefficients = geometry.prior_mean + _posterior(jacobian, variance, residual, sigma_px)
    return coefficients


def _project_directions(directions, pose: Pose):
    """[K, L * 3] mm seen through pose [B] without its shift -> [B, K, L * 2] px."""
    count = directions.shape[0]
    points = ops.reshape(directions, (count, -1, 3))
    flip = ops.convert_to_tensor(np.array([1.0, -1.0], np.float32))
    rows = pose.rotation[:, :2] * (pose.scale[:, None] * flip)[:, :, None]  # [B, 2, 3]
    pixels = ops.einsum("klj,bij->bkli", points, rows)  # [K, L, 3], [B, 2, 3] -> [B, K, L, 2]
    return ops.reshape(pixels, (-1, count, points.shape[1] * 2))


def pose_directions(points, pose: Pose) -> Tensor:
    """How projected points move with shift x, y, scale, turns about x, y, z: [B, 6, L * 2] px."""
    camera = ops.einsum("bij,blj->bli", pose.rotation, points)  # [B, L, 3]
    x, y, z = (pose.scale[:, None] * camera[..., k] for k in range(3))
    zero, one = ops.zeros_like(x), ops.ones_like(x)
    moves = [(one, zero), (zero, one), (x, -y), (zero, z), (z, zero), (-y, -x)]
    stacked = ops.stack([ops.stack(move, -1) for move in moves], 1)
    return ops.reshape(stacked, (-1, len(moves), 2 * points.shape[1]))


def _orthonormal_basis(rows):
    """Gram-Schmidt by Cholesky: rows [B, K, L] -> an orthonormal basis of their span."""
    rows = rows / (ops.norm(rows, axis=-1, keepdims=True) + 1e-6)
    gram = ops.matmul(rows, ops.swapaxes(rows, -1, -2)) + 1e-6 * ops.eye(rows.shape[1])
    return ops.solve_triangular(ops.cholesky(gram), rows, lower=True)


def _without(orthonormal, rows):
    """Rows [B, M, L] less their part in the span of orthonormal [B, K, L]."""
    return rows - ops.matmul(ops.matmul(rows, ops.swapaxes(orthonormal, -1, -2)), orthonormal)


def _posterior(jacobian, variance, residual, sigma_px):
    """P J^T (J P J^T + sigma^2 I)^-1 r for [B, K, L] jacobians of K coefficients."""
    weighted = jacobian * variance[:, None]  # P J^T
    noise = ops.square(sigma_px)[:, None, None] * ops.eye(jacobian.shape[-1])
    factor = ops.cholesky(ops.einsum("bkl,bkm->blm", weighted, jacobian) + noise)
    half = ops.solve_triangular(factor, residual[..., None], lower=True)
    solved = ops.solve_triangular(ops.swapaxes(factor, -1, -2), half, lower=False)
    return ops.einsum("bkl,bl->bk", weighted, solved[..., 0])
