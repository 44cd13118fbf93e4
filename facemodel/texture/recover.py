"""The texture of a face from one photo, completed where the photo doesn't show it."""

from __future__ import annotations

import dataclasses

import numpy as np

from facemodel.morphable.mesh import SKIN
from facemodel.texture import light as lights
from facemodel.texture import projection
from facemodel.texture.analysis import Analysis, analyse
from facemodel.texture.blending import membrane
from facemodel.texture.completion import albedo_of
from facemodel.texture.doubts import doubts
from facemodel.texture.inner_parts import TexelColours, paint_inner_parts
from facemodel.texture.projection import View
from facemodel.texture.skin_model import SkinModel

FINER = 1.15
"""A photo with more than so many pixels for a texel is reduced first."""
GREY_LEVELS = 3
"""Channels that differ by no more make a grey photo; JPEG rounds."""
LITTLE_SKIN = 0.15
UNUSUAL = 0.4
"""Natural logarithm of a colour over its prediction that is no longer continued."""
COVERED = 0.3
"""Facing of vertices that something before them hides, if they are not seen."""
_DARKEST = 0.01
LIT_DECAY_MM, ALBEDO_DECAY_MM = 60.0, 5.0
"""How far what the model doesn't explain is continued: shadows and tints go on, but under divided
light most of it is an error of the light."""


@dataclasses.dataclass(frozen=True, eq=False)
class Texture:
    """A face's texture.

    Attributes:
      image: uint8 [S, S, 3] sRGB.
      from_photo: float32 [S, S] in [0, 1], the photo's share of each texel.
      coefficients: [A] of the albedo basis, standard deviations.
      light: [9, 3] spherical-harmonic coefficients of the photo's light, see light.harmonics.
      shade: [V, 3] natural logarithm of that light at the vertices, as it is in the image.
      flags: Some of "grey_photo" (no colour was invented), "dark_glasses" (what is behind them
        comes from the model), "little_skin" (nearly all does), and those of doubts.doubts.
    """

    image: np.ndarray
    from_photo: np.ndarray
    coefficients: np.ndarray
    light: np.ndarray
    shade: np.ndarray
    flags: tuple[str, ...]


def recover_texture(
    photo: np.ndarray,
    vertices: np.ndarray,
    model: SkinModel,
    pose,
    *,
    size: int = 1024,
    albedo: bool = False,
) -> Texture:
    """Recovers the texture of a face.

    Args:
      photo: uint8 [H, W, 3] sRGB.
      vertices: [V, 3] mm, model space, of model's mesh.
      model: mesh and colour statistics.
      pose: has rotation [3, 3], scale px/mm and translation [2] px of the photo.
      size: S, side of the texture, px.
      albedo: divide the light out; otherwise the photo's light stays in.

    Source: paper section 8.
    """
    finest = FINER * model.texels_per_mm(size)
    fine = projection.view_of(photo, vertices, model.triangles, pose, px_per_mm=finest)
    grey = is_grey(fine.image)
    model = model.grey if grey else model
    found = analyse(model, photo, vertices, pose)
    light = lights.light_on(lights.harmonics(found.view.normals), found.fit.light, found.seen)
    colours, share = _texels(model, found, fine, light, size=size, albedo=albedo)
    if grey:
        colours = np.repeat(colours.mean(-1, keepdims=True), 3, -1)
    atlas = model.atlas(size)
    core = model.core > 0.5
    checks = {
        "grey_photo": grey,
        "dark_glasses": found.dark_glasses,
        "little_skin": found.seen[core].mean() < LITTLE_SKIN,
    }
    return Texture(
        image=atlas.spread(np.round(255.0 * np.clip(colours, 0.0, 1.0)).astype(np.uint8)),
        from_photo=atlas.spread(share),
        coefficients=found.fit.coefficients,
        light=found.fit.light,
        shade=np.zeros_like(light) if albedo else _shade(model, light),
        flags=(*(name for name, holds in checks.items() if holds), *doubts(model, found)),
    )


def divide_light(texture: Texture, model: SkinModel) -> np.ndarray:
    """The texture without the photo's light, for pictures under other lamps: uint8 [S, S, 3].

    Quicker and coarser than recover_texture with albedo=True: what the photo has of shadows and
    highlights stays.
    """
    atlas = model.atlas(len(texture.image))
    shade = atlas.spread(atlas.from_vertices @ texture.shade.astype(np.float32))
    return np.clip(texture.image * np.exp(-shade), 0, 255).astype(np.uint8)


def is_grey(image: np.ndarray) -> bool:
    """Whether an image [h, w, 3] in [0, 1] has no colours but grey."""
    few = image[::3, ::3]
    spread = np.ptp(few, axis=-1)
    return bool(np.quantile(spread, 0.98) <= GREY_LEVELS / 255.0)


def _texels(
    model: SkinModel, found: Analysis, fine: View, light: np.ndarray, *, size: int, albedo: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Colours [N, 3] sRGB of the atlas's texels, and the photo's share [N] of each."""
    skin = (model.regions == SKIN).astype(np.float32)
    columns = [
        found.view.pixels, found.view.depth[:, None], found.view.normals[:, 2:],
        _filled(model, found, light, albedo=albedo), skin[:, None],
    ]  # fmt: skip
    if albedo:
        columns.append(np.log(light))
    at = model.atlas(size).from_vertices @ np.concatenate(columns, 1, dtype=np.float32)
    pixels, colours = at[:, :2], np.exp(at[:, 4:7])
    visible = projection.visible(found.view, found.covered, (pixels, at[:, 2], at[:, 3]))
    shown = np.flatnonzero(visible)
    place = found.view.to(fine, pixels[shown])
    photo = np.clip(projection.sample(fine.image, place, cubic=True), 0.0, 1.0)
    share = visible[shown] * projection.sample(found.skin, pixels[shown])
    share *= np.maximum(2.0 * at[shown, 7] - 1.0, 0.0)
    own = photo / np.exp(at[shown, 8:]) if albedo else photo
    colours[shown] += share[:, None] * (own - colours[shown])
    texels = TexelColours(colours, pixels, shown, photo, visible, np.zeros_like(visible))
    texels.share[shown] = share
    paint_inner_parts(model, found, texels, light.mean(-1), size=size, albedo=albedo)
    return texels.colours, texels.share


def _filled(model: SkinModel, found: Analysis, light: np.ndarray, *, albedo: bool) -> np.ndarray:
    """[V, 3] logarithm of the completed colours at the vertices."""
    skin, shade = model.regions == SKIN, _shade(model, light)
    values = np.log(np.maximum(found.observed, _DARKEST)) - shade
    guide = np.log(albedo_of(model, found.fit.coefficients))
    if found.brows:  # those of the model, under what covers the forehead, may lie elsewhere
        guide = np.where(found.facing[:, None] > COVERED, model.without_brows(guide), guide)
    rest = np.log(np.maximum(model.albedo_mean, _DARKEST))
    decay = ALBEDO_DECAY_MM if albedo else LIT_DECAY_MM
    if not albedo:
        values, guide, rest = values + shade, guide + shade, rest + shade
    trust = np.where(skin, found.seen, 0.0) * _usual(values - guide, found.seen)
    return membrane(model, values, trust, guide, rest, decay_mm=decay)


def _shade(model: SkinModel, light: np.ndarray) -> np.ndarray:
    """[V, 3] logarithm of the light at the vertices; without its tint on eyes and mouth."""
    shade = np.log(light)
    skin = (model.regions == SKIN)[:, None]
    return np.where(skin, shade, shade.mean(-1, keepdims=True))


def _usual(offset: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """[V] in [0, 1], low where log colour over prediction [V, 3] is far from that of most skin.

    Left hair and deep shadow then stay where they are and do not run into what is hidden.
    """
    middle = np.median(offset[seen > 0.5], axis=0) if (seen > 0.5).any() else 0.0
    usual: np.ndarray = 1.0 / (1.0 + ((offset - middle).mean(-1) / UNUSUAL) ** 4)
    return usual
