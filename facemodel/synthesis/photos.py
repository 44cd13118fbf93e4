"""Synthetic photos with exact labels: whole images for records, grey crops for training online.

The same code samples and renders both. Records take their random numbers from (seed, index), so
that a sample can be made again; training takes them from the device.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from facemodel import camera
from facemodel.camera import Pose
from facemodel.colour import luma
from facemodel.morphable.landmarks import IRISES
from facemodel.rendering.lighting import light_visibility
from facemodel.rendering.shading import render_photo
from facemodel.synthesis.effects.overlays import FacePlacement
from facemodel.synthesis.effects.photograph import Effects, photograph
from facemodel.synthesis.scenes import (
    Scene,
    SceneModel,
    scene_colours,
    scene_landmarks,
    scene_vertices,
)


class Rendering(NamedTuple):
    """A rendered scene.

    Attributes:
      image: [B, S, S, 3] in [0, 1]; one channel if grey.
      mask: [B, S, S] 1 on the face.
      landmarks: [B, 478, 2] px, ground truth.
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
    vertices: Any = None,
    render: Callable = render_photo,
) -> Rendering:
    """Renders what a scene shows.

    Args:
      model: Scene model that the scene was sampled from.
      scene: Scene with effects for this size.
      size: Side of the image, px.
      pose: Poses of the faces in the image; the scene's own if None.
      grey: render one channel, about a third of the work; almost the luma of the coloured image.
      vertices: [B, V, 3] mm of other faces in the same scene; the scene's own if None.
      render: shading.render_photo, or tfg.render_photo_tfg, which does the same through
        tensorflow-graphics.
    """
    pose = pose or scene.pose
    vertices = scene_vertices(model, scene) if vertices is None else vertices
    colours, effects, environment = scene_colours(model, scene), scene.effects, scene.environment
    if grey:
        colours, effects = luma(colours)[..., None], _grey_effects(effects)
        environment = None if environment is None else luma(environment)[..., None]
    face, mask = render(
        model.geometry.fine, vertices, colours, pose, scene.light,
        height=size, width=size, inverse_distance=scene.inverse_distance,
        environment=environment, lit=_light_attributes(model, scene, vertices),
    )  # fmt: skip
    landmarks = scene_landmarks(model, vertices, pose, scene.inverse_distance)
    middle = camera.project(ops.reshape(model.geometry.centre, (1, 1, 3)), pose)[:, 0, :2]
    eyes = ops.take(landmarks, np.asarray(IRISES), axis=1)
    place = FacePlacement(middle, pose.scale, pose.rotation, eyes)
    return Rendering(photograph(face, mask, effects, place), mask, landmarks)


def _light_attributes(model: SceneModel, scene: Scene, vertices):
    """[B, V] how much of the light reaches the vertices; None if the recipe has no shadows."""
    if scene.shadow is None:
        return None
    direction = ops.einsum("bij,bi->bj", scene.pose.rotation, scene.light.direction)
    return light_visibility(vertices, model.geometry.centre, direction, scene.shadow)


def _grey_effects(effects: Effects) -> Effects:
    def grey(colours):
        return luma(colours)[..., None]

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
        sensor=effects.sensor._replace(white=None),  # it keeps the luma of grey
        background=(grey(colour), grey(coarse), fine),
    )
