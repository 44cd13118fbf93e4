"""Colour spaces: what an image looks like in grey."""

from __future__ import annotations

from keras import ops

from facemodel.backend import Tensor

LUMA = (0.299, 0.587, 0.114)


def luma(image) -> Tensor:
    """Grey values: uint8 or float [..., 3] -> float32 [...] in [0, 1], ITU-R BT.601 weights."""
    unit = 1.0 / 255.0 if "int" in str(image.dtype) else 1.0
    channels = (
        ops.cast(image[..., k], "float32") * (unit * weight) for k, weight in enumerate(LUMA)
    )
    return sum(channels)
