"""Photos of faces whose wrinkles and pores are known, for the evaluation of detail.

Light, camera, noise and JPEG quality are sampled as the lifelike recipe samples them. Unlike the
recipe's photos these are rendered in linear light from a displaced surface, at two samples along
each side of a pixel, and keep hair, glasses and hands out of the way.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import cv2
import numpy as np
from keras import ops
from scipy import ndimage

from facemodel import camera
from facemodel.detail.surface import (
    CameraPose,
    CoarseSurface,
    SkinStatistics,
    interpolate,
    linear_from_srgb,
    skin_statistics,
)
from facemodel.morphable.landmarks import INNER_51, embedded_points
from facemodel.morphable.mesh import vertex_normals
from facemodel.morphable.model import MorphableModel
from facemodel.rendering.lighting import light_visibility
from facemodel.synthesis import relief, scenes
from facemodel.synthesis.distributions import Normal, Range
from facemodel.synthesis.effects.jpeg import sample_quality
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.streams import PhiloxStreams
from facemodel.vectors import unit
from pipeline.evaluation.detail_photograph import (
    SAMPLES,
    displaced_normals,
    lit_surface,
    photograph,
)

SIZE = 576
"""Side of the photos, px; a face is about 500 px high."""
FACE_SCALE = 2.6
"""Size of the face relative to camera.CROP_SCALE px/mm."""
FIT_ERROR_SD = 0.45
"""Standard deviation added to identity coefficients for a coarse face with a fit's error."""


class Pixels(NamedTuple):
    """What a photo shows at its pixels, SAMPLES x SAMPLES samples each: [S, S, ...].

    Attributes:
      mask: bool, the face.
      skin: [S, S] share of skin.
      normals: [S, S, 3] of the coarse face; displaced: with the relief; unit, camera frame.
      height: [S, S] mm of relief.
      areas: kind of mark -> bool.
    """

    mask: np.ndarray
    skin: np.ndarray
    normals: np.ndarray
    displaced: np.ndarray
    height: np.ndarray
    areas: dict[str, np.ndarray]


class DetailTruth(NamedTuple):
    """A photo with everything that is to be found out.

    Attributes:
      photo: uint8 [S, S, 3].
      surface: the coarse face, exactly; pose: its pose.
      fitted_surface, fitted_pose: the same with the errors of a fit.
      pixels: what the photo shows.
    """

    photo: np.ndarray
    surface: CoarseSurface
    pose: CameraPose
    fitted_surface: CoarseSurface
    fitted_pose: CameraPose
    pixels: Pixels


@dataclasses.dataclass(frozen=True, eq=False)
class TruthModel:
    """A face model at level 2, which is photographed, and at level 1, which a method is told."""

    fine: MorphableModel
    told: MorphableModel
    scenes: scenes.SceneModel
    skin: SkinStatistics

    @classmethod
    def create(cls, path=None) -> TruthModel:
        """Reads a face model; the default one if path is None."""
        fine, told = (MorphableModel.load(path, level=level) for level in (2, 1))
        return cls(fine, told, scenes.SceneModel.create(told), skin_statistics(told))

    @functools.cached_property
    def landmarks(self) -> np.ndarray:
        """[478, 3] mm, on the mean face."""
        return _landmarks(self.told, self.told.mean)


def _landmarks(model: MorphableModel, vertices: np.ndarray) -> np.ndarray:
    return embedded_points(
        vertices, model.triangles, model.landmark_triangles, model.landmark_barycentric
    )


def recipe() -> SynthesisConfig:
    """The lifelike recipe for large faces under weak perspective."""
    scale = Normal(FACE_SCALE, 0.05 * FACE_SCALE, 0.9 * FACE_SCALE, 1.1 * FACE_SCALE)
    return SynthesisConfig.lifelike(
        image_size=SIZE, relative_scale=scale, inverse_distance=Range(0.0, 0.0)
    )


def render_truth(
    model: TruthModel, seed: int, index: int, *, with_relief: bool, marks: bool
) -> DetailTruth:
    """Photographs one face.

    Args:
      model: face model.
      seed: Random seed; faces of one (seed, index) differ only in what the switches say.
      index: Number of the face.
      with_relief: wrinkles, folds and pores; otherwise the coarse face itself.
      marks: brow hairs, beard, freckles, moles and lipstick.
    """
    rng = PhiloxStreams(seed, [index])
    scene = scenes.sample_scene(model.scenes, recipe(), rng)
    pose = CameraPose(*(np.asarray(value)[0] for value in scene.pose))
    coefficients = np.asarray(scene.coefficients)[0]
    draws = np.random.default_rng([seed, index])
    height = relief.sample_relief(draws, model.landmarks)
    found = relief.sample_marks(draws, model.landmarks)
    samples = _samples(model, scene, pose, coefficients, height * with_relief, found)
    quality = float(sample_quality(recipe(), rng)[0])
    linear = lit_surface(samples, scene, samples["albedo"] if marks else samples["skin_albedo"])
    photo = photograph(linear, samples["mask"], scene.effects, quality)
    exact = model.told.vertices(coefficients)
    fitted, fitted_pose = _fitted(model, coefficients, pose, draws)
    surfaces = [
        CoarseSurface(vertices, model.told.triangles, model.told.regions, model.skin)
        for vertices in (exact, fitted)
    ]
    pixels = _pixels(samples, found)
    return DetailTruth(photo, surfaces[0], pose, surfaces[1], fitted_pose, pixels)


def _samples(model, scene, pose, coefficients, height, marks) -> dict[str, np.ndarray]:
    """Everything at SAMPLES x SAMPLES samples a pixel, [n, n, ...]."""
    fine, side = model.fine, SIZE * SAMPLES
    vertices = fine.vertices(coefficients)
    normals = vertex_normals(vertices, fine.triangles) @ pose.rotation.T
    dense = CameraPose(pose.rotation, pose.scale * SAMPLES, pose.translation * SAMPLES)
    screen = dense.project(vertices).astype(np.float32)
    albedo = linear_from_srgb(fine.albedo_rgb(np.asarray(scene.albedo_coefficients)[0]))
    lit = _visibility(model, scene, pose, vertices)
    skin = (fine.regions == 0)[:, None]
    values = np.concatenate([normals, albedo, lit[:, None], skin, fine.mean], 1)
    mask, image = interpolate(screen, fine.triangles, values, height=side, width=side)
    coarse = unit(image[..., :3])
    place = relief.unrolled(image[..., 8:11])
    heights = _at(height, place, order=3) * mask * (image[..., 7] > 0.5)
    skin_albedo, marked = image[..., 3:6], _marked(image[..., 3:6], marks, place)
    return {
        "mask": mask, "normals": coarse, "height": heights, "place": place,
        "displaced": displaced_normals(coarse, heights, dense.scale, mask),
        "skin_albedo": skin_albedo, "albedo": np.where(image[..., 7:8] > 0.5, marked, skin_albedo),
        "lit": image[..., 6], "skin": image[..., 7],
    }  # fmt: skip


def _visibility(model, scene, pose, vertices) -> np.ndarray:
    """[V] how much of the directional light reaches the vertices."""
    direction = np.asarray(scene.light.direction) @ pose.rotation
    return np.asarray(
        light_visibility(vertices[None], model.scenes.geometry.centre, direction, scene.shadow)
    )[0]


def _at(image, place, order: int = 1) -> np.ndarray:
    """Reads [ROWS, COLUMNS] of the unrolled face at columns and rows [n, n, 2]."""
    coordinates = [place[..., 1] - 0.5, place[..., 0] - 0.5]
    return ndimage.map_coordinates(image, coordinates, np.float32, order=order, mode="nearest")


def _marked(albedo, marks: relief.Marks, place) -> np.ndarray:
    """Linear RGB [n, n, 3] of the skin with marks on it."""
    melanin, haemoglobin = _at(marks.melanin, place), _at(marks.haemoglobin, place)
    density = melanin[..., None] * relief.MELANIN + haemoglobin[..., None] * relief.HAEMOGLOBIN
    albedo = albedo * np.exp(-density)
    for share, colour in ((marks.lips, marks.lip_colour), (marks.hair, marks.hair_colour)):
        cover = np.clip(_at(share, place), 0, 1)[..., None]
        albedo = albedo * (1 - cover) + colour * cover
    return np.clip(albedo, 0, 1).astype(np.float32)


def _pixels(samples, marks) -> Pixels:
    def mean(values):
        return cv2.resize(values.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_AREA)

    mask = mean(samples["mask"]) > 0.99
    place = np.float32(mean(samples["place"]))
    areas = {kind: (_at(np.float32(area), place) > 0) & mask for kind, area in marks.areas.items()}
    coarse, displaced = (unit(mean(samples[name])) for name in ("normals", "displaced"))
    return Pixels(mask, mean(samples["skin"]), coarse, displaced, mean(samples["height"]), areas)


def _fitted(model, coefficients, pose, draws):
    """Vertices [V, 3] with the errors of a fit, and the pose that goes with them."""
    exact, count = model.told.vertices(coefficients), model.told.identity_count
    wrong = coefficients.copy()
    wrong[:count] += np.float32(FIT_ERROR_SD * draws.standard_normal(count))
    vertices = model.told.vertices(wrong)
    inner = list(INNER_51)
    seen = pose.project(_landmarks(model.told, exact)[inner])[:, :2]
    points = _landmarks(model.told, vertices)[inner]
    both = (ops.convert_to_tensor(np.float32(values[None])) for values in (points, seen))
    fitted = camera.fit_pose(*both)
    return vertices, CameraPose(*(np.asarray(value)[0] for value in fitted))
