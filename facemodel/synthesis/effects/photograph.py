"""What lies between a rendered face and a photo: blotches, hair, occluders, background, camera."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from facemodel.backend import Tensor, xla_step
from facemodel.colour import luma
from facemodel.synthesis.effects import glasses, overlays
from facemodel.synthesis.effects.glasses import Glasses
from facemodel.synthesis.effects.overlays import FacePlacement, Hair, Hand, Occluder
from facemodel.synthesis.effects.smooth import box_blur3, desaturate, upsample_smooth
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.streams import RandomStreams


class Sensor(NamedTuple):
    """What a camera does to an image; None = the recipe does without.

    Attributes:
      gamma, gain, offset, grain_sd: [B]; gain and offset only together.
      white: [B, 3] gain of each channel.
      grain: [B, S, S] N(0, 1), for images of side S.
    """

    gamma: Any
    gain: Any
    offset: Any
    white: Any
    grain_sd: Any
    grain: Any


class Effects(NamedTuple):
    """Everything random about a photo but face, pose and light; None = the recipe does without.

    Attributes:
      blotches: grids [B, N, N] of log brightness, each stretched over the image.
      hair, occluder, hand, glasses: what lies in front of the face.
      background: its colour [B, 3], coarse [B, 5, 5, 3] and fine [B, 17, 17, 1] grids.
      blur: [B] share of the blurred image.
      sensor: tone curve, white balance and grain.
    """

    blotches: tuple
    hair: Hair | None
    occluder: Occluder | None
    hand: Hand | None
    glasses: Glasses | None
    background: tuple
    blur: Any
    sensor: Sensor


def sample_effects(config: SynthesisConfig, rng: RandomStreams, *, size: int) -> Effects:
    """Samples the effects for images of side `size` px."""
    return Effects(
        blotches=_sample_blotches(config, rng),
        hair=overlays.sample_hair(config, rng) if config.hair_fraction else None,
        occluder=overlays.sample_occluder(config, rng) if config.occluder_fraction else None,
        hand=overlays.sample_hand(config, rng) if config.hand_fraction else None,
        glasses=glasses.sample_glasses(config, rng) if config.glasses_fraction else None,
        background=(
            rng.uniform("background/colour", (3,)),
            rng.uniform("background/coarse", (5, 5, 3)),
            rng.uniform("background/fine", (17, 17, 1)),
        ),
        blur=config.blur.from_uniform(rng.uniform("camera/blur")) if config.blur.high > 0 else None,
        sensor=_sample_sensor(config, rng, size),
    )


def _sample_sensor(config: SynthesisConfig, rng: RandomStreams, size: int) -> Sensor:
    grain = config.grain.high > 0
    plain = config.gamma == config.gain == (1.0, 1.0) and config.offset == (0.0, 0.0, 0.0, 0.0)
    return Sensor(
        gamma=None if plain else config.gamma.from_uniform(rng.uniform("camera/gamma")),
        gain=None if plain else config.gain.from_uniform(rng.uniform("camera/gain")),
        offset=None if plain else config.offset.from_normal(rng.normal("camera/offset")),
        white=_sample_white(config, rng) if config.white_balance.high > 0 else None,
        grain_sd=config.grain.from_uniform(rng.uniform("camera/grain_sd")) if grain else None,
        grain=rng.rough_normal("camera/grain", (size, size)) if grain else None,
    )


def _sample_blotches(config: SynthesisConfig, rng: RandomStreams) -> tuple:
    fields = {
        "skin": (config.skin_blotches, 9),
        "light": (config.light_blotches, 4),
        "fine": (config.fine_blotches, 40),
    }
    grids = []
    for name, (strength, cells) in fields.items():
        if strength.high > 0:
            log_range = strength.from_uniform(rng.uniform(f"blotches/{name}_strength"))
            grid = rng.uniform(f"blotches/{name}", (cells, cells)) - 0.5
            grids.append(log_range[:, None, None] * grid)
    return tuple(grids)


def _sample_white(config: SynthesisConfig, rng: RandomStreams):
    """[B, 3] gains of a wrong white balance: warm to cold, green to magenta; luma stays."""
    strength = config.white_balance.from_uniform(rng.uniform("camera/white_strength", (1,)))
    shift = rng.normal("camera/white", (2,))
    warm, green = shift[:, 0], 0.4 * shift[:, 1]
    gains = ops.exp(strength * ops.stack([warm, green, -warm], -1))
    return gains / luma(gains)[..., None]


def photograph(face, mask, effects: Effects, place: FacePlacement) -> Tensor:
    """Turns a rendered face into a photo.

    Args:
      face: Rendered faces [B, S, S, 3] in [0, 1], 0 outside the face.
      mask: Masks [B, S, S], 1 on the face.
      effects: Effects for images of this size.
      place: Where the face is.

    Returns:
      Photos [B, S, S, 3] in [0, 1], without a mask.
    """
    bare = image = _soft_edges(_compose(face, mask, effects.blotches, effects.background), mask)
    if effects.hair is not None:
        image = overlays.apply_hair(image, effects.hair, place)
    if effects.occluder is not None:
        image = overlays.apply_occluder(image, effects.occluder, place)
    if effects.glasses is not None:
        image = glasses.apply_glasses(image, effects.glasses, place)
    if effects.hand is not None:
        image = overlays.apply_hand(image, effects.hand, overlays.mean_colour(bare, mask), place)
    if effects.blur is not None:
        image = _blur(image, _boxed(image), effects.blur)
    return _expose(image, effects.sensor)


_boxed = xla_step(box_blur3)


@xla_step
def _compose(face, mask, blotches, background):
    """The face, with blotches, on its background."""
    size = face.shape[1]
    if blotches:
        face = face * ops.exp(sum(upsample_smooth(grid[..., None], size) for grid in blotches))
    return ops.where(mask[..., None] > 0, face, _background(background, size))


def _background(grids: tuple, size: int):
    colour, coarse, fine = grids
    pattern = upsample_smooth(0.8 * desaturate(desaturate(coarse - 0.5)), size)
    pattern = pattern + upsample_smooth(0.28 * (fine - 0.5), size)
    return ops.clip(desaturate(colour)[:, None, None, :] + pattern, 0.0, 1.0)


@xla_step
def _soft_edges(image, mask):
    """Mixes pixels on both sides of the face's outline, which rendering leaves in steps."""
    cover = box_blur3(mask[..., None])
    edge = 4.0 * cover * (1.0 - cover)
    return image + edge * (box_blur3(image) - image)


@xla_step
def _blur(image, boxed, share):
    return image + _per_image(share) * (box_blur3(boxed) - image)


@xla_step
def _expose(image, sensor: Sensor):
    if sensor.white is not None:
        image = image * sensor.white[:, None, None, :]
    if sensor.gamma is not None:
        image = ops.exp(_per_image(sensor.gamma) * ops.log(ops.clip(image, 1e-4, 1.0)))
    if sensor.gain is not None:
        image = image * _per_image(sensor.gain) + _per_image(sensor.offset)
    if sensor.grain is not None:
        image = image + _per_image(sensor.grain_sd) * sensor.grain[..., None]
    return ops.clip(image, 0.0, 1.0)


def _per_image(values):
    return values[:, None, None, None]  # [B] -> [B, 1, 1, 1]
