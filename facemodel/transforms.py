"""Rotations from angles, and similarity transforms of the image plane as [..., 2, 3] matrices."""

from __future__ import annotations

from keras import ops

from facemodel.backend import Tensor


def euler_rotation(yaw, pitch, roll) -> Tensor:
    """Builds R = Rz(roll) Rx(pitch) Ry(yaw).

    Args:
      yaw: [...] radians; positive turns the face to the image right (its nose moves to +x).
      pitch: [...] radians; positive turns it down.
      roll: [...] radians; positive turns it counter-clockwise in the image.

    Returns:
      [..., 3, 3] rotations of column vectors.
    """
    zero, one = ops.zeros_like(yaw), ops.ones_like(yaw)

    def matrix(*entries):
        return ops.reshape(ops.stack(entries, -1), (*ops.shape(yaw), 3, 3))

    cos, sin = ops.cos, ops.sin
    about_y = matrix(cos(yaw), zero, sin(yaw), zero, one, zero, -sin(yaw), zero, cos(yaw))
    about_x = matrix(one, zero, zero, zero, cos(pitch), -sin(pitch), zero, sin(pitch), cos(pitch))
    about_z = matrix(cos(roll), -sin(roll), zero, sin(roll), cos(roll), zero, zero, zero, one)
    return ops.matmul(about_z, ops.matmul(about_x, about_y))


def apply_similarity(similarity, points) -> Tensor:
    """Moves points [..., N, 2] px by target_from_source [..., 2, 3] -> [..., N, 2] px."""
    linear, offset = similarity[..., :2], similarity[..., 2]
    return ops.einsum("...ij,...nj->...ni", linear, points) + ops.expand_dims(offset, -2)


def invert_similarity(similarity) -> Tensor:
    """Turns target_from_source [..., 2, 3] into source_from_target [..., 2, 3]; no reflection."""
    a, b = similarity[..., 0, 0], similarity[..., 0, 1]
    c, d = similarity[..., 1, 0], similarity[..., 1, 1]
    determinant = a * d - b * c
    rows = [ops.stack([d, -b], -1), ops.stack([-c, a], -1)]
    linear = ops.stack(rows, -2) / determinant[..., None, None]
    offset = -ops.einsum("...ij,...j->...i", linear, similarity[..., 2])
    return ops.concatenate([linear, offset[..., None]], -1)


def similarity_scale(similarity) -> Tensor:
    """[...] how many target pixels a source pixel spans."""
    a, c = similarity[..., 0, 0], similarity[..., 1, 0]
    return ops.sqrt(a * a + c * c)
