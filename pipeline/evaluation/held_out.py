"""How accurate is the network? Errors in mm on held-out synthetic faces, beside the landmark fit.

Run as `facerelief evaluate`; 1000 faces take about six minutes on two cores.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from facemodel import camera
from facemodel.backend import compiled, prepare_jax
from facemodel.evaluation.inner_face import InnerFaceErrors
from facemodel.fitting.landmark_fit import landmark_fit
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.landmarks import INNER_51
from facemodel.morphable.model import MorphableModel
from facemodel.network.folding import for_inference
from facemodel.network.regressor import IterativeRegressor
from facemodel.synthesis import slices
from facemodel.synthesis.distributions import Range
from facemodel.synthesis.online import online_batch_and_exact
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.samples import scene_features
from facemodel.synthesis.scenes import Scene, SceneModel, sample_scene
from facemodel.synthesis.streams import PhiloxStreams, RandomStreams
from pipeline.evaluation.breakdown import by_group, by_part
from pipeline.evaluation.error_table import Evaluation, summarise
from pipeline.evaluation.face_parts import PartErrors, part_errors, part_of

HELD_OUT_SEED = 20_161_025
"""Training samples from other seeds (0 by default); faces of this one are only ever evaluated."""
EXACT_SIGMA_MM = 0.3
"""Noise that the landmark fit assumes for exact landmarks; zero would overfit the model."""

MEAN_FACE = "mean face"
FIT_EXACT = "landmark fit, exact landmarks"
FIT_NOISY = "landmark fit, detector noise"
FROM_ZERO = "network from zero, iteration {}"
FROM_FIT = "network from landmark fit, iteration {}"


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """A batch of faces with known geometry.

    Attributes:
      grey: [B, S, S] crop in [0, 1].
      landmarks: [B, 51, 2] px in the crop, with a detector's noise.
      landmarks_exact: [B, 51, 2] px in the same crop, without.
      sigma_px: [B] standard deviation of that noise, px.
      coefficients: [B, n] ground truth.
    """

    grey: np.ndarray
    landmarks: np.ndarray
    landmarks_exact: np.ndarray
    sigma_px: np.ndarray
    coefficients: np.ndarray


def sample_held_out(
    model: SceneModel,
    config: SynthesisConfig,
    rng: RandomStreams,
    measured: LandmarkNoise,
    *,
    size: int,
) -> HeldOut:
    """Samples and renders faces in their crops, with the landmarks both as detected and exact.

    Args:
      model: Face model to sample from.
      config: the ranges.
      rng: Random streams; they set the batch size.
      measured: noise of the 51 inner landmarks.
      size: px, side of the crop.
    """
    batch, exact = online_batch_and_exact(model, config, rng, measured, size=size)
    return HeldOut(**batch._asdict(), landmarks_exact=exact)


@dataclasses.dataclass(frozen=True, eq=False)
class FaceErrors:
    """What was measured on one face.

    Attributes:
      groups: kind of group -> the one that the face is in.
      errors: method -> errors in mm, in the order of the table.
    """

    groups: dict[str, str]
    errors: dict[str, PartErrors]


class Evaluator:
    """Estimates faces by every method and measures the errors on the inner face."""

    def __init__(self, model: MorphableModel, regressor: IterativeRegressor):
        geometry = regressor.geometry
        self._inner, self._parts = InnerFaceErrors(model), part_of(model)
        loop = for_inference(regressor)
        self._run = compiled(lambda inputs: loop(inputs, training=False))
        self._fit = compiled(lambda pixels, sigma: landmark_fit(geometry, pixels, sigma))

    def errors(self, batch: HeldOut) -> list[dict[str, PartErrors]]:
        """Of each face, method -> errors, in the order of the table."""
        truth = self._inner.vertices(batch.coefficients)
        found = {m: self._inner.vertices(one) for m, one in self._estimates(batch).items()}
        return [
            {m: part_errors(faces[k], true, self._parts) for m, faces in found.items()}
            for k, true in enumerate(truth)
        ]

    def _estimates(self, batch: HeldOut) -> dict[str, np.ndarray]:
        zeros = np.zeros_like(batch.coefficients)
        exact_px = np.full_like(
            batch.sigma_px, EXACT_SIGMA_MM * camera.crop_px_per_mm(batch.grey.shape[1])
        )
        fit = self._fit(batch.landmarks, batch.sigma_px)
        estimates = {
            MEAN_FACE: zeros,
            FIT_EXACT: self._fit(batch.landmarks_exact, exact_px),
            FIT_NOISY: fit,
        }
        for name, start in ((FROM_ZERO, zeros), (FROM_FIT, fit)):
            inputs = {"grey": batch.grey, "landmarks": batch.landmarks, "start": start}
            for k, estimate in enumerate(np.moveaxis(np.asarray(self._run(inputs)), 1, 0)):
                estimates[name.format(k)] = estimate
        return estimates


def evaluate(
    model: MorphableModel,
    regressor: IterativeRegressor,
    measured: LandmarkNoise,
    *,
    count: int = 1000,
    seed: int = HELD_OUT_SEED,
    recipe: str = "paper",
    batch_size: int = 8,
    size: int = camera.CROP_SIZE,
) -> Iterator[list[FaceErrors]]:
    """Evaluates batch by batch, so that callers can show progress.

    Args:
      model: the face model.
      regressor: the loop with trained weights.
      measured: noise of all 478 landmarks.
      count: Number of faces.
      seed: face i depends on (seed, i) alone.
      recipe: Recipe of the synthetic faces; landmarks always have exactly the measured noise.
      batch_size: faces at a time; the last batch may have more, which are dropped.
      size: px, side of the crops.

    Yields:
      The faces of each batch.

    Raises:
      ValueError: if count is not positive.
    """
    if count < 1:
        raise ValueError(f"count should be at least 1, got {count}")
    prepare_jax()
    config = SynthesisConfig.named(recipe, landmark_noise=Range(1.0, 1.0))
    scenes, inner = SceneModel.create(model), measured.select(INNER_51)
    evaluator = Evaluator(model, regressor)
    for first in range(0, count, batch_size):
        rng = PhiloxStreams(seed, range(first, first + batch_size))
        batch = sample_held_out(scenes, config, rng, inner, size=size)
        arrays = {field: np.asarray(value) for field, value in vars(batch).items()}
        errors = evaluator.errors(HeldOut(**arrays))
        groups = _groups(scenes, sample_scene(scenes, config, rng, size=size))
        yield [FaceErrors(*pair) for pair in zip(groups, errors)][: count - first]


def _groups(model: SceneModel, scene: Scene) -> list[dict[str, str]]:
    """Which group of each kind each face is in: yaw, expression, skin tone, light."""
    features = scene_features(model, scene)
    bins = {name: np.asarray(features[name]) for name in slices.BIN_NAMES}
    return [
        {_kind(name): slices.BIN_NAMES[name][numbers[k]] for name, numbers in bins.items()}
        for k in range(len(next(iter(bins.values()))))
    ]


def _kind(name: str) -> str:
    return name.removeprefix("slice/").removesuffix("_bin").replace("_", " ")


ORDERS = {_kind(name): names for name, names in slices.BIN_NAMES.items()}
"""Groups in their order, by kind."""


def means(faces: Sequence[FaceErrors]) -> dict[str, np.ndarray]:
    """Method -> [N] mm over the inner face."""
    methods = faces[0].errors if faces else ()
    return {method: np.array([face.errors[method].mean for face in faces]) for method in methods}


def run(
    *,
    count: int,
    weights: pathlib.Path | None,
    model_path: pathlib.Path | None,
    recipe: str,
    seed: int = HELD_OUT_SEED,
    batch_size: int = 8,
) -> Evaluation:
    """Loads model, weights and measured noise, and evaluates with a progress bar."""
    from rich.progress import track

    from facemodel.network.pretrained import load_pretrained

    model = MorphableModel.load(model_path)
    regressor = load_pretrained(model, weights=weights, model_path=model_path)
    batches = evaluate(
        model, regressor, LandmarkNoise.load(),
        count=count, seed=seed, recipe=recipe, batch_size=batch_size,
    )  # fmt: skip
    total = -(-count // batch_size)
    faces = list(chain.from_iterable(track(batches, "Evaluating", total=total, transient=True)))
    methods = (MEAN_FACE, FIT_NOISY, FROM_FIT.format(regressor.iterations))
    return Evaluation(
        rows=summarise(means(faces)),
        breakdown=(by_part(faces, methods), *by_group(faces, methods, ORDERS)),
        faces=count,
        seed=seed,
        recipe=recipe,
        model=f"{model.name} {model.version}",
        weights=str(weights.name if weights else "shipped"),
    )
