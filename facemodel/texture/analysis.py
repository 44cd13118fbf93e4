"""What a photo says about the colours of a mesh: light, albedo, and which pixels show skin."""

from __future__ import annotations

import dataclasses

import numpy as np

from facemodel.texture import light as lights
from facemodel.texture import projection
from facemodel.texture.completion import SkinFit, albedo_of, fit_skin
from facemodel.texture.hairline import below_hairline, shows_brows
from facemodel.texture.projection import Footprint, View
from facemodel.texture.rejection import OFFSET, skin_pixels
from facemodel.texture.skin_model import SkinModel

PX_PER_MM = 1.0
"""Resolution at which visibility, light and outliers are found: vertices lie 2.5 mm apart."""
DARK_GLASSES = -0.5
"""Natural logarithm of skin over its prediction, below the eyes less that of the cheeks."""
_CHEEKS_MM = -45.0
_LEAST_VERTICES = 20
SURROUNDINGS_MM = 30.0
"""So far around the mesh the photo shows what else could be mistaken for skin."""


@dataclasses.dataclass(frozen=True, eq=False)
class Analysis:
    """What was found at low resolution.

    Attributes:
      view: the photo around the mesh.
      covered: what its pixels see of the mesh.
      skin: float32 [h, w] in [0, 1], where skin is surely seen.
      observed: [V, 3] sRGB, the photo at the vertices, whether they are seen or not.
      facing: [V] in [0, 1], how well the view shows the vertex, if nothing but the mesh hides it.
      seen: [V] in [0, 1], how much of each vertex's colour the photo may give.
      fit: light and albedo.
      dark_glasses: whether the eyes are behind something dark.
      brows: whether brows are seen.
    """

    view: View
    covered: Footprint
    skin: np.ndarray
    observed: np.ndarray
    facing: np.ndarray
    seen: np.ndarray
    fit: SkinFit
    dark_glasses: bool
    brows: bool


def analyse(model: SkinModel, photo: np.ndarray, vertices: np.ndarray, pose) -> Analysis:
    """Fits light and albedo to the middle of the face, finds the skin, and fits again to all of it.

    Arguments are those of recover.recover_texture.
    """
    view = projection.view_of(
        photo, vertices, model.triangles, pose, px_per_mm=PX_PER_MM, margin_mm=SURROUNDINGS_MM
    )
    covered = projection.footprint(view, model.triangles)
    facing = projection.visible(view, covered, (view.pixels, view.depth, view.normals[:, 2]))
    edges = projection.inside_edges(covered.depth, view.px_per_mm).astype(np.float32)
    observed = projection.sample(view.image, view.pixels)
    first = facing * projection.sample(edges, view.pixels)
    rough = fit_skin(model, observed, view.normals, first * model.core)
    predicted = predict(model, view.normals, rough, first * model.core)
    glasses = _dark_glasses(model, observed, predicted, first)
    prior = np.where(model.behind_glasses, 0.0, model.skin_prior) if glasses else model.skin_prior
    skin, brows = _skin(model, view, covered, predicted, prior)
    skin = edges * skin
    seen = facing * projection.sample(skin, view.pixels)
    fit = fit_skin(model, observed, view.normals, seen)
    return Analysis(view, covered, skin, observed, facing, seen, fit, glasses, brows)


def _dark_glasses(
    model: SkinModel, observed: np.ndarray, predicted: np.ndarray, seen: np.ndarray
) -> bool:
    """Whether the skin below the eyes is far darker, of what is predicted, than the cheeks."""
    ratio = np.log((observed + OFFSET) / (predicted + OFFSET)).mean(-1)
    below = model.below_eyes & (seen > 0.5)
    cheeks = (model.core > 0.5) & (model.positions[:, 1] < _CHEEKS_MM) & (seen > 0.5)
    if min(below.sum(), cheeks.sum()) < _LEAST_VERTICES:
        return False
    return bool(np.median(ratio[below]) - np.median(ratio[cheeks]) < DARK_GLASSES)


def _skin(
    model: SkinModel, view: View, covered: Footprint, predicted: np.ndarray, prior: np.ndarray
) -> tuple[np.ndarray, bool]:
    """float32 [h, w] how surely each pixel shows skin, and whether there are brows in it."""
    columns = [predicted, model.albedo_sd[:, None], prior[:, None], model.positions[:, :2]]
    maps = covered.image(np.concatenate(columns, 1))
    outside = ~np.isfinite(covered.depth)
    maps[outside, :3] = np.median(predicted[model.core > 0.5], 0)
    maps[outside, 5:] = np.nan
    found = skin_pixels(
        view.image, maps[..., :3], maps[..., 3], maps[..., 4], px_per_mm=view.px_per_mm
    )
    ratio = np.log((view.image + OFFSET) / (maps[..., :3] + OFFSET))
    found = below_hairline(found, ratio, maps[..., 5:])
    return found.astype(np.float32), shows_brows(found, ratio, maps[..., 5:])


def predict(model: SkinModel, normals: np.ndarray, fit: SkinFit, seen: np.ndarray) -> np.ndarray:
    """[V, 3] sRGB, fitted albedo under the fitted light; see light.light_on for hidden vertices."""
    light = lights.light_on(lights.harmonics(normals), fit.light, seen)
    return albedo_of(model, fit.coefficients) * light
