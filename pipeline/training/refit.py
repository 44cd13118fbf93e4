"""Refits the network's last layer to newly sampled faces, on CPUs, in an hour or less.

Run as `facerelief refit`. Rounds of sampling faces, running the loop on them and solving for the
layer; the estimates of all rounds count.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterator

import numpy as np

from facemodel.backend import compiled
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.landmarks import INNER_51
from facemodel.morphable.model import MorphableModel
from facemodel.network import last_layer
from facemodel.network.pretrained import load_pretrained, weights_meta
from facemodel.network.regressor import IterativeRegressor
from facemodel.network.starts import sample_starts
from facemodel.network.training_config import TrainingConfig
from facemodel.network.weights import DEFAULT_WEIGHTS, read_weights, save_weights
from facemodel.synthesis.online import online_batch
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import SceneModel
from facemodel.synthesis.streams import DeviceStreams


class RefitError(ValueError):
    """Options that make no sense; the message names the option."""


@dataclasses.dataclass(frozen=True)
class RefitOptions:
    """One run.

    Attributes:
      out: the weights' file to write, .npz.
      init: Initial weights; the shipped ones if None.
      model: Face model's file; the default one if None.
      recipes: Recipes of the faces, in turns.
      faces: Number of faces in each round.
      rounds: Number of times that the layer is solved for.
      trust: Number of estimates that the initial layer counts as.
      config: batch size, size of the crops, shares of starts and seed.
    """

    out: pathlib.Path
    init: pathlib.Path | None = None
    model: pathlib.Path | None = None
    recipes: tuple[str, ...] = ("lifelike", "paper")
    faces: int = 3000
    rounds: int = 3
    trust: float = 5000.0
    config: TrainingConfig = TrainingConfig(batch_size=16, size=200)

    def __post_init__(self):
        limits = {"faces": self.faces, "rounds": self.rounds, "trust": self.trust}
        for name, value in limits.items():
            if not value > 0:
                raise RefitError(f"{name} should be above 0, got {value}")
        if not self.recipes:
            raise RefitError("at least one recipe is needed")

    @property
    def batches(self) -> int:
        """How many batches make a round."""
        return -(-self.faces // self.config.batch_size)


def run(options: RefitOptions, *, progress: Callable[[int], None] = lambda batches: None) -> None:
    """Fits the layer and writes the weights after each round, so that a stopped run leaves some.

    Args:
      options: Options of the run.
      progress: Called with the number of batches done.
    """
    model = MorphableModel.load(options.model)
    regressor = load_pretrained(
        model, weights=options.init, model_path=options.model, step_decay=1.0
    )
    _, begun_with = read_weights(options.init or DEFAULT_WEIGHTS)
    for number in refit_rounds(model, regressor, options, progress):
        facts = {
            "refit": {
                "faces": number * options.batches * options.config.batch_size,
                "rounds": number,
                "recipes": list(options.recipes),
                "trust": options.trust,
                "seed": options.config.seed,
            },
            "init": begun_with,
        }
        meta = weights_meta(
            model,
            options.model,
            iterations=regressor.iterations,
            provenance="pipeline.training.refit",
        )
        save_weights(regressor.network, options.out, meta | facts)


def refit_rounds(
    model: MorphableModel,
    regressor: IterativeRegressor,
    options: RefitOptions,
    progress: Callable[[int], None] = lambda batches: None,
    *,
    measured: LandmarkNoise | None = None,
) -> Iterator[int]:
    """Changes the regressor's last layer round by round; yields how many rounds are done.

    Args:
      model: Face model to sample from.
      regressor: Regressor of that face model.
      options: Options of the run; paths in it are not used.
      progress: Called with the number of batches done.
      measured: noise of the 51 inner landmarks; as measured if None.
    """
    noise = measured or LandmarkNoise.load().select(INNER_51)
    scenes = SceneModel.create(model)
    steps = [_make_step(scenes, regressor, recipe, noise, options) for recipe in options.recipes]
    layer = last_layer.get_layer(regressor.network)
    sums = last_layer.NormalEquations.empty(len(layer) - 1, layer.shape[1])
    for number in range(options.rounds):
        for batch in range(number * options.batches, (number + 1) * options.batches):
            key = np.array([options.config.seed, batch], np.uint32)
            sums = sums.add(*(np.asarray(part) for part in steps[batch % len(steps)](key)))
            progress(batch + 1)
        last_layer.set_layer(regressor.network, sums.solve(layer, trust=options.trust))
        yield number + 1


def _make_step(scenes: SceneModel, regressor, recipe: str, noise: LandmarkNoise, options):
    """Compiles: key [2] -> features and corrections of a batch of this recipe."""
    config, visit = SynthesisConfig.named(recipe), last_layer.make_visitor(regressor)

    def step(key):
        rng = DeviceStreams(key, options.config.batch_size)
        batch = online_batch(scenes, config, rng, noise, size=options.config.size)
        start = sample_starts(scenes.geometry, batch, rng, options.config)
        return visit(batch, start)

    return compiled(step)
