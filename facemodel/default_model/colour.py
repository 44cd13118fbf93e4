"""Colours: CIE Lab to sRGB, and bilinear reads of texture images."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import scipy.ndimage

_WHITE_D65 = np.array([0.95047, 1.0, 1.08883])
_LINEAR_FROM_XYZ = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)


def srgb_from_lab(lab: np.ndarray) -> np.ndarray:
    """[..., 3] CIE Lab under D65 -> [..., 3] sRGB in [0, 1], clipped to the gamut.

    Source: IEC 61966-2-1; CIE 15:2004.
    """
    lightness, a, b = np.moveaxis(np.asarray(lab, np.float64), -1, 0)
    y = (lightness + 16) / 116
    f = np.stack([y + a / 500, y, y - b / 200], axis=-1)
    knee = 6 / 29
    xyz = np.where(f > knee, f**3, 3 * knee**2 * (f - 4 / 29)) * _WHITE_D65
    linear = np.clip(xyz @ _LINEAR_FROM_XYZ.T, 0, 1)
    power = 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055
    return np.where(linear > 0.0031308, power, 12.92 * linear)


def read_image(data: bytes, mode: str) -> np.ndarray:
    """Decodes an image file: [H, W, C] float32 in [0, 1]; mode is one of PIL's, such as "RGB"."""
    image = np.asarray(PIL.Image.open(io.BytesIO(data)).convert(mode), np.float32) / 255
    return image.reshape(*image.shape[:2], -1)


def sample(image: np.ndarray, uv: np.ndarray) -> np.ndarray:
    """Reads [H, W, C] bilinearly at [N, 2] texture coordinates (v upwards): [N, C]."""
    height, width, channels = image.shape
    rows = (1 - uv[:, 1]) * height - 0.5
    columns = uv[:, 0] * width - 0.5
    return np.stack(
        [
            scipy.ndimage.map_coordinates(
                image[..., channel], [rows, columns], order=1, mode="nearest"
            )
            for channel in range(channels)
        ],
        axis=1,
    )
