"""Which slice of the data a sample belongs to, as small numbers with fixed edges.

A bin's number is how many edges its value reaches: below the first edge 0, then 1, and so on.
"""

from __future__ import annotations

import numpy as np
from keras import ops

from facemodel.backend import Tensor

YAW_EDGES_DEG = (-30.0, -10.0, 10.0, 30.0)
"""Of the head's turn: far to the image left, left, frontal, right, far right."""
EXPRESSION_EDGES = (0.01, 0.75, 1.75)
"""Of the sum of expression weights: neutral, weak, medium, strong."""
SKIN_TONE_EDGES_DEG = (-30.0, 10.0, 28.0, 41.0, 55.0)
"""Of the individual typology angle: dark, brown, tan, intermediate, light, very light
(Chardon et al. 1991; Del Bino and Bernerd 2013)."""
LIGHT_EDGES_DEG = (25.0, 50.0)
"""Of the angle between light and view: frontal, oblique, from the side."""

BIN_NAMES = {
    "slice/yaw_bin": ("far left", "left", "frontal", "right", "far right"),
    "slice/expression_bin": ("neutral", "weak", "medium", "strong"),
    "slice/skin_tone_bin": ("dark", "brown", "tan", "intermediate", "light", "very light"),
    "slice/light_bin": ("frontal", "oblique", "from the side"),
}
"""What the bins of each slice are called, in order."""


_XYZ_FROM_RGB = np.array(
    [[0.412456, 0.357576, 0.180438], [0.212673, 0.715152, 0.072175], [0.019334, 0.119192, 0.95030]],
    np.float32,
)  # fmt: skip
_WHITE = np.array([0.95047, 1.0, 1.08883], np.float32)


def yaw_deg(rotation) -> Tensor:
    """The yaw of transforms.euler_rotation in rotations [B, 3, 3], [B] degrees."""
    return _degrees(ops.arctan2(-rotation[:, 2, 0], rotation[:, 2, 2]))


def light_angle_deg(direction) -> Tensor:
    """Between the light's direction [B, 3] and the view, [B] degrees."""
    return _degrees(ops.arccos(ops.clip(direction[:, 2], -1.0, 1.0)))


def typology_angle_deg(colour) -> Tensor:
    """Individual typology angle of skin, arctan((L* - 50) / b*).

    Args:
      colour: [B, 3] sRGB in [0, 1].

    Returns:
      [B] degrees, lighter skin higher.
    """
    linear = ops.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    xyz = ops.sum(linear[:, None, :] * _XYZ_FROM_RGB, -1) / _WHITE
    curved = ops.where(xyz > 0.008856, ops.maximum(xyz, 1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116)
    lightness = 116.0 * curved[:, 1] - 16.0
    yellow = 200.0 * (curved[:, 1] - curved[:, 2])
    return _degrees(ops.arctan2(lightness - 50.0, yellow))


def bin_number(values, edges: tuple[float, ...]) -> Tensor:
    """[B] values -> [B] int64 bins."""
    reached = values[:, None] >= np.asarray(edges, np.float32)
    return ops.cast(ops.sum(ops.cast(reached, "int32"), -1), "int64")


def _degrees(radians):
    return radians * (180.0 / np.pi)
