"""Motion of a face as numbers that can be smoothed, and the parts of a film where it goes on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facemodel.fitting.expression_fit import Poses, rotation_from_vector, vector_from_rotation
from serving.tracking.smoothing import OneEuro, smooth

LONGEST_GAP = 12
"""Frames without a face that are filled in."""
POSE_STRENGTHS = tuple(10.0 ** np.arange(1.0, 5.1, 0.5))
EXPRESSION_STRENGTHS = tuple(10.0 ** np.arange(0.0, 5.1, 0.5))
POSE_CUTOFF_HZ, POSE_BETA = 2.0, 0.5
EXPRESSION_CUTOFF_HZ, EXPRESSION_BETA = 3.0, 4.0
"""Of the One-Euro filters of the causal mode; angles in degrees, places in 1/100 of the face."""


def segments(frames: np.ndarray, cuts: Sequence[int]) -> list[np.ndarray]:
    """Parts of rising frame numbers [N] between which there is a cut or a gap too long to fill."""
    before = np.searchsorted(np.asarray(cuts), frames, side="right")
    ends = (np.diff(frames) > LONGEST_GAP + 1) | (np.diff(before) > 0)
    return np.split(frames, np.flatnonzero(ends) + 1)


def smoothed(table: np.ndarray, valid: np.ndarray, fps: float, causal: bool) -> np.ndarray:
    """Smooths one segment.

    Args:
      table: [F, 6 + E] channels of to_channels, then expressions.
      valid: [F] bool, in which frames the face was found.
      fps: frames per second.
      causal: by One-Euro filters, which leave frames without a face as they are.
    """
    if causal:
        return _one_euro(table, valid, fps)
    pose = smooth(table[:, :6], valid, order=3, strengths=POSE_STRENGTHS)
    expression = smooth(table[:, 6:], valid, order=3, strengths=EXPRESSION_STRENGTHS)
    return np.concatenate([pose, expression], 1)


def _one_euro(table: np.ndarray, valid: np.ndarray, fps: float) -> np.ndarray:
    """The causal filters, in units in which all channels of a kind move about as much."""
    size = 150.0 * np.exp(table[valid, 3].mean())
    units = np.array([*[np.radians(1.0)] * 3, 0.01, 0.01 * size, 0.01 * size])
    pose = OneEuro(min_cutoff_hz=POSE_CUTOFF_HZ, beta=POSE_BETA)
    expression = OneEuro(min_cutoff_hz=EXPRESSION_CUTOFF_HZ, beta=EXPRESSION_BETA)
    result, last = table.copy(), -1
    for row in np.flatnonzero(valid):
        seconds = (row - last) / fps
        result[row, :6] = units * pose.step(table[row, :6] / units, seconds)
        result[row, 6:] = expression.step(table[row, 6:], seconds)
        last = row
    return result


def to_channels(pose: Poses, middle: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Poses as [F, 6] numbers that can be smoothed: turn, log of the scale, a point's place.

    Args:
      pose: of F frames.
      middle: [3] mm, the point; that of the face moves less with its turns than the origin.
      reference: [3, 3] rotation from which turns are counted; they stay below 180 degrees.
    """
    place = pose.project(np.repeat(middle[None, None], len(pose.scale), 0))[:, 0]
    vector = vector_from_rotation(pose.rotation @ reference.T)
    return np.concatenate([vector, np.log(pose.scale)[:, None], place], 1)


def from_channels(channels: np.ndarray, middle: np.ndarray, reference: np.ndarray) -> Poses:
    """The opposite of to_channels."""
    rotation = rotation_from_vector(channels[:, :3]) @ reference
    scale = np.exp(channels[:, 3])
    offset = (rotation @ middle)[:, :2] * (scale[:, None] * (1, -1))
    return Poses(rotation, scale, channels[:, 4:] - offset)
