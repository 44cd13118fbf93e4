"""What lies between a rendered face and a photo: blotches, hair, occluders, background, camera."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from facemodel.colour import luma
from facemodel.synthesis.effects import glasses, overlays
from facemodel.synthesis.effects.glasses import Glasses
from facemodel.synthesis.effects.overlays import FacePlacement, Hair, Hand, Occluder
from facemodel.synthesis.effects.smooth import box_blur3, desaturate, upsample_smooth
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.streams import RandomStreams


class Effects(NamedTuple):
    """Everything random about a picture but face, pose and light; None = the recipe does without.

    Attributes:
      blotches: grids [B, N, N] of log brightness, each stretched over the picture.
      hair, occluder, hand, glasses: what lies in front of the face.
      background: its colour [B, 3], coarse [B, 5, 5, 3] and fine [B, 17, 17, 1] grids.
      blur, gamma, gain, offset, grain_sd: [B]; gain and offset only together.
      white: [B, 3] gain of each channel.
      grain: [B, S, S] N(0, 1), for a picture of side S.
    """

    blotches: tuple
    hair: Hair | None
    occluder: Occluder | None
    hand: Hand | None
    glasses: Glasses | None
    background: tuple
    blur: Any
    gamma: Any
    gain: Any
    offset: Any
    white: Any
    grain_sd: Any
    grain: Any


def call(step: Callable, *arguments, only=None):
    """Calls a step of photograph for all pictures, also those that it leaves alone."""
    return step(*arguments)


def sample_effects(config: SynthesisConfig, rng: RandomStreams, *, size: int) -> Effects:
    """Draws the effects for pictures of side `size` px."""
    grain = config.grain.high > 0
    plain = config.gamma == config.gain == (1.0, 1.0) and config.offset == (0.0, 0.0, 0.0, 0.0)
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
        blur=config.blur.of(rng.uniform("camera/blur")) if config.blur.high > 0 else None,
        gamma=None if plain else config.gamma.of(rng.uniform("camera/gamma")),
        gain=None if plain else config.gain.of(rng.uniform("camera/gain")),
        offset=None if plain else config.offset.of(rng.normal("camera/offset")),
        white=_sample_white(config, rng) if config.white_balance.high > 0 else None,
        grain_sd=config.grain.of(rng.uniform("camera/grain_sd")) if grain else None,
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
            log_range = strength.of(rng.uniform(f"blotches/{name}_strength"))
            grid = rng.uniform(f"blotches/{name}", (cells, cells)) - 0.5
            grids.append(log_range[:, None, None] * grid)
    return tuple(grids)


def _sample_white(config: SynthesisConfig, rng: RandomStreams):
    """[B, 3] gains of a wrong white balance: warm to cold, green to magenta; luma stays."""
    strength = config.white_balance.of(rng.uniform("camera/white_strength", (1,)))
    drawn = rng.normal("camera/white", (2,))
    warm, green = drawn[:, 0], 0.4 * drawn[:, 1]
    gains = ops.exp(strength * ops.stack([warm, green, -warm], -1))
    return gains / luma(gains)[..., None]


def photograph(face, mask, effects: Effects, place: FacePlacement, *, run: Callable = call):
    """Turns a rendered face into a photo.

    Args:
      face: [B, S, S, 3] rendered, in [0, 1], 0 outside the face.
      mask: [B, S, S] 1 on the face.
      effects: for pictures of this size.
      place: where the face is.
      run: calls each step, a function and its arguments; lets a compiler have them one by one, and
        leave out pictures that a step does not change (only [B] is 0).

    Returns:
      [B, S, S, 3] in [0, 1], without a mask.
    """
    image = run(_compose, face, mask, effects.blotches, effects.background)
    image = run(_soft_edges, image, mask)
    bare = image
    if effects.hair is not None:
        image = run(overlays.apply_hair, image, effects.hair, place)
    if effects.occluder is not None:
        image = run(overlays.apply_occluder, image, effects.occluder, place)
    if effects.glasses is not None:
        image = run(
            glasses.apply_glasses, image, effects.glasses, place, only=effects.glasses.present
        )
    if effects.hand is not None:
        skin = run(overlays.mean_colour, bare, mask)
        image = run(
            overlays.apply_hand, image, effects.hand, skin, place, only=effects.hand.present
        )
    if effects.blur is not None:
        image = run(_blur, image, run(box_blur3, image), effects.blur)
    return run(_expose, image, effects[-6:])


def _compose(face, mask, blotches, background):
    """The face, with blotches, on its background."""
    size = face.shape[1]
    if blotches:
        face = face * ops.exp(sum(upsample_smooth(grid[..., None], size) for grid in blotches))
    return ops.where(mask[..., None] > 0, face, _background(background, size))


def _background(drawn, size: int):
    colour, coarse, fine = drawn
    pattern = upsample_smooth(0.8 * desaturate(desaturate(coarse - 0.5)), size)
    pattern = pattern + upsample_smooth(0.28 * (fine - 0.5), size)
    return ops.clip(desaturate(colour)[:, None, None, :] + pattern, 0.0, 1.0)


def _soft_edges(image, mask):
    """Mixes pixels on both sides of the face's outline, which rendering leaves in steps."""
    cover = box_blur3(mask[..., None])
    edge = 4.0 * cover * (1.0 - cover)
    return image + edge * (box_blur3(image) - image)


def _blur(image, boxed, share):
    return image + share[:, None, None, None] * (box_blur3(boxed) - image)


def _expose(image, drawn):
    """Tone curve and sensor."""
    *numbers, white, grain_sd, grain = drawn
    gamma, gain, offset = (None if part is None else part[:, None, None, None] for part in numbers)
    if white is not None:
        image = image * white[:, None, None, :]
    if gamma is not None:
        image = ops.exp(gamma * ops.log(ops.clip(image, 1e-4, 1.0)))
    if gain is not None:
        image = image * gain + offset
    if grain is not None:
        image = image + grain_sd[:, None, None, None] * grain[..., None]
    return ops.clip(image, 0.0, 1.0)
