"""Samples for records: synthetic photos with every label, each made from (seed, index)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from facemodel.backend import Tensor
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.landmarks import MEDIAPIPE_COUNT
from facemodel.synthesis import slices
from facemodel.synthesis.detector import simulate_detection
from facemodel.synthesis.effects import jpeg
from facemodel.synthesis.photos import Rendering
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import Scene, SceneModel, sample_scene
from facemodel.synthesis.streams import PhiloxStreams, RandomStreams, StreamPlan

BATCH = 8
"""Samples are always made in full batches of this size, aligned to the index: the last bits of a
matrix product depend on the batch."""
_QUALITY = "jpeg/quality"


def aligned_indices(batch: int) -> range:
    """The samples of a batch: batch 0 has 0 to 7, batch 1 has 8 to 15, and so on."""
    return range(batch * BATCH, (batch + 1) * BATCH)


def make_samples(
    model: SceneModel,
    config: SynthesisConfig,
    measured: LandmarkNoise,
    *,
    seed: int,
    indices: Sequence[int],
    render: Callable[[Scene], Rendering],
) -> list[dict[str, Any]]:
    """Draws and renders samples.

    Args:
      model: Scene model to sample faces from.
      config: Ranges to sample from.
      measured: A detector's errors at the 478 landmarks.
      seed: Random seed of the data set.
      indices: Indices of the samples; for the same bytes every time, aligned_indices of a batch.
      render: Function that renders a scene in an image of config.image_size px.

    Returns:
      One dict for each index, as facemodel.records.encode_record takes it.
    """
    rng = PhiloxStreams(seed, indices)
    columns = sample_columns(model, config, measured, rng, render=render)
    return as_samples(columns, seed=seed, indices=indices, version=model.version)


def sample_columns(
    model: SceneModel,
    config: SynthesisConfig,
    measured: LandmarkNoise,
    rng: RandomStreams,
    *,
    render: Callable[[Scene], Rendering],
) -> dict[str, Any]:
    """Draws and renders samples, as columns: [B, ...] by feature, works in compiled code."""
    scene = sample_scene(model, config, rng)
    rendering = render(scene)
    detected, sigma_px = simulate_detection(
        rendering.landmarks, scene.pose.scale, config, rng, measured
    )
    return {
        **_jpeg(config, rng),
        "image": to_uint8(rendering.image),
        "face/landmarks_true": rendering.landmarks,
        "face/landmarks": detected,
        "landmark/sigma_px": sigma_px,
        **scene_features(model, scene),
    }


def _jpeg(config: SynthesisConfig, rng: RandomStreams) -> dict[str, Any]:
    return {_QUALITY: jpeg.sample_quality(config, rng)} if config.jpeg_fraction else {}


def plan_streams(model: SceneModel, config: SynthesisConfig, measured: LandmarkNoise) -> StreamPlan:
    """What sample_columns asks of its noise."""

    def ask(rng: RandomStreams):
        scene = sample_scene(model, config, rng)
        nowhere = np.zeros((1, MEDIAPIPE_COUNT, 2), np.float32)
        simulate_detection(nowhere, scene.pose.scale, config, rng, measured)
        _jpeg(config, rng)

    return StreamPlan(ask)


def as_samples(
    columns: dict[str, Any], *, seed: int, indices: Sequence[int], version: str
) -> list[dict[str, Any]]:
    """Columns as one dict for each index, as facemodel.records.encode_record takes it."""
    arrays = {name: ops.convert_to_numpy(values) for name, values in columns.items()}
    if (quality := arrays.pop(_QUALITY, None)) is not None:
        arrays["image"] = [jpeg.jpeg_roundtrip(*each) for each in zip(arrays["image"], quality)]
    return [
        {
            **{name: values[row] for name, values in arrays.items()},
            "sample/seed": seed,
            "sample/index": index,
            "model/version": version,
        }
        for row, index in enumerate(indices)
    ]


def scene_features(model: SceneModel, scene: Scene) -> dict[str, Any]:
    """What a record says about its scene, by feature name, each [B, ...]."""
    expression = scene.coefficients[:, model.identity_count :]
    bins = {
        "yaw": (slices.yaw_deg(scene.pose.rotation), slices.YAW_EDGES_DEG),
        "expression": (ops.sum(ops.abs(expression), -1), slices.EXPRESSION_EDGES),
        "skin_tone": (_typology_angle(model, scene), slices.SKIN_TONE_EDGES_DEG),
        "light": (slices.light_angle_deg(scene.light.direction), slices.LIGHT_EDGES_DEG),
    }
    return {
        "face/coefficients": scene.coefficients,
        "face/albedo_coefficients": scene.albedo_coefficients,
        "pose/rotation": scene.pose.rotation,
        "pose/scale": scene.pose.scale,
        "pose/translation": scene.pose.translation,
        "camera/inverse_distance": scene.inverse_distance + ops.zeros_like(scene.pose.scale),
        "light/ambient": scene.light.ambient,
        "light/diffuse": scene.light.diffuse,
        "light/specular": scene.light.specular,
        "light/direction": scene.light.direction,
        **{
            f"slice/{name}_bin": slices.bin_number(values, edges)
            for name, (values, edges) in bins.items()
        },
    }


def _typology_angle(model: SceneModel, scene: Scene):
    """[B] degrees, of the mean colour of the skin inside the face."""
    mean, basis = model.skin_mean, model.skin_basis
    colour = mean + ops.matmul(scene.albedo_coefficients, basis)
    return slices.typology_angle_deg(ops.clip(colour, 0.0, 1.0))


def to_uint8(image) -> Tensor:
    """[...] in [0, 1] -> uint8, rounded as records are."""
    return ops.cast(image * 255.0 + 0.5, "uint8")
