"""Faces generated on the fly, straight into the crop that serving would cut out: for training."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from facemodel import camera, transforms
from facemodel.fitting.alignment import crop_around
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.served_noise import LANDMARK_NOISE_MM
from facemodel.synthesis.detector import simulate_detection
from facemodel.synthesis.detector_errors import sample_detector_errors, sample_strength
from facemodel.synthesis.photos import render_scene
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import (
    SceneModel,
    sample_scene,
    scene_inner_landmarks,
)
from facemodel.synthesis.streams import RandomStreams


class OnlineBatch(NamedTuple):
    """A training batch.

    Attributes:
      grey: [B, S, S] in [0, 1].
      landmarks: [B, 51, 2] px in the crop, as a detector gives them.
      coefficients: [B, n] ground truth.
      sigma_px: [B] standard deviation of the landmarks' errors, px.
    """

    grey: Any
    landmarks: Any
    coefficients: Any
    sigma_px: Any


def online_batch_and_exact(
    model: SceneModel,
    config: SynthesisConfig,
    rng: RandomStreams,
    measured: LandmarkNoise,
    *,
    size: int = camera.CROP_SIZE,
) -> tuple[OnlineBatch, Any]:
    """Samples faces and renders them straight into the crop that serving would cut out.

    Works inside a compiled step on any backend; all shapes are known beforehand.

    Args:
      model: Scene model to sample faces from.
      config: Ranges to sample from.
      rng: Random streams; they set the batch size.
      measured: Noise of the 51 inner landmarks, LandmarkNoise.load().select(INNER_51).
      size: Side of the crop, px.

    Returns:
      The batch, and its exact landmarks [B, 51, 2] px in the crop.

    Source: paper section 5.1 (crop) and 6.1 (data).
    """
    scene = sample_scene(model, config, rng, size=size)
    points = scene_inner_landmarks(model, scene)
    true = camera.project(points, scene.pose, inverse_distance=scene.inverse_distance)[..., :2]
    landmarks, sigma_px = _detect(model, true, scene.pose.scale, config, rng, measured)
    crop_from_image = crop_around(model.geometry, landmarks, size=size)
    pose = camera.transform_pose(scene.pose, crop_from_image)
    rendering = render_scene(model, scene, size=size, pose=pose, grey=True)
    batch = OnlineBatch(
        grey=rendering.image[..., 0],
        landmarks=transforms.apply_similarity(crop_from_image, landmarks),
        coefficients=scene.coefficients,
        sigma_px=sigma_px * transforms.similarity_scale(crop_from_image),
    )
    return batch, transforms.apply_similarity(crop_from_image, true)


def _detect(
    model: SceneModel, true, scale, config: SynthesisConfig, rng: RandomStreams, measured
) -> tuple[Any, Any]:
    """Landmarks [B, 51, 2] px as a detector gives them, and the standard deviation [B] px."""
    noisy, sigma_px = simulate_detection(true, scale, config, rng, measured)
    if not config.detector_fraction:
        return noisy, sigma_px
    strength = sample_strength(config, rng)
    found = sample_detector_errors(model.detector_errors, model.geometry, true, strength, rng)
    like_detector = rng.uniform("detector/kind") < config.detector_fraction
    return (
        ops.where(like_detector[:, None, None], found, noisy),
        ops.where(like_detector, LANDMARK_NOISE_MM * scale, sigma_px),
    )


def online_batch(
    model: SceneModel,
    config: SynthesisConfig,
    rng: RandomStreams,
    measured: LandmarkNoise,
    *,
    size: int = camera.CROP_SIZE,
) -> OnlineBatch:
    """The batch of online_batch_and_exact alone, which has the same arguments."""
    return online_batch_and_exact(model, config, rng, measured, size=size)[0]
