"""What lies in front of a face in a photo: hair, an ellipse, a hand, glasses."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from facemodel.backend import Tensor, xla_step
from facemodel.synthesis.distributions import Range
from facemodel.synthesis.effects.smooth import desaturate, upsample_smooth
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.streams import RandomStreams

_HAIR_LINE_MM = Range(58.0, 105.0)
_HAIR_SLOPE = Range(-0.35, 0.35)
_HAIR_DROP_PER_MM = Range(0.004, 0.02)
_HAIR_LOWEST_MM = -60.0
_HAIR_FRINGE_MM = 14.0
_HEAD_RADII_MM = (88.0, 122.0)
_OCCLUDER_CENTRE_MM = Range(-110.0, 110.0)
_OCCLUDER_RADIUS_MM = Range(7.0, 45.0)
_HAIR_COLOURS = np.array([[0.04, 0.03, 0.03], [0.62, 0.46, 0.27]], np.float32)
_FINGERS = 4
_FINGER_SPACING_MM, _FINGER_RADIUS_MM, _TAPER = 18.0, 9.0, 0.25
_FINGER_LENGTH_MM = Range(55.0, 80.0)
_SPREAD = Range(0.0, 0.15)
_PALM_MM, _PALM_RADIUS_MM = 75.0, 38.0
_HAND_DISTANCE_MM = Range(70.0, 125.0)
_HAND_TURN = Range(-0.5, 0.5)
_HAND_BRIGHTNESS = Range(0.75, 1.2)


class Hair(NamedTuple):
    """Hair over the forehead.

    Attributes:
      present: [B] 1 or 0.
      line: [B] mm, how far its edge is above the face's middle.
      slope: [B] of the edge; drop: [B] 1/mm, how it bends down to the sides.
      fringe: [B] mm, how uneven the edge is.
      colour: [B, 3] in [0, 1].
      strands: [B, N, M] in [0, 1), stretched over the image.
    """

    present: Any
    line: Any
    slope: Any
    drop: Any
    fringe: Any
    colour: Any
    strands: Any


class Occluder(NamedTuple):
    """An ellipse in front of the face.

    Attributes:
      present: [B] 1 or 0.
      centre: [B, 2] mm from the face's middle, x right, y up.
      radii: [B, 2] mm.
      colour: [B, 3] in [0, 1].
      texture: [B, N, M] in [0, 1), stretched over the image.
    """

    present: Any
    centre: Any
    radii: Any
    colour: Any
    texture: Any


class Hand(NamedTuple):
    """A hand on the face: fingers from one side, in the colour of the face.

    Attributes:
      present: [B] 1 or 0.
      tips, roots: [B, 4, 2] mm from the face's middle, x right, y up.
      wrist: [B, 2] the same.
      brightness: [B] times the face's mean colour.
      texture: [B, N, M] in [0, 1), stretched over the image.
    """

    present: Any
    tips: Any
    roots: Any
    wrist: Any
    brightness: Any
    texture: Any


class FacePlacement(NamedTuple):
    """Where a face is in the image.

    Attributes:
      middle: [B, 2] px, where its middle is.
      scale: [B] px/mm.
      rotation: [B, 3, 3] camera_from_model.
      eyes: [B, 2, 2] px, the middle of each iris.
    """

    middle: Any
    scale: Any
    rotation: Any
    eyes: Any


def present(rng: RandomStreams, name: str, fraction: float) -> Tensor:
    """[B] 1 for this share of images, else 0."""
    return ops.cast(rng.uniform(name) < fraction, "float32")


def sample_hair(config: SynthesisConfig, rng: RandomStreams) -> Hair:
    """Samples hair, dark more often than blond."""
    dark, blond = _HAIR_COLOURS
    shade = rng.uniform("hair/shade", (1,)) ** 2 + 0.1 * rng.uniform("hair/tint", (3,))
    return Hair(
        present=present(rng, "hair/present", config.hair_fraction),
        line=_HAIR_LINE_MM.from_uniform(rng.uniform("hair/line")),
        slope=_HAIR_SLOPE.from_uniform(rng.uniform("hair/slope")),
        drop=_HAIR_DROP_PER_MM.from_uniform(rng.uniform("hair/drop")),
        fringe=_HAIR_FRINGE_MM * rng.uniform("hair/fringe"),
        colour=dark + shade * (blond - dark),
        strands=rng.uniform("hair/strands", (6, 64)),
    )


def sample_occluder(config: SynthesisConfig, rng: RandomStreams) -> Occluder:
    """Samples ellipses anywhere around the face."""
    return Occluder(
        present=present(rng, "occluder/present", config.occluder_fraction),
        centre=_OCCLUDER_CENTRE_MM.from_uniform(rng.uniform("occluder/centre", (2,))),
        radii=_OCCLUDER_RADIUS_MM.from_uniform(rng.uniform("occluder/radii", (2,))),
        colour=desaturate(rng.uniform("occluder/colour", (3,))),
        texture=rng.uniform("occluder/texture", (30, 30)),
    )


def sample_hand(config: SynthesisConfig, rng: RandomStreams) -> Hand:
    """Samples hands that come from anywhere around the face."""
    angle = 2 * np.pi * rng.uniform("hand/angle")
    outward = ops.stack([ops.cos(angle), ops.sin(angle)], -1)
    base = _HAND_DISTANCE_MM.from_uniform(rng.uniform("hand/distance", (1,))) * outward
    turn = angle + np.pi + _HAND_TURN.from_uniform(rng.uniform("hand/turn"))
    along = ops.stack([ops.cos(turn), ops.sin(turn)], -1)[:, None]
    across = ops.stack([-along[..., 1], along[..., 0]], -1)
    offset = np.arange(_FINGERS, dtype=np.float32) - (_FINGERS - 1) / 2
    roots = base[:, None] + _FINGER_SPACING_MM * offset[:, None] * across
    length = _FINGER_LENGTH_MM.from_uniform(rng.uniform("hand/length", (_FINGERS, 1)))
    spread = _SPREAD.from_uniform(rng.uniform("hand/spread", (1, 1))) * offset[:, None]
    return Hand(
        present=present(rng, "hand/present", config.hand_fraction),
        tips=roots + length * (along + spread * across),
        roots=roots,
        wrist=base - _PALM_MM * along[:, 0],
        brightness=_HAND_BRIGHTNESS.from_uniform(rng.uniform("hand/brightness")),
        texture=rng.uniform("hand/texture", (24, 24)),
    )


def millimetres(size: int, place: FacePlacement) -> tuple[Tensor, Tensor]:
    """x right and y up in mm from the face's middle for pixels, [B, 1, S] and [B, S, 1]."""
    centres = np.arange(size, dtype=np.float32) + 0.5
    scale = place.scale[:, None, None]
    x = (centres[None, None, :] - place.middle[:, 0, None, None]) / scale
    return x, (place.middle[:, 1, None, None] - centres[None, :, None]) / scale


@xla_step
def apply_hair(image, hair: Hair, place: FacePlacement) -> Tensor:
    """Hair from the top of the head down to an uneven edge over forehead and cheeks."""
    x, y = millimetres(image.shape[1], place)
    strands = upsample_smooth(hair.strands[..., None], image.shape[1])
    line, slope, drop, fringe = (
        values[:, None, None] for values in (hair.line, hair.slope, hair.drop, hair.fringe)
    )
    uneven_mm = fringe * (strands[..., 0] - 0.5)
    edge_mm = y - ops.maximum(line + slope * x - drop * x * x, _HAIR_LOWEST_MM) + uneven_mm
    wide, high = _HEAD_RADII_MM
    inside_mm = (1.0 - ops.sqrt((x / wide) ** 2 + ((y - 8.0) / high) ** 2)) * wide
    cover = ops.sigmoid(ops.minimum(edge_mm, inside_mm + uneven_mm))[..., None]
    cover = cover * hair.present[:, None, None, None]
    colour = hair.colour[:, None, None, :] * (0.5 + strands)
    return image + cover * (colour - image)


@xla_step
def apply_occluder(image, occluder: Occluder, place: FacePlacement) -> Tensor:
    """An ellipse with an uneven surface."""
    axes = millimetres(image.shape[1], place)
    x, y = (axis - occluder.centre[:, k, None, None] for k, axis in enumerate(axes))
    wide, high = (occluder.radii[:, k, None, None] for k in range(2))
    inside_mm = (1.0 - ops.sqrt((x / wide) ** 2 + (y / high) ** 2)) * ops.minimum(wide, high)
    texture = upsample_smooth(occluder.texture[..., None], image.shape[1])
    colour = occluder.colour[:, None, None, :] * (0.7 + 0.6 * texture)
    cover = ops.sigmoid(inside_mm)[..., None] * occluder.present[:, None, None, None]
    return image + cover * (colour - image)


@xla_step
def mean_colour(image, mask) -> Tensor:
    """[B, C] of the pixels [B, S, S, C] on the mask [B, S, S]."""
    return ops.sum(image * mask[..., None], (1, 2)) / (ops.sum(mask, (1, 2))[:, None] + 1.0)


@xla_step(only=lambda image, hand, skin, place: hand.present)
def apply_hand(image, hand: Hand, skin, place: FacePlacement) -> Tensor:
    """A hand in the face's colour [B, C]: round fingers over the back of the hand."""
    bare, axes = image, millimetres(image.shape[1], place)
    skin = skin * hand.brightness[:, None]
    texture = upsample_smooth(hand.texture[..., None], image.shape[1])
    skin = skin[:, None, None, :] * (0.9 + 0.2 * texture)
    knuckles = ops.mean(hand.roots, 1)
    parts = [(knuckles + 0.25 * (hand.wrist - knuckles), hand.wrist, _PALM_RADIUS_MM, 0.0)]
    parts += [
        (hand.roots[:, k], hand.tips[:, k], _FINGER_RADIUS_MM, _TAPER) for k in range(_FINGERS)
    ]
    for start, end, radius, taper in parts:
        off_mm, share = _off_segment(axes, start, end)
        inside_mm = radius * (1.0 - taper * share) - off_mm
        inside = inside_mm / radius
        round_off = ops.sqrt(ops.clip(inside * (2.0 - inside), 0.0, 1.0))[..., None]
        shadow = ops.exp(-0.7 * ops.maximum(-inside_mm, 0.0))[..., None]
        cover = ops.sigmoid(2.0 * inside_mm)[..., None]
        image = image * (1.0 - 0.35 * shadow)
        image = image + cover * (skin * (0.72 + 0.28 * round_off) - image)
    return bare + hand.present[:, None, None, None] * (image - bare)


def _off_segment(axes, start, end):
    """[B, S, S] how far pixels are from segments [B, 2] to [B, 2], in mm, and where along them."""
    x, y = axes
    (x0, y0), (x1, y1) = ((p[:, 0, None, None], p[:, 1, None, None]) for p in (start, end))
    dx, dy = x1 - x0, y1 - y0
    share = ((x - x0) * dx + (y - y0) * dy) / ops.maximum(dx * dx + dy * dy, 1e-3)
    share = ops.clip(share, 0.0, 1.0)
    return ops.sqrt((x - x0 - share * dx) ** 2 + (y - y0 - share * dy) ** 2 + 1e-6), share
