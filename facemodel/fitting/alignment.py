"""Where a face is in a photo, from its 51 inner landmarks: its pose and the fixed crop around it.

Training, evaluation and serving all align faces here.
"""

from __future__ import annotations

from facemodel import camera
from facemodel.backend import Tensor
from facemodel.morphable.geometry import FaceGeometry, decode_landmarks


def fit_face_pose(geometry: FaceGeometry, coefficients, landmarks) -> camera.Pose:
    """Fits the pose of a known face; landmarks count by how reliably they are detected.

    Args:
      geometry: Face model tensors.
      coefficients: [B, n] of the face.
      landmarks: [B, 51, 2] px.
    """
    points = decode_landmarks(geometry, coefficients)
    return camera.fit_pose(points, landmarks, weights=geometry.landmark_weights)


def crop_around(geometry: FaceGeometry, landmarks, *, size: int = camera.CROP_SIZE) -> Tensor:
    """The crop around a face that is not known yet: that of the mean face, upright.

    Args:
      geometry: Face model tensors.
      landmarks: [B, 51, 2] px in the photo.
      size: Side of the crop, px.

    Returns:
      [B, 2, 3] crop_from_image similarity.

    Source: paper section 5.1.
    """
    mean = geometry.landmark_mean[None]
    pose = camera.fit_pose(mean, landmarks, weights=geometry.landmark_weights)
    return camera.crop_from_pose(pose, geometry.centre, size=size)
