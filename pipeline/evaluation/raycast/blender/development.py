"""What a camera makes of light: exposure, white balance, noise, tone curve and sharpening."""

from __future__ import annotations

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
WHITE = 3.0
"""Exposed light that becomes white. Source of the curve: Reinhard et al. 2002, eq. 4."""


def develop(linear: np.ndarray, scene: dict) -> np.ndarray:
    """Exposes, balances and stores a picture: linear [S, S, 3] -> uint8 sRGB."""
    rng = np.random.default_rng(int(scene["noise_seed"]))
    image = _blurred(np.maximum(linear, 0.0), float(scene["blur_px"])) * _white(linear, scene)
    places = np.floor(scene["metered_px"]).astype(int)
    side = len(image)
    places = places[(places >= 0).all(1) & (places < side).all(1)]
    metered = image[places[:, 1], places[:, 0]]
    image = image * _gain(metered, scene)
    shot, read = scene["noise"]
    spread = np.sqrt(shot**2 * np.maximum(image, 0) + read**2)
    image = image + spread * rng.standard_normal(image.shape)
    image = _toned(image, scene)
    image = image + float(scene["sharpen"]) * (image - _blurred(image, 1.0))
    return np.round(255 * np.clip(image, 0, 1)).astype(np.uint8)


def _white(linear: np.ndarray, scene: dict) -> np.ndarray:
    """[3] gains that take out most of the light's colour, as its mean over the sphere tells."""
    rows = np.cos(np.pi * (0.5 - (np.arange(len(scene["environment"])) + 0.5) /
                           len(scene["environment"])))[:, None, None]  # fmt: skip
    light = (scene["environment"].astype(np.float64) * rows).sum((0, 1)) / (
        rows.sum() * scene["environment"].shape[1]
    )
    light = light + (scene["lamp_colours"] * scene["lamp_strengths"][:, None]).sum(0)
    return (light.mean() / light) ** float(scene["white_share"]) * scene["white"]


def _gain(metered: np.ndarray, scene: dict) -> float:
    """The exposure at which the metered pixels [N, 3] have the wanted mean luma."""
    low, high = -12.0, 12.0
    for _ in range(40):
        middle = (low + high) / 2
        mean = (np.clip(_toned(metered * 2.0**middle, scene), 0, 1) @ LUMA).mean()
        low, high = (middle, high) if mean < float(scene["target_luma"]) else (low, middle)
    return 2.0 ** ((low + high) / 2)


def _toned(image: np.ndarray, scene: dict) -> np.ndarray:
    """sRGB with a long shoulder, more contrast in the middle, and saturation."""
    image = np.maximum(image, 0.0)
    image = np.minimum(image * (1 + image / WHITE**2) / (1 + image), 1.0)
    image = np.where(image <= 0.0031308, 12.92 * image, 1.055 * image ** (1 / 2.4) - 0.055)
    curve = image * image * (3 - 2 * image)
    image = image + float(scene["contrast"]) * (curve - image)
    grey = (image @ LUMA.astype(image.dtype))[..., None]
    return grey + float(scene["saturation"]) * (image - grey)


def _blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Convolves [H, W, 3] with a Gaussian."""
    reach = int(np.ceil(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        pad = [(0, 0)] * 3
        pad[axis] = (reach, reach)
        padded = np.pad(image, pad, "edge")
        size = image.shape[axis]
        image = sum(
            weight * np.take(padded, range(k, k + size), axis) for k, weight in enumerate(kernel)
        )
    return image
