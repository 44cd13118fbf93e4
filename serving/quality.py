"""Says what makes a reconstruction less trustworthy."""

from __future__ import annotations

import dataclasses

import numpy as np

EXTREME_YAW_DEG = 40.0
EXTREME_PITCH_DEG = 25.0
SMALL_FACE_PX_PER_MM = 0.45
"""Below this a face is enlarged more than about twice for the network."""
BORDER_MARGIN = 0.01
LOW_SCORE = 0.65
POOR_FIT_MM = 8.0
"""Of 511 renders, whose true faces are known, 3 % lie above. Below it, how far mesh and detector
are apart says how wrong the detector is (correlation 0.89), not the mesh (0.20)."""


@dataclasses.dataclass(frozen=True)
class Quality:
    """Measures of one reconstruction, and what they mean.

    Attributes:
      yaw_deg: positive: the nose points to image right.
      pitch_deg: positive: it points down.
      roll_deg: positive: the head is turned counter-clockwise in the photo.
      face_px: longer side of the box around the landmarks.
      detection_score: Confidence of the detector in [0, 1].
      outside_fraction: share of the detected landmarks outside the photo or right at its border.
      landmark_residual_mm: RMS distance in the image, over the mesh's scale, between the inner
        landmarks that were detected and those of the mesh.
      flags: Some of "extreme_pose", "small_face", "cut_by_border", "low_confidence", "poor_fit".
    """

    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    face_px: float
    detection_score: float
    outside_fraction: float
    landmark_residual_mm: float
    flags: tuple[str, ...]


def assess(
    *,
    rotation: np.ndarray,
    scale: float,
    detected_478: np.ndarray,
    residual_px: np.ndarray,
    score: float,
    photo_size: tuple[int, int],
) -> Quality:
    """Measures a reconstruction.

    Args:
      rotation: [3, 3] camera_from_model.
      scale: px/mm in the photo.
      detected_478: [478, 2] px in the photo.
      residual_px: [N, 2] detected minus projected inner landmarks.
      score: Confidence of the detector in [0, 1].
      photo_size: (height, width) px.
    """
    yaw, pitch, roll = np.degrees(euler_angles(rotation))
    extent = np.ptp(detected_478, axis=0).max()
    limits = np.array(photo_size[::-1])
    margin = BORDER_MARGIN * extent
    outside = ((detected_478 < margin) | (detected_478 > limits - margin)).any(-1).mean()
    residual_mm = float(np.sqrt((residual_px**2).sum(-1).mean()) / scale)
    checks = {
        "extreme_pose": abs(yaw) > EXTREME_YAW_DEG or abs(pitch) > EXTREME_PITCH_DEG,
        "small_face": scale < SMALL_FACE_PX_PER_MM,
        "cut_by_border": outside > 0,
        "low_confidence": score < LOW_SCORE,
        "poor_fit": residual_mm > POOR_FIT_MM,
    }
    return Quality(
        yaw_deg=float(yaw),
        pitch_deg=float(pitch),
        roll_deg=float(roll),
        face_px=float(extent),
        detection_score=float(score),
        outside_fraction=float(outside),
        landmark_residual_mm=residual_mm,
        flags=tuple(name for name, holds in checks.items() if holds),
    )


def euler_angles(rotation: np.ndarray) -> tuple[float, float, float]:
    """Takes Rz(roll) Rx(pitch) Ry(yaw) [3, 3] apart: yaw, pitch, roll in radians."""
    yaw = np.arctan2(-rotation[2, 0], rotation[2, 2])
    pitch = np.arcsin(np.clip(rotation[2, 1], -1.0, 1.0))
    roll = np.arctan2(-rotation[0, 1], rotation[1, 1])
    return float(yaw), float(pitch), float(roll)
