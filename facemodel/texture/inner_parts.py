"""Eyes and mouth of a texture: clean, with the photo's colours where it shows them clearly."""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

from facemodel.texture import eyes
from facemodel.texture.analysis import Analysis
from facemodel.texture.projection import sample, smoothstep
from facemodel.texture.skin_model import SkinModel

LID_MM = (0.6, 1.8)
"""From the edge of the lids inwards: lashes and their shadow, then the eye."""
INNER_MOUTH = ("teeth", "tongue", "mouth")
LIP_MM = (0.3, 1.0)
"""From the edge of the lips inwards: lips, then what lies behind them."""
LEAST_PX_PER_MM = 1.0
"""Coarser photos show no eye sharply."""
_CLOSE, _FAR = 0.10, 0.22
"""Difference of the photo from what is painted, sRGB, up to which, and from which not, it is
taken: catch-lights, lashes and lids are far."""
_WHITE_LOW, _WHITE_HIGH = 0.7, 1.15


@dataclasses.dataclass(frozen=True, eq=False)
class TexelColours:
    """Colours of all texels of an atlas.

    Attributes:
      colours: [N, 3] sRGB, completed.
      pixels: [N, 2] px of the analysis' view.
      shown: [M] in order, into the N texels: those that the photo shows at all.
      photo: [M, 3] sRGB of the photo there.
      visible: [N] in [0, 1].
      share: [N] in [0, 1], the photo's share so far.
    """

    colours: np.ndarray
    pixels: np.ndarray
    shown: np.ndarray
    photo: np.ndarray
    visible: np.ndarray
    share: np.ndarray

    def photo_at(self, texels: np.ndarray) -> np.ndarray:
        """The photo at some of the texels [K], [K, 3] sRGB; grey where it shows nothing."""
        if not len(self.shown):
            return np.full((len(texels), 3), 0.5, np.float32)
        place = np.minimum(np.searchsorted(self.shown, texels), len(self.shown) - 1)
        known = self.shown[place] == texels
        return np.where(known[:, None], self.photo[place], np.float32(0.5))


def region_depth(model: SkinModel, found: Analysis, names: tuple[str, ...]) -> np.ndarray:
    """float32 [h, w] mm, how far inside the visible part of some regions each pixel lies."""
    inside = np.zeros(found.covered.depth.size, np.uint8)
    own = model.in_region(*names)
    inside[found.covered.pixel] = own[found.covered.corners].all(1)
    padded = np.pad(inside.reshape(found.covered.depth.shape), 1)
    away = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1] - 0.5
    depth: np.ndarray = np.maximum(away, 0.0) / found.view.px_per_mm
    return depth


def paint_inner_parts(
    model: SkinModel,
    found: Analysis,
    at: TexelColours,
    light: np.ndarray,
    *,
    size: int,
    albedo: bool,
) -> None:
    """Paints eyes and puts the photo's open mouth in, into at.colours and at.share.

    Args:
      model: the mesh.
      found: the photo's analysis.
      at: the texels; changed in place.
      light: [V] grey light at the vertices.
      size: Side of the texture, px.
      albedo: whether colours are without light.
    """
    texels = eyes.eye_texels(model, size)
    if len(texels.texel):
        level = float(light[model.in_region("eye_l", "eye_r")].mean())
        _paint_eyes(model, found, at, texels, level, size=size, albedo=albedo)
    _photo_mouth(model, found, at, _mouth_texels(model, size), light, albedo=albedo)


@functools.lru_cache(maxsize=4)
def _mouth_texels(model: SkinModel, size: int) -> np.ndarray:
    own = model.in_region(*INNER_MOUTH).astype(np.float32)
    return np.flatnonzero(model.atlas(size).from_vertices @ own > 0.99)


def _paint_eyes(model, found, at, texels, level, *, size, albedo) -> None:
    own, photo = texels.texel, at.photo_at(texels.texel)
    inside = sample(region_depth(model, found, ("eye_l", "eye_r")), at.pixels[own])
    seen = at.visible[own] * smoothstep(inside, *LID_MM)
    sharp = found.view.px_per_mm >= 0.99 * LEAST_PX_PER_MM
    seen = seen * (sharp and not found.dark_glasses)
    gaze = eyes.find_gaze(texels, photo.mean(-1), seen)
    area = model.texels_per_mm(size) ** -2.0
    iris, white = eyes.eye_colours(texels, photo, seen, gaze, area)
    whites, irises = eyes.WHITE * level, eyes.DARK_IRIS * level
    if white is not None:
        bright = np.clip(white.mean() / whites.mean(), _WHITE_LOW, _WHITE_HIGH)
        whites = whites * bright
    irises = irises if iris is None else np.minimum(iris, 0.75 * whites.mean())
    painted = eyes.paint_eyes(texels, gaze, irises, whites)
    apart = np.abs(photo - painted).max(-1)
    share = seen * (1.0 - smoothstep(apart, _CLOSE, _FAR))
    painted += share[:, None] * (photo - painted)
    at.colours[own] = painted / (level if albedo else 1.0)
    at.share[own] = share


def _photo_mouth(model, found, at, texels, light, *, albedo) -> None:
    """What the photo shows between the lips, on whatever part of the mouth lies behind it.

    The teeth of the model are seldom where those of the photo are, so it is not asked which part of
    the mouth a pixel shows: seen from where the photo was taken, the mouth is the photo's.
    """
    level = float(light[model.in_region(*INNER_MOUTH)].mean())
    inside = sample(region_depth(model, found, INNER_MOUTH), at.pixels[texels])
    photo = at.photo_at(texels) / (level if albedo else 1.0)
    share = (at.visible[texels] > 0) * smoothstep(inside, *LIP_MM)
    at.colours[texels] += share[:, None] * (photo - at.colours[texels])
    at.share[texels] = share
