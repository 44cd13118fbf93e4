"""What lies between a rendered face and a photo: blotches, hair, occluders, background, camera."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from facemodel.noise import Noise
from facemodel.recipes import Range, SynthesisConfig
from facemodel.smooth import box, stretch

_HAIR_LINE_MM = Range(58.0, 105.0)
_HAIR_SLOPE = Range(-0.35, 0.35)
_HAIR_DROP_PER_MM = Range(0.004, 0.02)
_HAIR_LOWEST_MM = -60.0
_HAIR_FRINGE_MM = 14.0
_HEAD_RADII_MM = (88.0, 122.0)
_OCCLUDER_CENTRE_MM = Range(-110.0, 110.0)
_OCCLUDER_RADIUS_MM = Range(7.0, 45.0)
_HAIR_COLOURS = np.array([[0.04, 0.03, 0.03], [0.62, 0.46, 0.27]], np.float32)
_NOWHERE_MM = 1e4


class Hair(NamedTuple):
    """Hair over the forehead.

    Attributes:
      line: [B] mm, how far its edge is above the face's middle; far away = no hair.
      slope: [B] of the edge; drop: [B] 1/mm, how it bends down to the sides.
      fringe: [B] mm, how uneven the edge is.
      colour: [B, 3] in [0, 1].
      strands: [B, N, M] in [0, 1), stretched over the picture.
    """

    line: Any
    slope: Any
    drop: Any
    fringe: Any
    colour: Any
    strands: Any


class Occluder(NamedTuple):
    """An ellipse in front of the face.

    Attributes:
      centre: [B, 2] mm from the face's middle, x right, y up; far away = none.
      radii: [B, 2] mm.
      colour: [B, 3] in [0, 1].
      texture: [B, N, M] in [0, 1), stretched over the picture.
    """

    centre: Any
    radii: Any
    colour: Any
    texture: Any


class Effects(NamedTuple):
    """Everything random about a picture but face, pose and light; None = the recipe does without.

    Attributes:
      blotches: grids [B, N, N] of log brightness, each stretched over the picture.
      hair, occluder: what lies in front of the face.
      background: its colour [B, 3], coarse [B, 5, 5, 3] and fine [B, 17, 17, 1] grids.
      blur, gamma, gain, offset, grain_sd: [B]; gain and offset only together.
      grain: [B, S, S] N(0, 1), for a picture of side S.
    """

    blotches: tuple
    hair: Hair | None
    occluder: Occluder | None
    background: tuple
    blur: Any
    gamma: Any
    gain: Any
    offset: Any
    grain_sd: Any
    grain: Any


def _call(step: Callable, *arguments):
    return step(*arguments)


def draw_effects(config: SynthesisConfig, noise: Noise, *, size: int) -> Effects:
    """Draws the effects for pictures of side `size` px."""
    grain = config.grain.high > 0
    plain = config.gamma == config.gain == (1.0, 1.0) and config.offset == (0.0, 0.0, 0.0, 0.0)
    return Effects(
        blotches=_draw_blotches(config, noise),
        hair=_draw_hair(config, noise) if config.hair_fraction else None,
        occluder=_draw_occluder(config, noise) if config.occluder_fraction else None,
        background=(
            noise.uniform("background/colour", (3,)),
            noise.uniform("background/coarse", (5, 5, 3)),
            noise.uniform("background/fine", (17, 17, 1)),
        ),
        blur=config.blur.of(noise.uniform("camera/blur")) if config.blur.high > 0 else None,
        gamma=None if plain else config.gamma.of(noise.uniform("camera/gamma")),
        gain=None if plain else config.gain.of(noise.uniform("camera/gain")),
        offset=None if plain else config.offset.of(noise.normal("camera/offset")),
        grain_sd=config.grain.of(noise.uniform("camera/grain_sd")) if grain else None,
        grain=noise.rough_normal("camera/grain", (size, size)) if grain else None,
    )


def _draw_blotches(config: SynthesisConfig, noise: Noise) -> tuple:
    fields = {
        "skin": (config.skin_blotches, 9),
        "light": (config.light_blotches, 4),
        "fine": (config.fine_blotches, 40),
    }
    grids = []
    for name, (strength, cells) in fields.items():
        if strength.high > 0:
            log_range = strength.of(noise.uniform(f"blotches/{name}_strength"))
            grid = noise.uniform(f"blotches/{name}", (cells, cells)) - 0.5
            grids.append(log_range[:, None, None] * grid)
    return tuple(grids)


def _draw_hair(config: SynthesisConfig, noise: Noise) -> Hair:
    present = noise.uniform("hair/present") < config.hair_fraction
    dark, blond = _HAIR_COLOURS
    shade = noise.uniform("hair/shade", (1,)) ** 2 + 0.1 * noise.uniform("hair/tint", (3,))
    return Hair(
        line=ops.where(present, _HAIR_LINE_MM.of(noise.uniform("hair/line")), _NOWHERE_MM),
        slope=_HAIR_SLOPE.of(noise.uniform("hair/slope")),
        drop=_HAIR_DROP_PER_MM.of(noise.uniform("hair/drop")),
        fringe=_HAIR_FRINGE_MM * noise.uniform("hair/fringe"),
        colour=dark + shade * (blond - dark),
        strands=noise.uniform("hair/strands", (6, 64)),
    )


def _draw_occluder(config: SynthesisConfig, noise: Noise) -> Occluder:
    present = noise.uniform("occluder/present", (1,)) < config.occluder_fraction
    centre = _OCCLUDER_CENTRE_MM.of(noise.uniform("occluder/centre", (2,)))
    return Occluder(
        centre=ops.where(present, centre, _NOWHERE_MM),
        radii=_OCCLUDER_RADIUS_MM.of(noise.uniform("occluder/radii", (2,))),
        colour=_fade(noise.uniform("occluder/colour", (3,))),
        texture=noise.uniform("occluder/texture", (30, 30)),
    )


def photograph(face, mask, effects: Effects, middle, scale, *, run: Callable = _call):
    """Turns a rendered face into a photo.

    Args:
      face: [B, S, S, 3] rendered, in [0, 1], 0 outside the face.
      mask: [B, S, S] 1 on the face.
      effects: for pictures of this size.
      middle: [B, 2] px, where the face's middle is.
      scale: [B] px/mm.
      run: calls each step, a function and its arguments; lets a compiler have them one by one.

    Returns:
      [B, S, S, 3] in [0, 1], without a mask.
    """
    image = run(_compose, face, mask, effects.blotches, effects.background)
    image = run(_soft_edges, image, mask)
    if effects.hair is not None or effects.occluder is not None:
        image = run(_cover, image, effects.hair, effects.occluder, middle, scale)
    if effects.blur is not None:
        image = run(_blur, image, run(box, image), effects.blur)
    return run(_expose, image, effects[-5:])


def _compose(face, mask, blotches, background):
    """The face, with blotches, on its background."""
    size = face.shape[1]
    if blotches:
        face = face * ops.exp(sum(stretch(grid[..., None], size) for grid in blotches))
    return ops.where(mask[..., None] > 0, face, _background(background, size))


def _background(drawn, size: int):
    colour, coarse, fine = drawn
    pattern = stretch(0.8 * _fade(_fade(coarse - 0.5)), size)
    pattern = pattern + stretch(0.28 * (fine - 0.5), size)
    return ops.clip(_fade(colour)[:, None, None, :] + pattern, 0.0, 1.0)


def _fade(colours):
    """Rooms and streets are greyer than random colours."""
    grey = ops.mean(colours, -1, keepdims=True)
    return grey + 0.4 * (colours - grey)


def _soft_edges(image, mask):
    """Mixes pixels on both sides of the face's outline, which rendering leaves in steps."""
    cover = box(mask[..., None])
    edge = 4.0 * cover * (1.0 - cover)
    return image + edge * (box(image) - image)


def _cover(image, hair: Hair | None, occluder: Occluder | None, middle, scale):
    """What lies in front of the face."""
    centres = np.arange(image.shape[1], dtype=np.float32) + 0.5
    # In mm from the face's middle, x right and y up.
    x = (centres[None, None, :] - middle[:, 0, None, None]) / scale[:, None, None]
    y = (middle[:, 1, None, None] - centres[None, :, None]) / scale[:, None, None]
    return _occlude(_comb(image, hair, (x, y)), occluder, (x, y))


def _comb(image, hair: Hair | None, place):
    """Hair from the top of the head down to an uneven edge over forehead and cheeks."""
    if hair is None:
        return image
    x, y = place
    strands = stretch(hair.strands[..., None], image.shape[1])
    line, slope, drop, fringe = (values[:, None, None] for values in hair[:4])
    uneven_mm = fringe * (strands[..., 0] - 0.5)
    edge_mm = y - ops.maximum(line + slope * x - drop * x * x, _HAIR_LOWEST_MM) + uneven_mm
    wide, high = _HEAD_RADII_MM
    inside_mm = (1.0 - ops.sqrt((x / wide) ** 2 + ((y - 8.0) / high) ** 2)) * wide
    cover = ops.sigmoid(ops.minimum(edge_mm, inside_mm + uneven_mm))[..., None]
    colour = hair.colour[:, None, None, :] * (0.5 + strands)
    return image + cover * (colour - image)


def _occlude(image, occluder: Occluder | None, place):
    """An ellipse with an uneven surface."""
    if occluder is None:
        return image
    x, y = (axis - occluder.centre[:, k, None, None] for k, axis in enumerate(place))
    wide, high = (occluder.radii[:, k, None, None] for k in range(2))
    inside_mm = (1.0 - ops.sqrt((x / wide) ** 2 + (y / high) ** 2)) * ops.minimum(wide, high)
    texture = stretch(occluder.texture[..., None], image.shape[1])
    colour = occluder.colour[:, None, None, :] * (0.7 + 0.6 * texture)
    return image + ops.sigmoid(inside_mm)[..., None] * (colour - image)


def _blur(image, boxed, share):
    return image + share[:, None, None, None] * (box(boxed) - image)


def _expose(image, drawn):
    """Tone curve and sensor."""
    gamma, gain, offset, grain_sd, grain = (
        None if part is None else part[:, None, None, None] for part in drawn
    )
    if gamma is not None:
        image = ops.exp(gamma * ops.log(ops.clip(image, 1e-4, 1.0)))
    if gain is not None:
        image = image * gain + offset
    if grain is not None:
        image = image + grain_sd * ops.reshape(grain, (*ops.shape(image)[:3], 1))
    return ops.clip(image, 0.0, 1.0)
