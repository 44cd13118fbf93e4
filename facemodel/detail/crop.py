"""The part of a photo around a face, reduced, in logarithms of linear light, with its noise."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy import fft

from facemodel.detail.surface import CameraPose, linear_from_srgb
from facemodel.vectors import largest_channel, mean_channel, smallest_channel

FACE_PX = 512
"""Larger faces are reduced to this height."""
MARGIN_PX = 8
SATURATED, DARK = 0.97, 0.06
"""sRGB values above and below which a pixel says little about shading."""
_QUANTUM_SD = 0.29 / 255.0


class Crop(NamedTuple):
    """A face cut out of a photo.

    Attributes:
      log: [H, W, 3] natural logarithm of linear RGB.
      noise: [H, W] standard deviation of the logarithm's noise.
      exposed: [H, W] in [0, 1], 0 where a channel is saturated or the pixel is black.
      pose: of the face in the crop.
      corner: [2] px of the photo, where the crop begins.
      zoom: crop px for each px of the photo, x and y: [2].
      grey: whether the photo has no colour.
    """

    log: np.ndarray
    noise: np.ndarray
    exposed: np.ndarray
    pose: CameraPose
    corner: np.ndarray
    zoom: np.ndarray
    grey: bool


def cut_crop(photo: np.ndarray, screen: np.ndarray, pose: CameraPose) -> Crop:
    """Cuts a face out, with sides of small prime factors, of which Fourier transforms are quick.

    Args:
      photo: uint8 [H, W, 3] sRGB.
      screen: [V, 2] px of the photo, the face's vertices.
      pose: of the face in the photo.
    """
    size = np.array(photo.shape[1::-1])
    reduce = min(1.0, FACE_PX / max(float(np.ptp(screen[:, 1])), 1.0))
    margin = MARGIN_PX / reduce
    first = np.clip(np.floor(screen.min(0) - margin), 0, size - 1).astype(int)
    last = np.clip(np.ceil(screen.max(0) + margin), first + 1, size).astype(int)
    quick = np.array([fft.next_fast_len(int(n), real=True) for n in (last - first) * reduce + 1])
    last = np.minimum(first + np.ceil(quick / reduce), size).astype(int)
    part = photo[first[1] : last[1], first[0] : last[0]]
    wanted = np.maximum(1, np.minimum(quick, np.round((last - first) * reduce))).astype(int)
    if reduce < 1.0:
        part = cv2.resize(part, tuple(wanted.tolist()), interpolation=cv2.INTER_AREA)
    zoom = wanted / (last - first)
    scale = pose.scale * float(zoom.mean())
    moved = CameraPose(pose.rotation, scale, (pose.translation - first) * zoom)
    log, noise, exposed = _in_logarithms(part)
    return Crop(log, noise, exposed, moved, first, zoom, is_grey(part))


def is_grey(image: np.ndarray) -> bool:
    """Whether uint8 [H, W, 3] has no colour, but for rounding."""
    spread = largest_channel(image).astype(int) - smallest_channel(image)
    return bool(np.quantile(spread, 0.95) <= 4)


def _in_logarithms(part: np.ndarray):
    """log, noise and exposed of Crop."""
    table = np.arange(256, dtype=np.float32) / 255.0
    linear = np.log(np.maximum(linear_from_srgb(table), 1e-3)).astype(np.float32)
    log = linear[part]
    grey = mean_channel(part.astype(np.float32)) / 255.0
    slope = 2.4 / (np.maximum(grey, DARK) + 0.055)
    noise = estimate_noise(grey) * slope
    highest, lowest = largest_channel(part) / 255.0, grey
    exposed = np.clip((1.0 - highest) / (1.0 - SATURATED), 0, 1) * np.clip(lowest / DARK - 1, 0, 1)
    return log, noise.astype(np.float32), exposed.astype(np.float32)


def estimate_noise(grey: np.ndarray) -> float:
    """Standard deviation of white noise in an image [H, W], from what no smooth image has.

    Source: Immerkaer 1996, "Fast noise variance estimation"; with the median, as edges are few.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    found = cv2.filter2D(grey, -1, kernel)[1:-1, 1:-1]
    if not found.size:
        return _QUANTUM_SD
    return max(float(np.median(np.abs(found))) / (6.0 * 0.6745), _QUANTUM_SD)
