"""Light and camera of the photos for the evaluation of detail.

As in the lifelike recipe, but in linear light and on a displaced surface.
"""

from __future__ import annotations

import cv2
import numpy as np

from facemodel.rendering.lighting import harmonics
from facemodel.rendering.shading import SHININESS
from facemodel.synthesis.effects.jpeg import jpeg_roundtrip
from facemodel.vectors import unit

SAMPLES = 2
"""Samples along each side of a pixel."""


def displaced_normals(normals, height, scale: float, mask) -> np.ndarray:
    """Normals of the surface P + h n, from the derivatives of that surface.

    Args:
      normals: [n, n, 3] unit normals of P, camera frame; what P's derivatives are follows from
        them.
      height: [n, n] mm.
      scale: px/mm.
      mask: bool [n, n].
    """
    slope = normals[..., :2] / np.maximum(normals[..., 2:], 0.1)
    zero, one = np.zeros_like(height), np.ones_like(height)
    right = np.stack([one, zero, -slope[..., 0]], -1) / scale
    up = np.stack([zero, one, -slope[..., 1]], -1) / scale
    inside = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    moved = []
    for tangent, axis, sign in ((right, 1, 1.0), (up, 0, -1.0)):
        rise = sign * np.gradient(height, axis=axis)
        turn = sign * np.gradient(normals, axis=axis)
        moved.append(tangent + rise[..., None] * normals + height[..., None] * turn)
    return np.where(inside[..., None], unit(np.cross(*moved)), normals).astype(np.float32)


def lit_surface(samples, scene, albedo) -> np.ndarray:
    """Linear light [n, n, 3]: the recipe's lights on the displaced surface."""
    normals = samples["displaced"]
    ambient, diffuse, specular, direction = (np.asarray(value)[0] for value in scene.light)
    surround = np.maximum(np.asarray(harmonics(normals)) @ np.asarray(scene.environment)[0], 0)
    gain = np.maximum(1 + normals @ np.asarray(scene.ambient_gradient)[0], 0)[..., None]
    facing = np.maximum(normals @ direction, 0)
    mirrored = np.maximum(2 * facing * normals[..., 2] - direction[2], 0)
    highlight = np.where(facing > 0, mirrored**SHININESS, 0) * samples["lit"]
    matte = albedo * gain * (ambient * surround + (diffuse * facing * samples["lit"])[..., None])
    return matte + (specular * highlight)[..., None]


def _srgb(linear: np.ndarray) -> np.ndarray:
    linear = np.clip(linear, 0, 1)
    power = 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    return np.where(linear > 0.0031308, power, 12.92 * linear)


def photograph(linear, mask, effects, quality: float) -> np.ndarray:
    """The recipe's camera: blur, white balance, tone curve, grain and JPEG, as uint8 [S, S, 3]."""
    sensor, size = effects.sensor, len(linear) // SAMPLES
    background = np.asarray(effects.background[0])[0] ** 2
    linear = np.where(mask[..., None], linear, background).astype(np.float32)
    image = _srgb(cv2.resize(linear, (size, size), interpolation=cv2.INTER_AREA))
    boxed = cv2.blur(cv2.blur(image, (3, 3)), (3, 3))
    image = image + float(effects.blur[0]) * (boxed - image)
    image = np.clip(image * np.asarray(sensor.white)[0], 1e-4, 1) ** float(sensor.gamma[0])
    image = image * float(sensor.gain[0]) + float(sensor.offset[0])
    image = image + float(sensor.grain_sd[0]) * np.asarray(sensor.grain)[0][..., None]
    photo = np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)
    return jpeg_roundtrip(photo, quality)
