"""Fits the loop's last layers to newly sampled faces, in closed form, on CPUs.

Run as `facerelief refit`. Faces are sampled once; then the loop runs over all of them, one
iteration at a time, and each iteration's layers are solved for where the ones before have left it.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from facemodel.backend import compiled, prepare_jax
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.landmarks import INNER_51
from facemodel.morphable.model import MorphableModel
from facemodel.network import last_layer
from facemodel.network.heads import LoopHeads
from facemodel.network.last_layer import View
from facemodel.network.pretrained import load_pretrained, weights_meta
from facemodel.network.regressor import IterativeRegressor
from facemodel.network.training_config import TrainingConfig, precision_problem
from facemodel.network.weights import DEFAULT_WEIGHTS, read_weights, save_weights
from facemodel.synthesis.scenes import SceneModel
from pipeline.training.refit_faces import Faces, detected_batches, noisy_batches


class RefitError(ValueError):
    """Options that make no sense; the message names the option."""


@dataclasses.dataclass(frozen=True)
class RefitOptions:
    """One run.

    Attributes:
      out: the weights' file to write, .npz.
      init: Weights of the network; the shipped ones if None.
      model: Face model's file; the default one if None.
      recipes: Recipes of the faces, a batch of each in turns.
      faces: Number of faces.
      detected: Share of them that the detector finds in whole photos; the landmarks of the others
        have the noise that was measured of it.
      trust: Number of faces that the network's own last layer counts as.
      landmark_trust: Number of faces that "landmarks are right" counts as.
      share: how far the written layers go from the network's own one to the solved ones; what is
        best for rendered faces alone is too far for photos (decision 0011).
      precision: Precision of the network, float32, or mixed_bfloat16 for a GPU or a CPU with AMX.
      config: batch size, size of the crops, shares of starts and seed.
    """

    out: pathlib.Path
    init: pathlib.Path | None = None
    model: pathlib.Path | None = None
    recipes: tuple[str, ...] = ("varied", "lifelike", "varied", "paper")
    faces: int = 9000
    detected: float = 0.0
    trust: float = 10000.0
    landmark_trust: float = 100.0
    share: float = 0.5
    precision: str = "float32"
    config: TrainingConfig = TrainingConfig(
        batch_size=16, size=200, landmark_fit_starts=0.8, zero_starts=0.2
    )

    def __post_init__(self):
        for name in ("faces", "trust", "landmark_trust", "share"):
            if not getattr(self, name) > 0:
                raise RefitError(f"{name} should be above 0, got {getattr(self, name)}")
        if not 0.0 <= self.detected <= 1.0:
            raise RefitError(f"detected should be between 0 and 1, got {self.detected}")
        if problem := precision_problem(self.precision):
            raise RefitError(problem)
        if not self.recipes:
            raise RefitError("at least one recipe is needed")

    @property
    def batches(self) -> int:
        """How many batches the faces make."""
        return -(-self.faces // self.config.batch_size)


def run(options: RefitOptions, *, progress: Callable[[int, int], None] = lambda a, b: None) -> None:
    """Fits the layers and writes the weights after each iteration's, so a stopped run leaves some.

    Args:
      options: Options of the run.
      progress: Called with the number of batches done, and of how many.
    """
    prepare_jax()
    model = MorphableModel.load(options.model)
    regressor = load_pretrained(
        model, weights=options.init, model_path=options.model, precision=options.precision
    )
    _, begun_with = read_weights(options.init or DEFAULT_WEIGHTS)
    meta = weights_meta(
        model, options.model,
        iterations=regressor.iterations, provenance="pipeline.training.refit",
    )  # fmt: skip
    facts = {
        "refit": {
            "faces": options.batches * options.config.batch_size,
            "detected": options.detected,
            "recipes": list(options.recipes),
            "trust": options.trust,
            "landmark_trust": options.landmark_trust,
            "share": options.share,
            "precision": options.precision,
            "seed": options.config.seed,
        },
        "init": begun_with,
    }
    for heads in refit_heads(model, regressor, options, progress):
        save_weights(regressor.network, options.out, meta | facts, heads=heads)


def refit_heads(
    model: MorphableModel,
    regressor: IterativeRegressor,
    options: RefitOptions,
    progress: Callable[[int, int], None] = lambda a, b: None,
    *,
    measured: LandmarkNoise | None = None,
) -> Iterator[LoopHeads]:
    """Solves for the layers of one iteration after the other; yields those found so far.

    Args:
      model: Face model to sample from.
      regressor: Regressor of that face model; its own heads are not used.
      options: Options of the run; paths in it are not used.
      progress: Called with the number of batches done, and of how many.
      measured: noise of the 51 inner landmarks; as measured if None.
    """
    noise = measured or LandmarkNoise.load().select(INNER_51)
    total, done = (1 + regressor.iterations) * options.batches, 0
    drawn = []
    for part in _sample(SceneModel.create(model), noise, options):
        drawn.append(part)
        progress(done := done + 1, total)
    faces = Faces(*map(np.concatenate, zip(*drawn, strict=True)))
    view, own = compiled(last_layer.make_viewer(regressor)), last_layer.get_layer(regressor.network)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for k in range(regressor.iterations):
        views = []
        for part in _slices(faces, options.config.batch_size):
            views.append(_look(view, part))
            progress(done := done + 1, total)
        seen = View(*map(np.concatenate, zip(*views, strict=True)))
        found.append(
            last_layer.solve_heads(
                seen,
                faces.truth - faces.estimate,
                (faces.exact - faces.landmarks) / seen.scale[:, None, None],
                own,
                trust=options.trust,
                landmark_trust=options.landmark_trust,
            )
        )
        heads = LoopHeads(*(np.stack(layers).astype(np.float32) for layers in zip(*found)))
        faces = _advance(faces, seen, heads, k, share=regressor.step_decay**k)
        held = own + options.share * (heads.corrections - own)
        yield heads._replace(corrections=held.astype(np.float32))


def _sample(scenes: SceneModel, noise: LandmarkNoise, options: RefitOptions) -> Iterator[Faces]:
    """As many batches as the options say, those with real detections last."""
    config, detected = options.config, round(options.detected * options.batches)
    noisy = noisy_batches(scenes, noise, options.recipes, config)
    yield from itertools.islice(noisy, options.batches - detected)
    yield from itertools.islice(detected_batches(scenes, options.recipes, config), detected)


def _slices(faces: Faces, size: int) -> Iterator[Faces]:
    for first in range(0, len(faces.truth), size):
        yield Faces(*(field[first : first + size] for field in faces))


def _look(view, faces: Faces) -> View:
    seen = view(faces.grey.astype(np.float32) / 255.0, faces.landmarks, faces.estimate)
    return View(*map(np.asarray, seen))


def _advance(faces: Faces, seen: View, heads: LoopHeads, k: int, *, share: float) -> Faces:
    """The faces after iteration k, which applies that share of its correction."""
    step, moved_mm = (np.asarray(part) for part in heads.correct(k, seen.features, seen.residuals))
    return faces._replace(
        estimate=faces.estimate + np.float32(share) * step,
        landmarks=faces.landmarks + seen.scale[:, None, None] * moved_mm,
    )
