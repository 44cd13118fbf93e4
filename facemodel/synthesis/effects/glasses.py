"""Glasses: rims around both eyes, a bridge, temples, tinted and shining lenses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from facemodel.backend import Tensor, xla_step
from facemodel.synthesis.distributions import Range
from facemodel.synthesis.effects.overlays import FacePlacement, millimetres, present
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.streams import RandomStreams

_HALF_WIDTH_MM, _HALF_HEIGHT_MM = Range(21.0, 29.0), Range(14.0, 23.0)
_SQUARENESS = Range(2.0, 5.0)
"""Exponent of the lens' outline: 2 = an ellipse, more = a rounded rectangle."""
_RIM_MM = Range(0.4, 2.2)
_FORWARD_MM = 13.0
"""How far lenses are in front of the irises, along the head's axis."""
_DARK_SHARE = 0.2
"""Share of glasses against the sun."""
_TINT, _DARK_TINT, _GLARE = Range(0.0, 0.12), Range(0.5, 0.9), Range(0.0, 0.5)
_TEMPLE_MM = (70.0, -90.0)
"""Where temples end: to the side of the middle and behind the lenses."""


class Glasses(NamedTuple):
    """Glasses of a batch.

    Attributes:
      present: [B] 1 or 0.
      half_width, half_height: [B] mm, of a lens.
      squareness, rim: [B] exponent of the outline, and half the rim's thickness in mm.
      colour, tint: [B, 3] in [0, 1], of the rim and the lenses.
      dark, glare: [B] how much of the lenses' own colour and of a reflection is seen.
      glare_line: [B] mm, where that reflection is.
    """

    present: Any
    half_width: Any
    half_height: Any
    squareness: Any
    rim: Any
    colour: Any
    tint: Any
    dark: Any
    glare: Any
    glare_line: Any


def sample_glasses(config: SynthesisConfig, rng: RandomStreams) -> Glasses:
    """Samples glasses; most have thin dark rims, and one in five are against the sun."""
    extent = rng.uniform("glasses/size", (2,))
    against_sun = rng.uniform("glasses/dark") < _DARK_SHARE
    amount = rng.uniform("glasses/amount")
    grey = rng.uniform("glasses/shade", (1,)) ** 3
    return Glasses(
        present=present(rng, "glasses/present", config.glasses_fraction),
        half_width=_HALF_WIDTH_MM.from_uniform(extent[:, 0]),
        half_height=_HALF_HEIGHT_MM.from_uniform(extent[:, 1]),
        squareness=_SQUARENESS.from_uniform(rng.uniform("glasses/squareness")),
        rim=_RIM_MM.from_uniform(rng.uniform("glasses/rim") ** 2),
        colour=ops.clip(0.03 + 0.7 * grey + 0.15 * rng.uniform("glasses/colour", (3,)), 0.0, 1.0),
        tint=0.25 * rng.uniform("glasses/tint", (3,)),
        dark=ops.where(against_sun, _DARK_TINT.from_uniform(amount), _TINT.from_uniform(amount)),
        glare=_GLARE.from_uniform(rng.uniform("glasses/glare") ** 3),
        glare_line=Range(-60.0, 60.0).from_uniform(rng.uniform("glasses/glare_line")),
    )


@xla_step(only=lambda image, glasses, place: glasses.present)
def apply_glasses(image, glasses: Glasses, place: FacePlacement) -> Tensor:
    """Puts glasses in front of faces in images [B, S, S, C]."""
    x, y, half = _lens_plane(image.shape[1], place)
    wide, high = glasses.half_width[:, None, None], glasses.half_height[:, None, None]
    power, rim = glasses.squareness[:, None, None], glasses.rim[:, None, None]
    from_lens = ops.abs(ops.abs(x) - half)  # [B, S, S] mm, as all below but colours
    radius = ((from_lens / wide) ** power + (ops.abs(y + 3.0) / high) ** power + 1e-9) ** (
        1 / power
    )
    edge = (1.0 - radius) * ops.minimum(wide, high)  # mm, > 0 inside
    bridge = ops.maximum(ops.abs(y - 4.0) - rim, ops.abs(x) - half + wide * 0.95)
    temple = _off_temples(image.shape[1], place, half + wide) - rim
    frame = ops.minimum(ops.minimum(ops.abs(edge) - rim, bridge), temple)
    sharp = place.scale[:, None, None] * 2.0
    present = glasses.present[:, None, None, None]
    lens = ops.sigmoid(edge * sharp)[..., None] * present
    shine = ops.exp(-(((x + y - glasses.glare_line[:, None, None]) / 9.0) ** 2))[..., None]
    image = image + lens * _each(glasses.dark) * (glasses.tint[:, None, None, :] - image)
    image = image + lens * _each(glasses.glare) * shine * (1.0 - image)
    cover = ops.sigmoid(-frame * sharp)[..., None] * present
    return image + cover * (glasses.colour[:, None, None, :] - image)


def _each(values):
    return values[:, None, None, None]


def _centre(place: FacePlacement):
    """[B, 2] px, the middle between the lenses."""
    forward = place.rotation[:, :2, 2] * np.array([1.0, -1.0], np.float32)
    return ops.mean(place.eyes, 1) + _FORWARD_MM * place.scale[:, None] * forward


def _lens_plane(size: int, place: FacePlacement):
    """x to the subject's left and y up in mm on the plane of the lenses; half the eyes' distance.

    Pixels are taken back through the projection of that plane, which turns with the head.
    """
    right, up = millimetres(size, place._replace(middle=_centre(place)))
    a, b, c, d = (place.rotation[:, i, j, None, None] for i in range(2) for j in range(2))
    area = ops.maximum(a * d - b * c, 0.2)  # cosine of the turn away from the camera
    x, y = (d * right - b * up) / area, (a * up - c * right) / area
    apart = place.eyes[:, 0] - place.eyes[:, 1]
    foreshortened = ops.sqrt(a * a + c * c)[:, 0, 0] * place.scale
    distance = ops.sqrt(ops.sum(apart * apart, -1)) / ops.maximum(foreshortened, 0.2)
    return x, y, 0.5 * ops.clip(distance, 50.0, 80.0)[:, None, None]


def _off_temples(size: int, place: FacePlacement, outer):
    """[B, S, S] mm from the temple that is seen; far away where the head does not show its side."""
    centres = np.arange(size, dtype=np.float32) + 0.5
    side = ops.where(place.rotation[:, 2, 0] > 0.0, 1.0, -1.0)
    seen = ops.abs(place.rotation[:, 2, 0]) > 0.12
    end_x, end_z = _TEMPLE_MM
    points = [
        ops.stack([side * x, 4.0 * ops.ones_like(side), z * ops.ones_like(side)], -1)
        for x, z in ((outer[:, 0, 0], 0.0), (end_x, end_z))
    ]
    middle, flip = _centre(place), np.array([1.0, -1.0], np.float32)
    start, end = (
        middle
        + place.scale[:, None] * flip * ops.einsum("bij,bj->bi", place.rotation, point)[:, :2]
        for point in points
    )
    along = end - start  # [B, 2] px
    x = centres[None, None, :] - start[:, 0, None, None]
    y = centres[None, :, None] - start[:, 1, None, None]
    dx, dy = (along[:, k, None, None] for k in range(2))
    share = ops.clip((x * dx + y * dy) / ops.maximum(dx * dx + dy * dy, 1.0), 0.0, 1.0)
    off = ops.sqrt((x - share * dx) ** 2 + (y - share * dy) ** 2 + 1e-6)
    return ops.where(seen[:, None, None], off / place.scale[:, None, None], 1e4)
