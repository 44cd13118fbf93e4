"""The texture of a face from one photo, completed where the photo doesn't show it."""

from __future__ import annotations

import dataclasses

import numpy as np

from facemodel.texture import light as lights
from facemodel.texture import projection
from facemodel.texture.atlas import Atlas
from facemodel.texture.blending import membrane
from facemodel.texture.completion import SkinFit, albedo_of, fit_skin
from facemodel.texture.projection import View
from facemodel.texture.rejection import skin_pixels
from facemodel.texture.skin_model import SKIN, SkinModel

ANALYSIS_PX_PER_MM = 1.0
"""Resolution at which visibility, light and outliers are found."""
TEXELS_PER_MM = 3.0
_DARKEST = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class Texture:
    """A face's texture.

    Attributes:
      image: uint8 [S, S, 3] sRGB.
      from_photo: [S, S] in [0, 1], the photo's share of each texel.
      coefficients: [A] of the albedo basis.
      light: [9, 3] spherical-harmonic coefficients of the photo's light, see light.harmonics.
      flags: Some of "grey_photo", "little_skin".
    """

    image: np.ndarray
    from_photo: np.ndarray
    coefficients: np.ndarray
    light: np.ndarray
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
    view = projection.view_of(
        photo, vertices, model.triangles, pose, px_per_mm=ANALYSIS_PX_PER_MM
    )
    seen_map, fit = _analyse(model, view)
    fine = projection.view_of(photo, vertices, model.triangles, pose, px_per_mm=TEXELS_PER_MM)
    return _compose(model, model.atlas(size), view, fine, seen_map, fit, albedo=albedo)


def _analyse(model: SkinModel, view: View):
    covered = projection.footprint(view, model.triangles)
    edges = projection.inside_edges(covered.depth, view.px_per_mm)
    facing = projection.visible(view, covered, (view.pixels, view.depth, view.normals[:, 2]))
    observed = projection.sample(view.image, view.pixels)
    trusted = edges
    inside = np.isfinite(covered.depth)
    for _ in range(2):
        seen = facing * projection.sample(trusted.astype(np.float32), view.pixels)
        fit = fit_skin(model, observed, view.normals, seen)
        predicted = albedo_of(model, fit.coefficients) * lights.light_on(
            lights.harmonics(view.normals), fit.light, np.ones(len(seen)))
        maps = covered.image(np.concatenate([predicted, model.albedo_sd[:, None]], 1))
        likely = skin_pixels(view.image, maps[..., :3], maps[..., 3], inside, px_per_mm=view.px_per_mm)
        trusted = edges * likely
    seen = facing * projection.sample(trusted.astype(np.float32), view.pixels)
    return dict(covered=covered, seen=seen, trusted=trusted, observed=observed, maps=maps, likely=likely), fit


def _compose(model, atlas: Atlas, view: View, fine: View, a, fit: SkinFit, *, albedo):
    shapes = lights.harmonics(view.normals)
    light = lights.light_on(shapes, fit.light, a["seen"])
    own = albedo_of(model, fit.coefficients)
    guide = np.log(own) + (0 if albedo else np.log(light))
    values = np.log(np.maximum(a["observed"], _DARKEST)) - (np.log(light) if albedo else 0)
    skin = model.regions == SKIN
    filled = membrane(model, values, np.where(skin, a["seen"], 0), guide)
    columns = [fine.pixels, view.pixels, view.depth[:, None], view.normals[:, 2:], filled, np.log(light), skin[:, None]]
    at = atlas.from_vertices @ np.concatenate(columns, 1).astype(np.float32)
    share = projection.visible(view, a["covered"], (at[:, 2:4], at[:, 4], at[:, 5]))
    share = share * projection.sample(a["trusted"].astype(np.float32), at[:, 2:4]) * at[:, -1]
    photo = np.clip(projection.sample(fine.image, at[:, :2], cubic=True), 0, 1)
    if albedo:
        photo = photo / np.exp(at[:, 9:12])
    colours = np.exp(at[:, 6:9])
    colours += share[:, None] * (photo - colours)
    image = np.round(255 * np.clip(colours, 0, 1)).astype(np.uint8)
    return Texture(atlas.spread(image), atlas.spread(share.astype(np.float32)), fit.coefficients, fit.light, ())
