"""Expression and pose of a face whose identity is known, from its landmarks in many frames."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from facemodel.morphable.landmark_noise import LandmarkNoise

ROUNDS = 4
_FLIP = np.array([1.0, -1.0])


class Poses(NamedTuple):
    """Weak-perspective poses of F frames, as camera.Pose.

    Attributes:
      rotation: [F, 3, 3] camera_from_model.
      scale: [F] px/mm.
      translation: [F, 2] px.
    """

    rotation: np.ndarray
    scale: np.ndarray
    translation: np.ndarray

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points [F or 1, N, 3] mm, model space -> [F, N, 2] px."""
        turned = points @ np.swapaxes(self.rotation, -1, -2)
        scaled = turned[..., :2] * (self.scale[:, None, None] * _FLIP)
        result: np.ndarray = scaled + self.translation[:, None, :]
        return result


@dataclasses.dataclass(frozen=True, eq=False)
class KnownFace:
    """The landmarks of a face whose identity is known.

    Attributes:
      neutral: [L, 3] mm, without expression.
      basis: [E, L, 3] mm at weight 1.
      whitening: [2 L, 2 L] turns a detector's errors in mm into independent ones of variance 1.
      weights: [L] how much each counts in a first pose.
    """

    neutral: np.ndarray
    basis: np.ndarray
    whitening: np.ndarray
    weights: np.ndarray

    @classmethod
    def create(
        cls, neutral: np.ndarray, basis: np.ndarray, errors: LandmarkNoise, *, share: float = 1.0
    ) -> KnownFace:
        """Makes one for a detector.

        Args:
          neutral: [L, 3] mm.
          basis: [E, L, 3] mm.
          errors: of the detector at these landmarks.
          share: of the errors that is left when what they have in common in all frames is known.
        """
        factor = np.linalg.cholesky(errors.second_moment.astype(np.float64)) * share
        precision = 1.0 / (errors.landmark_sigma_mm.astype(np.float64) ** 2).mean(-1)
        return cls(neutral, basis, np.linalg.inv(factor), precision / precision.mean())

    def with_neutral(self, neutral: np.ndarray) -> KnownFace:
        """The same for another neutral face, [L, 3] mm."""
        return dataclasses.replace(self, neutral=neutral)

    def points(self, expression: np.ndarray) -> np.ndarray:
        """The landmarks [F, L, 3] mm with expressions [F, E]."""
        moves = np.asarray(expression) @ self.basis.reshape(len(self.basis), -1)
        result: np.ndarray = self.neutral + moves.reshape(-1, *self.neutral.shape)
        return result


def fit_poses(face: KnownFace, points: np.ndarray, pixels: np.ndarray) -> Poses:
    """Poses that take points [F, L, 3] mm to pixels [F, L, 2], in closed form.

    What camera.fit_pose does, for arrays outside of a graph, where that takes ten times as long.
    """
    share = (face.weights / face.weights.sum())[:, None]
    middle, target = (share * points).sum(1, keepdims=True), pixels * _FLIP
    target_middle = (share * target).sum(1, keepdims=True)
    known = share * (points - middle)
    covariance = np.swapaxes(known, 1, 2) @ (points - middle)
    affine = np.linalg.solve(covariance, np.swapaxes(known, 1, 2) @ (target - target_middle))
    left, singular, right = np.linalg.svd(np.swapaxes(affine, 1, 2), full_matrices=False)
    rows, scale = left @ right, singular.mean(-1)
    rotation = np.concatenate([rows, np.cross(rows[:, :1], rows[:, 1:])], 1)
    offset = target_middle[:, 0] - scale[:, None] * (rows * middle).sum(-1)
    return Poses(rotation, scale, offset * _FLIP)


def fit_expressions(
    face: KnownFace,
    pixels: np.ndarray,
    *,
    expected: np.ndarray,
    sd: np.ndarray | float,
    rounds: int = ROUNDS,
) -> tuple[np.ndarray, Poses]:
    """Finds the most probable expressions and poses, by Gauss-Newton; a pose has a flat prior.

    Args:
      face: the face.
      pixels: Landmarks [F, L, 2] px.
      expected: [F, E] expressions that are expected, for example by the network.
      sd: [E] or one number, how far they may be from that.
      rounds: Number of Gauss-Newton steps.

    Returns:
      [F, E] expressions, and the poses.

    Source: the landmark-based fit of paper section 8, for a face whose identity is known.
    """
    expression = np.array(expected, np.float64)
    pose = fit_poses(face, face.points(expression), pixels)
    precision = np.broadcast_to(1.0 / np.square(sd), expression.shape[1:])
    for _ in range(rounds):
        points = face.points(expression)
        jacobian = _jacobian(face, points, pose)
        residual = (pixels - pose.project(points)).reshape(len(pixels), 1, -1)
        whitened = face.whitening.T / pose.scale[:, None, None]
        jacobian, residual = jacobian @ whitened, residual @ whitened
        normal = jacobian @ np.swapaxes(jacobian, -1, -2)
        right = (jacobian @ np.swapaxes(residual, -1, -2))[..., 0]
        own = np.arange(6, 6 + expression.shape[1])
        normal[:, own, own] += precision
        right[:, 6:] += precision * (expected - expression)
        normal[:, np.arange(6), np.arange(6)] *= 1.0 + 1e-9
        step = np.linalg.solve(normal, right[..., None])[..., 0]
        expression = expression + step[:, 6:]
        pose = _moved(pose, step[:, :6])
    return expression, pose


def _jacobian(face: KnownFace, points: np.ndarray, pose: Poses) -> np.ndarray:
    """[F, 6 + E, 2 L] px: shift, turns about the camera's axes, log of the scale; expressions."""
    turned = points @ np.swapaxes(pose.rotation, -1, -2)
    x, y, z = (pose.scale[:, None] * turned[..., k] for k in range(3))
    zero, one = np.zeros_like(x), np.ones_like(x)
    # Image y points down: a turn w moves the camera point by w x p, then y changes its sign.
    moves = [(one, zero), (zero, one), (zero, z), (z, zero), (-y, -x), (x, -y)]
    rigid = np.stack([np.stack(move, -1) for move in moves], 1)
    rows = pose.rotation[:, :2] * (pose.scale[:, None] * _FLIP)[:, :, None]
    shapes = np.einsum("elj,fij->feli", face.basis, rows, optimize=True)
    both = np.concatenate([rigid, shapes], 1)
    return both.reshape(len(both), both.shape[1], -1)


def _moved(pose: Poses, step: np.ndarray) -> Poses:
    """The poses after steps [F, 6] in the order of _jacobian."""
    return Poses(
        rotation_from_vector(step[:, 2:5]) @ pose.rotation,
        pose.scale * np.exp(np.clip(step[:, 5], -0.5, 0.5)),
        pose.translation + step[:, :2],
    )


def rotation_from_vector(vectors: np.ndarray) -> np.ndarray:
    """Rotations [..., 3, 3] about axes [..., 3] whose length is the angle in radians."""
    angle = np.linalg.norm(vectors, axis=-1)[..., None, None]
    x, y, z = (vectors[..., k] for k in range(3))
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1)
    cross = cross.reshape(*vectors.shape[:-1], 3, 3)
    first, second = np.sinc(angle / np.pi), 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    result: np.ndarray = np.eye(3) + first * cross + second * (cross @ cross)
    return result


def vector_from_rotation(rotation: np.ndarray) -> np.ndarray:
    """The opposite of rotation_from_vector, for angles below pi: [..., 3, 3] -> [..., 3]."""
    skew = np.stack(
        [
            rotation[..., 2, 1] - rotation[..., 1, 2],
            rotation[..., 0, 2] - rotation[..., 2, 0],
            rotation[..., 1, 0] - rotation[..., 0, 1],
        ],
        -1,
    )
    sine = np.linalg.norm(skew, axis=-1, keepdims=True) / 2
    cosine = (np.trace(rotation, axis1=-2, axis2=-1)[..., None] - 1) / 2
    angle = np.arctan2(sine, cosine)
    result: np.ndarray = skew / 2 * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-12), 1.0)
    return result
