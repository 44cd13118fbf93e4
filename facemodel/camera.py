"""Weak-perspective camera: projection, closed-form pose from landmarks, the fixed crop of a face.

Image points are (x, y) in pixels from the top-left corner, y down, pixel centres at +0.5. The
camera frame is the model frame turned by the pose: x to the image right, y up, z to the viewer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from facemodel.backend import Tensor

CROP_SIZE = 200
"""Side of the square crop that the network sees, px."""
CROP_SCALE = 195.0 / 220.0
"""Pixels per millimetre of the mean face in a crop of CROP_SIZE."""
MIN_LANDMARK_SPREAD_PX = 2.0


class DegenerateLandmarks(ValueError):
    """Landmarks from which no pose can be computed."""


class Pose(NamedTuple):
    """Weak-perspective pose: pixel = scale * diag(1, -1) R[:2] X + translation (paper eq. 4).

    Attributes:
      rotation: [..., 3, 3] camera_from_model.
      scale: [...] px/mm at the depth of the model's origin.
      translation: [..., 2] px, where the model's origin lands (see docs/conventions.md).
    """

    rotation: Any
    scale: Any
    translation: Any


def project(points, pose: Pose, *, inverse_distance=None) -> Tensor:
    """Projects model points into the image.

    Args:
      points: [..., N, 3] mm, model space.
      pose: Poses with the same leading dimensions.
      inverse_distance: [...] 1/mm, one over the camera's distance from the model's origin; None
        for weak perspective.

    Returns:
      [..., N, 3]: x px, y px, and depth in mm towards the viewer, zero at the model's origin.

    Source: paper section 6.1, eq. 4; the perspective case divides the scale by 1 - z / distance.
    """
    camera = ops.einsum("...ij,...nj->...ni", pose.rotation, points)  # [..., N, 3]
    scale = ops.expand_dims(pose.scale, -1)
    if inverse_distance is not None:
        scale = scale / (1.0 - camera[..., 2] * ops.expand_dims(inverse_distance, -1))
    x = scale * camera[..., 0] + pose.translation[..., :1]
    y = -scale * camera[..., 1] + pose.translation[..., 1:]
    return ops.stack([x, y, camera[..., 2]], -1)


def fit_pose(points, pixels, *, weights=None) -> Pose:
    """Computes the weak-perspective pose that maps points to pixels, in closed form.

    Least squares gives an affine camera; its rows, made orthonormal by the symmetric square root,
    give the rotation and their mean length the scale. Exact for exact data. Check untrusted
    landmarks with check_landmarks first.

    Args:
      points: [B or 1, N, 3] mm, model space, not in one plane.
      pixels: [B, N, 2] px.
      weights: [N] how much each point counts; all the same if None.

    Returns:
      Pose of [B, ...] tensors.

    Source: paper section 3 (alignment) and eq. 4.
    """
    flip = ops.convert_to_tensor(np.array([1.0, -1.0], np.float32))
    target = pixels * flip
    weights = ops.ones_like(points[0, :, :1]) if weights is None else weights[:, None]
    share = weights / ops.sum(weights)
    mean_point = ops.sum(share * points, 1, keepdims=True)
    mean_target = ops.sum(share * target, 1, keepdims=True)
    root = ops.sqrt(weights)  # [N, 1], as share
    affine = _least_squares(root * (points - mean_point), root * (target - mean_target))
    rows, scale = _nearest_orthonormal_rows(affine)
    rotation = ops.stack([rows[:, 0], rows[:, 1], _cross(rows[:, 0], rows[:, 1])], 1)
    offset = mean_target[:, 0] - scale[:, None] * ops.sum(rows * mean_point, -1)
    return Pose(rotation, scale, offset * flip)


def _least_squares(points, targets):
    """[B, N, 3] and [B, N, 2], both centred -> the [B, 2, 3] linear map between them."""
    # Sums of products, not matrix products: float32 also where a matmul is rounded (TF32).
    covariance = ops.sum(points[:, :, :, None] * points[:, :, None, :], 1)
    cross = ops.sum(targets[:, :, :, None] * points[:, :, None, :], 1)
    inverse = _symmetric_inverse(covariance)
    return ops.sum(cross[:, :, :, None] * inverse[:, None, :, :], 2)


def _symmetric_inverse(matrix):
    """Inverse of symmetric [B, 3, 3] by the adjugate; singular input gives large numbers."""
    a, b, c = matrix[:, 0, 0], matrix[:, 0, 1], matrix[:, 0, 2]
    d, e, f = matrix[:, 1, 1], matrix[:, 1, 2], matrix[:, 2, 2]
    adjugate = [
        d * f - e * e,
        c * e - b * f,
        b * e - c * d,
        a * f - c * c,
        b * c - a * e,
        a * d - b * b,
    ]
    determinant = a * adjugate[0] + b * adjugate[1] + c * adjugate[2]
    safe = ops.maximum(determinant, 1e-12)
    xx, xy, xz, yy, yz, zz = (entry / safe for entry in adjugate)
    return ops.reshape(ops.stack([xx, xy, xz, xy, yy, yz, xz, yz, zz], -1), (-1, 3, 3))


def _nearest_orthonormal_rows(affine):
    """Nearest [B, 2, 3] orthonormal rows to an affine camera, and its scale [B]."""
    first, second = affine[:, 0], affine[:, 1]
    a, b = ops.sum(first * first, -1), ops.sum(first * second, -1)
    c = ops.sum(second * second, -1)
    root = ops.sqrt(ops.maximum(a * c - b * b, 1e-18))
    trace = ops.sqrt(a + c + 2.0 * root)
    # The square root of the 2x2 Gram matrix [[a, b], [b, c]] and its inverse, by Cayley-Hamilton.
    p, q, r = (a + root) / trace, b / trace, (c + root) / trace
    first_row = (r[:, None] * first - q[:, None] * second) / root[:, None]
    second_row = (p[:, None] * second - q[:, None] * first) / root[:, None]
    return ops.stack([first_row, second_row], 1), (p + r) / 2.0


def _cross(a, b):
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return ops.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def check_landmarks(landmarks: np.ndarray) -> None:
    """Refuses landmarks [N, 2] px that give no pose: too few, not finite, or all on one line.

    Raises:
      DegenerateLandmarks: with what was received.
    """
    landmarks = np.asarray(landmarks)
    if landmarks.ndim != 2 or landmarks.shape[1] != 2 or len(landmarks) < 4:
        raise DegenerateLandmarks(
            f"expected at least 4 landmarks [N, 2], got {list(landmarks.shape)}"
        )
    if not np.isfinite(landmarks).all():
        raise DegenerateLandmarks("landmarks hold values that are not finite")
    spread = np.linalg.svd(landmarks - landmarks.mean(0), compute_uv=False) / np.sqrt(
        len(landmarks)
    )
    if spread.min() < MIN_LANDMARK_SPREAD_PX:
        raise DegenerateLandmarks(
            f"landmarks lie within {spread.min():.2f} px of a line or point; "
            f"at least {MIN_LANDMARK_SPREAD_PX} px are needed"
        )


def roll_of(pose: Pose) -> Tensor:
    """[...] radians, how far the face is turned counter-clockwise in the image."""
    return ops.arctan2(-pose.rotation[..., 0, 1], pose.rotation[..., 1, 1])


def crop_px_per_mm(size: int) -> float:
    """Scale of the mean face in crops of that side, px/mm."""
    return CROP_SCALE * size / CROP_SIZE


def crop_from_pose(pose: Pose, centre, *, size: int = CROP_SIZE, upright: bool = True) -> Tensor:
    """Computes the fixed crop around a face of known pose.

    Args:
      pose: Poses [B, ...] of the mean face in the image.
      centre: [3] mm, the model point that goes to the middle of the crop.
      size: Side of the crop, px.
      upright: turn the face's roll out; otherwise the crop only scales and shifts.

    Returns:
      [B, 2, 3] crop_from_image similarity.

    Source: paper section 5.1; scale and centre as in docs/conventions.md.
    """
    zoom = crop_px_per_mm(size) / pose.scale
    roll = roll_of(pose) if upright else ops.zeros_like(zoom)
    cos, sin = zoom * ops.cos(roll), zoom * ops.sin(roll)
    linear = ops.stack([ops.stack([cos, -sin], -1), ops.stack([sin, cos], -1)], -2)
    middle = project(ops.reshape(centre, (1, 1, 3)), pose)[:, 0, :2]
    offset = size / 2.0 - ops.sum(linear * middle[:, None, :], -1)
    return ops.concatenate([linear, offset[..., None]], -1)


def transform_pose(pose: Pose, similarity) -> Pose:
    """Expresses a pose in another image.

    Args:
      pose: in the source image, [..., ].
      similarity: [..., 2, 3] target_from_source, no reflection.

    Returns:
      The pose for which project() gives the target's pixels.
    """
    a, b = similarity[..., 0, 0], similarity[..., 0, 1]
    zoom = ops.sqrt(a * a + b * b)
    cos, sin = (a / zoom)[..., None], (-b / zoom)[..., None]
    first, second, third = (pose.rotation[..., k, :] for k in range(3))
    # Image y points down, so the same turn has the other sign in the camera frame.
    rotation = ops.stack([cos * first + sin * second, cos * second - sin * first, third], -2)
    moved = ops.sum(similarity[..., :2] * pose.translation[..., None, :], -1) + similarity[..., 2]
    return Pose(rotation, pose.scale * zoom, moved)
