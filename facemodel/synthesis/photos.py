"""Synthetic photos with exact labels: whole pictures for records, grey crops for training online.

The same code draws and renders both. Records take their random numbers from (seed, index), so that
a sample can be drawn again; training takes them from the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from facemodel import camera, transforms
from facemodel.camera import Pose
from facemodel.fitting import crop
from facemodel.fitting.alignment import crop_around
from facemodel.morphable.geometry import decode_landmarks
from facemodel.morphable.landmark_noise import LandmarkNoise, draw_landmark_noise
from facemodel.morphable.landmarks import IRISES
from facemodel.rendering.lighting import unshaded
from facemodel.rendering.shading import render_photo
from facemodel.synthesis.distributions import ConfigError, Normal, Range
from facemodel.synthesis.effects.overlays import Place
from facemodel.synthesis.effects.photograph import Effects, call, photograph
from facemodel.synthesis.noise import DeviceNoise, Noise, PhiloxNoise
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import (
    Scene,
    SceneModel,
    draw_coefficients,
    draw_scene,
    scene_colours,
    scene_landmarks,
    scene_vertices,
)

__all__ = [
    "ConfigError",
    "DeviceNoise",
    "LandmarkNoise",
    "Noise",
    "Normal",
    "OnlineBatch",
    "PhiloxNoise",
    "Range",
    "Rendering",
    "Scene",
    "SceneModel",
    "SynthesisConfig",
    "detect",
    "draw_coefficients",
    "draw_scene",
    "online_batch",
    "render_scene",
]


class Rendering(NamedTuple):
    """A rendered scene.

    Attributes:
      image: [B, S, S, 3] in [0, 1]; one channel if grey.
      mask: [B, S, S] 1 on the face.
      landmarks: [B, 478, 2] px, true.
    """

    image: Any
    mask: Any
    landmarks: Any


def render_scene(
    model: SceneModel,
    scene: Scene,
    *,
    size: int,
    pose: Pose | None = None,
    grey: bool = False,
    render: Callable = render_photo,
    run: Callable = call,
) -> Rendering:
    """Renders what a scene shows.

    Args:
      model: with which the scene was drawn.
      scene: with effects drawn for this size.
      size: px, side of the picture.
      pose: of the faces in the picture; the scene's own if None.
      grey: render one channel, about a third of the work; almost the luma of the coloured picture.
      render: rendering.render_photo, or photo.render_photo_tfg, which does the same through
        tensorflow-graphics.
      run: calls each step of the photo's making, and may compile it.
    """
    pose = pose or scene.pose
    vertices, colours, effects = (
        scene_vertices(model, scene),
        scene_colours(model, scene),
        scene.effects,
    )
    environment = scene.environment
    if grey:
        colours, effects = crop.luma(colours)[..., None], _grey_effects(effects)
        environment = None if environment is None else crop.luma(environment)[..., None]
    face, mask = render(
        model.geometry, vertices, colours, pose, scene.light,
        height=size, width=size, inverse_distance=scene.inverse_distance,
        environment=environment, lit=_lit(model, scene, vertices, run),
    )  # fmt: skip
    landmarks = scene_landmarks(model, vertices, pose, scene.inverse_distance)
    middle = camera.project(ops.reshape(model.geometry.centre, (1, 1, 3)), pose)[:, 0, :2]
    eyes = ops.take(landmarks, np.asarray(IRISES), axis=1)
    place = Place(middle, pose.scale, pose.rotation, eyes)
    return Rendering(photograph(face, mask, effects, place, run=run), mask, landmarks)


def _lit(model: SceneModel, scene: Scene, vertices, run: Callable):
    """[B, V] how much of the light reaches the vertices; None if the recipe has no shadows."""
    if scene.shadow is None:
        return None
    direction = ops.einsum("bij,bi->bj", scene.pose.rotation, scene.light.direction)
    return run(unshaded, vertices, model.geometry.centre, direction, scene.shadow)


def _grey_effects(effects: Effects) -> Effects:
    def grey(colours):
        return crop.luma(colours)[..., None]

    def overlay(value):
        return value and value._replace(colour=grey(value.colour))

    worn = effects.glasses
    if worn is not None:
        worn = worn._replace(colour=grey(worn.colour), tint=grey(worn.tint))

    colour, coarse, fine = effects.background
    return effects._replace(
        hair=overlay(effects.hair),
        occluder=overlay(effects.occluder),
        glasses=worn,
        white=None,  # keeps the luma of grey
        background=(grey(colour), grey(coarse), fine),
    )


def detect(landmarks, scale, config: SynthesisConfig, noise: Noise, measured: LandmarkNoise):
    """Imitates a detector.

    Args:
      landmarks: [B, L, 2] px, true.
      scale: [B] px/mm of the faces.
      config: says how much stronger or weaker than measured the noise may be.
      noise: raw random numbers.
      measured: how the real detector errs at these L landmarks.

    Returns:
      [B, L, 2] px as detected, and [B] px, the standard deviation of the error.
    """
    strength = scale * config.landmark_noise.of(noise.uniform("landmarks/strength"))
    errors = draw_landmark_noise(measured, noise)
    return landmarks + strength[:, None, None] * errors, strength * measured.sigma_mm


class OnlineBatch(NamedTuple):
    """What training sees.

    Attributes:
      grey: [B, S, S] in [0, 1].
      landmarks: [B, 51, 2] px in the crop, as a detector gives them.
      coefficients: [B, n] true.
      sigma_px: [B] standard deviation of the landmarks' errors, px.
    """

    grey: Any
    landmarks: Any
    coefficients: Any
    sigma_px: Any


def online_batch(
    model: SceneModel,
    config: SynthesisConfig,
    noise: Noise,
    measured: LandmarkNoise,
    *,
    size: int = camera.CROP_SIZE,
) -> OnlineBatch:
    """Draws faces and renders them straight into the crop that serving would cut out.

    Works inside a compiled step on any backend; all shapes are known beforehand.

    Args:
      model: from which faces are drawn.
      config: the ranges.
      noise: raw random numbers; decides the batch's size.
      measured: noise of the 51 inner landmarks, LandmarkNoise.load().select(INNER_51).
      size: px, side of the crop.

    Source: paper section 5.1 (crop) and 6.1 (data).
    """
    scene = draw_scene(model, config, noise, size=size)
    points = decode_landmarks(model.geometry, scene.coefficients)
    true = camera.project(points, scene.pose, inverse_distance=scene.inverse_distance)[..., :2]
    landmarks, sigma_px = detect(true, scene.pose.scale, config, noise, measured)
    crop_from_image = crop_around(model.geometry, landmarks, size=size)
    pose = camera.transform_pose(scene.pose, crop_from_image)
    rendering = render_scene(model, scene, size=size, pose=pose, grey=True)
    return OnlineBatch(
        grey=rendering.image[..., 0],
        landmarks=transforms.apply_similarity(crop_from_image, landmarks),
        coefficients=scene.coefficients,
        sigma_px=sigma_px * transforms.similarity_scale(crop_from_image),
    )
