"""Faces that the loop's last layers are fitted to: what the loop starts from, and the truth."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from keras import ops

from facemodel import camera, transforms
from facemodel.backend import compiled
from facemodel.fitting.alignment import crop_around
from facemodel.fitting.crop import grey_crop
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.landmarks import INNER_51
from facemodel.morphable.served_noise import LANDMARK_NOISE_MM
from facemodel.network.starts import sample_starts
from facemodel.network.training_config import TrainingConfig
from facemodel.synthesis.distributions import Range
from facemodel.synthesis.online import OnlineBatch, online_batch_and_exact
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import SceneModel
from facemodel.synthesis.streams import DeviceStreams
from pipeline.datasets.detections import detections_in_turns, is_found

LANDMARK_NOISE = Range(0.1, 1.2)
"""From almost exact landmarks to worse ones than measured ..."""
LANDMARK_BIAS = Range(-0.3, 1.2)
"""... and what the detector always gets wrong on renders is uncertain on photos."""
_INNER = np.asarray(INNER_51)


class Faces(NamedTuple):
    """N faces, and where the loop stands with each.

    Attributes:
      grey: uint8 [N, S, S] crops.
      exact: [N, 51, 2] px, true landmarks.
      truth: [N, n] coefficients.
      landmarks: [N, 51, 2] px, detected or corrected.
      estimate: [N, n].
    """

    grey: np.ndarray
    exact: np.ndarray
    truth: np.ndarray
    landmarks: np.ndarray
    estimate: np.ndarray


def noisy_batches(
    scenes: SceneModel, noise: LandmarkNoise, recipes: Sequence[str], config: TrainingConfig
) -> Iterator[Faces]:
    """Batches without end of faces drawn in their crops, with landmarks that err as a detector's.

    Args:
      scenes: Scene model to sample faces from.
      noise: Of the 51 inner landmarks, where the recipe does not draw a detector's errors.
      recipes: Recipes of the faces, a batch of each in turns.
      config: batch size, size of the crops, shares of starts and seed.
    """

    def make(recipe: str):
        settings = SynthesisConfig.named(
            recipe, landmark_noise=LANDMARK_NOISE, landmark_bias=LANDMARK_BIAS
        )

        def step(key):
            rng = DeviceStreams(key, config.batch_size)
            batch, exact = online_batch_and_exact(scenes, settings, rng, noise, size=config.size)
            start = sample_starts(scenes.geometry, batch, rng, config)
            return Faces(_rounded(batch.grey), exact, batch.coefficients, batch.landmarks, start)

        return compiled(step)

    steps = {recipe: make(recipe) for recipe in recipes}
    for number in itertools.count():
        drawn = steps[recipes[number % len(recipes)]](np.array([config.seed, number], np.uint32))
        yield Faces(*map(np.asarray, drawn))


def detected_batches(
    scenes: SceneModel, recipes: Sequence[str], config: TrainingConfig
) -> Iterator[Faces]:
    """Batches without end of faces in whole photos, found by the detector and cut out as served.

    Args: as noisy_batches.
    """
    crop = compiled(lambda image, found: _crop(scenes, image, found, config.size))
    start = compiled(lambda key, batch: _start(scenes, key, batch, config))
    photos_in_turns = detections_in_turns(scenes, recipes, seed=config.seed)
    found = (each for each in photos_in_turns if is_found(each.errors_mm))
    for number in itertools.count():
        photos = list(itertools.islice(found, config.batch_size))
        crops = [crop(each.sample["image"][None], each.landmarks[None, _INNER]) for each in photos]
        grey, from_photo, landmarks = (np.concatenate(part) for part in zip(*crops, strict=True))
        true = np.stack([each.sample["face/landmarks_true"][_INNER] for each in photos])
        exact = np.asarray(transforms.apply_similarity(from_photo, true))
        truth = np.stack([each.sample["face/coefficients"] for each in photos])
        sigma = LANDMARK_NOISE_MM * camera.crop_px_per_mm(config.size)
        sigma_px = np.full(len(photos), sigma, np.float32)
        batch = OnlineBatch(grey, landmarks, truth, sigma_px)
        begun = np.asarray(start(np.array([config.seed, number], np.uint32), batch))
        yield Faces(np.asarray(_rounded(grey)), exact, truth, landmarks, begun)


def _crop(scenes: SceneModel, image, landmarks, size: int):
    crop_from_photo = crop_around(scenes.geometry, landmarks, size=size)
    inside = transforms.apply_similarity(crop_from_photo, landmarks)
    return grey_crop(image, crop_from_photo, size=size), crop_from_photo, inside


def _start(scenes: SceneModel, key, batch: OnlineBatch, config: TrainingConfig):
    return sample_starts(scenes.geometry, batch, DeviceStreams(key, config.batch_size), config)


def _rounded(grey):
    """Grey in [0, 1] as 8 bits."""
    return ops.cast(ops.round(255.0 * ops.clip(grey, 0.0, 1.0)), "uint8")
