"""What lies between a rendered face and a photo: blotches, hair, occluders, background, camera."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from facemodel.noise import Noise
from facemodel.recipes import Range, SynthesisConfig

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
      blur, gamma, gain, offset, grain_sd: [B].
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


def draw_effects(config: SynthesisConfig, noise: Noise, *, size: int) -> Effects:
    """Draws the effects for pictures of side `size` px."""
    grain = config.grain.high > 0
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
        gamma=config.gamma.of(noise.uniform("camera/gamma")),
        gain=config.gain.of(noise.uniform("camera/gain")),
        offset=config.offset.of(noise.normal("camera/offset")),
        grain_sd=config.grain.of(noise.uniform("camera/grain_sd")) if grain else None,
        grain=noise.normal("camera/grain", (size, size)) if grain else None,
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


def photograph(face, mask, effects: Effects, middle, scale):
    """Turns a rendered face into a photo.

    Args:
      face: [B, S, S, 3] rendered, in [0, 1], 0 outside the face.
      mask: [B, S, S] 1 on the face.
      effects: for pictures of this size.
      middle: [B, 2] px, where the face's middle is.
      scale: [B] px/mm.

    Returns:
      [B, S, S, 3] in [0, 1], without a mask.
    """
    size = face.shape[1]
    if effects.blotches:
        log_gain = sum(stretch(grid[..., None], size) for grid in effects.blotches)
        face = face * ops.exp(log_gain)
    image = _soft_edges(ops.where(mask[..., None] > 0, face, _background(effects, size)), mask)
    if effects.hair is not None or effects.occluder is not None:
        place = _face_millimetres(size, middle, scale)
        image = _comb(image, effects.hair, place)
        image = _occlude(image, effects.occluder, place)
    return _expose(image, effects)


def _background(effects: Effects, size: int):
    colour, coarse, fine = effects.background
    pattern = stretch(coarse, size) - 0.5 + 0.35 * (stretch(fine, size) - 0.5)
    return ops.clip(_fade(colour[:, None, None, :] + 0.8 * _fade(pattern)), 0.0, 1.0)


def _fade(colours):
    """Rooms and streets are greyer than random colours."""
    grey = ops.mean(colours, -1, keepdims=True)
    return grey + 0.4 * (colours - grey)


def _soft_edges(image, mask):
    """Mixes pixels on both sides of the face's outline, which rendering leaves in steps."""
    cover = ops.average_pool(mask[..., None], 3, strides=1, padding="same")
    edge = 4.0 * cover * (1.0 - cover)
    return image + edge * (_box(image) - image)


def _face_millimetres(size: int, middle, scale):
    """x right, y up in mm from the face's middle, each [B, S, S]-like, for every pixel."""
    centres = np.arange(size, dtype=np.float32) + 0.5
    x = (centres[None, None, :] - middle[:, 0, None, None]) / scale[:, None, None]
    y = (middle[:, 1, None, None] - centres[None, :, None]) / scale[:, None, None]
    return x, y


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


def _expose(image, effects: Effects):
    """Lens, tone curve and sensor."""

    def each(values):
        return values[:, None, None, None]

    if effects.blur is not None:
        image = image + each(effects.blur) * (_box(_box(image)) - image)
    image = ops.clip(image, 1e-4, 1.0) ** each(effects.gamma)
    image = image * each(effects.gain) + each(effects.offset)
    if effects.grain is not None:
        image = image + each(effects.grain_sd) * effects.grain[..., None]
    return ops.clip(image, 0.0, 1.0)


def _box(image):
    return ops.average_pool(image, 3, strides=1, padding="same")


def stretch(grid, size: int):
    """Enlarges noise [B, N, M, C] smoothly to [B, size, size, C], through its values."""
    rows, columns = (_stretch_matrix(cells, size) for cells in grid.shape[1:3])
    return ops.einsum("bnmc,yn,xm->byxc", grid, rows, columns)


@functools.lru_cache(maxsize=64)
def _stretch_matrix(cells: int, size: int) -> np.ndarray:
    """[size, cells] weights of smoothstep interpolation between cells over the whole side."""
    position = np.linspace(0, cells - 1, size)
    left = np.minimum(position.astype(int), cells - 2)
    part = position - left
    part = part * part * (3 - 2 * part)
    matrix = np.zeros((size, cells), np.float32)
    matrix[np.arange(size), left] = 1 - part
    matrix[np.arange(size), left + 1] = part
    return matrix
