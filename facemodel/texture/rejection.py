"""Which pixels inside the outline of a head show its skin, and not hair, hands or background."""

from __future__ import annotations

import cv2
import numpy as np

_DARK_LUMA, _BRIGHT_LUMA, _CHROMA = 0.40, 0.55, 0.13
"""Natural logarithms of colour over prediction that are still usual on skin."""
_OFFSET = 0.04
"""Added to both colours before they are compared: in the dark noise is large."""
_LIMIT, _SOFT = 2.5, 0.8


def skin_pixels(
    image: np.ndarray,
    predicted: np.ndarray,
    spread: np.ndarray,
    inside: np.ndarray,
    *,
    px_per_mm: float,
) -> np.ndarray:
    """Compares a photo with what model and light predict.

    Args:
      image: [h, w, 3] sRGB.
      predicted: [h, w, 3] sRGB, the fitted model under the fitted light.
      spread: [h, w] standard deviation of the model's albedo there, sRGB: large at brows, eyes,
        lips and where beards grow, where the prediction may be wrong about skin.
      inside: [h, w] bool, pixels of the mesh.
      px_per_mm: Resolution.

    Returns:
      [h, w] in [0, 1].
    """
    ratio = np.log((image + _OFFSET) / (predicted + _OFFSET))
    luma = ratio.mean(-1)
    chroma = np.linalg.norm(ratio - luma[..., None], axis=-1)
    relative = 2.0 * spread / (predicted.mean(-1) + _OFFSET)
    tolerance = np.where(luma < 0, _DARK_LUMA, _BRIGHT_LUMA) + relative
    score = (luma / tolerance) ** 2 + (chroma / (_CHROMA + 0.5 * relative)) ** 2
    likely = 1.0 / (1.0 + np.exp((score - _LIMIT) / _SOFT))
    blurred = cv2.GaussianBlur((likely * inside).astype(np.float32), (0, 0), 1.2 * px_per_mm)
    cover = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 1.2 * px_per_mm)
    return np.clip(blurred / np.maximum(cover, 0.05), 0.0, 1.0) * inside
