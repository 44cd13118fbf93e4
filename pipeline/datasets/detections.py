"""Synthetic photos, and where the detector finds the faces in them."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from facemodel.backend import compiled
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.landmarks import INNER_51
from facemodel.synthesis import photos
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.samples import aligned_indices, make_samples
from facemodel.synthesis.scenes import SceneModel

BATCHES_APART = 1 << 20
"""Between the first batches of two recipes, so that one seed draws other people for each."""
OUTLIER_MM = 10.0
"""A detection whose 51 inner landmarks err more than this (RMS) found something else."""
_INNER = np.asarray(INNER_51)


def is_found(errors_mm: np.ndarray) -> np.ndarray:
    """[...] whether errors [..., 478, 2] mm at the face's scale are those of the face itself."""
    size = np.sqrt((errors_mm[..., _INNER, :] ** 2).mean((-2, -1)) * 2)
    return np.isfinite(size) & (size < OUTLIER_MM)


class Detection(NamedTuple):
    """A photo and its largest face.

    Attributes:
      sample: As make_samples gives it.
      landmarks: [478, 2] px as detected; NaN where no face was found.
    """

    sample: dict[str, Any]
    landmarks: np.ndarray

    @property
    def errors_mm(self) -> np.ndarray:
        """[478, 2] detected minus true landmarks, at the face's scale."""
        return (self.landmarks - self.sample["face/landmarks_true"]) / self.sample["pose/scale"]


def detections(
    scenes: SceneModel, config: SynthesisConfig, *, seed: int, first: int = 0
) -> Generator[Detection, None, None]:
    """Renders photos without end, and looks for the face in each.

    Args:
      scenes: Scene model to sample faces from.
      config: Ranges to sample from.
      seed: Random seed of the faces.
      first: Number of the batch of samples to begin with.
    """
    from serving.detection.detector import FaceDetector

    with FaceDetector(min_face_fraction=0.2, try_rotated=False) as detector:
        for sample in _samples(scenes, config, seed, first):
            faces = detector.detect(sample["image"])
            nowhere = np.full_like(sample["face/landmarks_true"], np.nan)
            yield Detection(sample, faces[0].landmarks if faces else nowhere)


def detections_in_turns(
    scenes: SceneModel, recipes: Sequence[str], *, seed: int
) -> Generator[Detection, None, None]:
    """Photos without end as detections gives them, one of each recipe in turns; no person twice."""
    with contextlib.ExitStack() as stack:
        sources = {}
        for number, recipe in enumerate(dict.fromkeys(recipes)):
            config, first = SynthesisConfig.named(recipe), number * BATCHES_APART
            found = detections(scenes, config, seed=seed, first=first)
            sources[recipe] = stack.enter_context(contextlib.closing(found))
        for recipe in itertools.cycle(recipes):
            yield next(sources[recipe])


def _samples(
    scenes: SceneModel, config: SynthesisConfig, seed: int, first: int
) -> Iterator[dict[str, Any]]:
    size, exact = config.image_size, LandmarkNoise.isotropic(0.0)
    render = compiled(lambda scene: photos.render_scene(scenes, scene, size=size))
    for batch in itertools.count(first):
        indices = aligned_indices(batch)
        yield from make_samples(scenes, config, exact, seed=seed, indices=indices, render=render)
