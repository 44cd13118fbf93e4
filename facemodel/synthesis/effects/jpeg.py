"""Pictures that were JPEG files before, as most photos were."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from keras import ops

from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.streams import RandomStreams


def sample_quality(config: SynthesisConfig, rng: RandomStreams) -> Any:
    """[B] JPEG quality from 1 to 100, 0 = was no JPEG file."""
    quality = ops.floor(config.jpeg_quality.from_uniform(rng.uniform("jpeg/quality")) + 0.5)
    return ops.where(rng.uniform("jpeg/present") < config.jpeg_fraction, quality, 0.0)


def jpeg_roundtrip(image: np.ndarray, quality: float) -> np.ndarray:
    """Writes and reads uint8 [H, W, 3] RGB as JPEG of that quality; 0 leaves it as it is."""
    if not quality:
        return image
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(quality)])
    return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
