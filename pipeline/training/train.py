"""Trains the regressor on faces generated on the fly or on records, and writes its weights.

`facerelief train` runs it. So does `python -m pipeline.training.train`, which needs no more than
keras, jax, numpy and scipy, and takes the fields of TrainOptions as name=value:

    KERAS_BACKEND=jax python -m pipeline.training.train out=out/a precision=mixed_bfloat16

docs/training.md says how long that takes and what it reaches.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import logging
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from facemodel.backend import backend_name, prepare_jax
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.landmarks import INNER_51
from facemodel.morphable.model import MorphableModel
from facemodel.network import checkpoints, schedule, training
from facemodel.network.pretrained import create_regressor, weights_meta
from facemodel.network.progress import LogProgress
from facemodel.network.training import RegressorTrainer
from facemodel.network.training_config import TrainingConfig, precision_problem
from facemodel.network.weights import save_weights
from facemodel.synthesis.online import OnlineBatch, online_batch
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import SceneModel
from facemodel.synthesis.streams import DeviceStreams
from pipeline.training.progress import ShowProgress, StopEarly

WEIGHTS_NAME = "regressor_float16.npz"

_log = logging.getLogger("pipeline.training.train")  # also as __main__


class TrainError(ValueError):
    """Options that make no sense together, or an output folder that holds another run."""


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """One training run.

    Attributes:
      out: Folder for checkpoints, curve.csv and the weights.
      config: Training hyperparameters.
      data: Folder with records; faces are generated on the fly if None.
      recipes: Recipes of faces generated on the fly; each makes as much of every batch as it is
        named often.
      model: Face model's file; the default one if None.
      init: Initial weights; untrained if None.
      initial_share: Share of the initial weights in those that are written; the rest are the
        trained ones. A network between the two keeps more of what it knew of other faces than
        those of this training (Wortsman et al., "Robust fine-tuning of zero-shot models", 2022).
      minutes: How long to train at most, even if samples are left: the learning rate falls to
        zero over this time; over the samples alone if None.
      precision: Precision of the network: float32, or mixed_bfloat16 for a GPU or a CPU with AMX.
      resume: True to resume the run in the folder.
      steps_per_round: Steps between two points of the curve.
    """

    out: pathlib.Path
    config: TrainingConfig = dataclasses.field(default_factory=TrainingConfig)
    data: pathlib.Path | None = None
    recipes: tuple[str, ...] = ("lifelike",)
    model: pathlib.Path | None = None
    init: pathlib.Path | None = None
    initial_share: float = 0.0
    minutes: float | None = None
    precision: str = "float32"
    resume: bool = False
    steps_per_round: int = 50

    @property
    def checkpoint_folder(self) -> pathlib.Path:
        """Where the checkpoints are."""
        return self.out / "checkpoints"

    def check(self) -> None:
        """Raises TrainError unless this run can start."""
        if problem := precision_problem(self.precision):
            raise TrainError(problem)
        if self.data and backend_name() != "tensorflow":
            raise TrainError("records are read by TensorFlow; on another backend train online")
        if not 0.0 <= self.initial_share < 1.0:
            raise TrainError(f"initial_share should lie in [0, 1), got {self.initial_share}")
        if not self.data:
            self._check_recipes()
        if self.initial_share and not self.init:
            raise TrainError("initial_share needs initial weights")
        if self.minutes is not None and self.minutes <= 0:
            raise TrainError(f"minutes should be above 0, got {self.minutes}")
        found = checkpoints.checkpoint_steps(self.checkpoint_folder)
        if found and not self.resume:
            raise TrainError(f"{self.out}: holds a training run; --resume goes on with it")
        if self.resume and not found:
            raise TrainError(f"{self.out}: holds no checkpoint to resume from")

    def _check_recipes(self) -> None:
        if not self.recipes or self.config.batch_size % len(self.recipes):
            raise TrainError(
                f"batch_size should be a multiple of the number of recipes, got "
                f"{self.config.batch_size} and {len(self.recipes)}"
            )
        for name in self.recipes:
            SynthesisConfig.named(name)


def run(options: TrainOptions, *, model: MorphableModel | None = None) -> pathlib.Path:
    """Trains, and writes checkpoints, the curve and the weights.

    Args:
      options: Options of the run.
      model: the face model; read from options.model if None.

    Returns:
      The weights' path.

    Raises:
      TrainError, ConfigError: if the options make no sense.
      WeightsError, ModelError, CheckpointError: if a file cannot be used.
    """
    options.check()
    options.out.mkdir(parents=True, exist_ok=True)
    model = model or MorphableModel.load(options.model)
    trainer = build_trainer(model, options)
    start = int(trainer.step.value)
    batches = None
    if options.data:
        from components.records.batches import record_batches

        batches = record_batches(options.data, model, options.config, skip=start)
    training.train(
        trainer,
        batches=batches,
        callbacks=_callbacks(options),
        steps_per_round=options.steps_per_round,
    )
    return _write_weights(trainer, model, options)


def build_trainer(model: MorphableModel, options: TrainOptions) -> RegressorTrainer:
    """Builds network, loop and optimizer, and puts in initial weights or the last checkpoint."""
    prepare_jax()
    keras.utils.set_random_seed(options.config.seed)
    scenes = SceneModel.create(model)
    regressor = create_regressor(
        model,
        weights=options.init,
        model_path=options.model,
        iterations=options.config.iterations,
        precision=options.precision,
        geometry=scenes.geometry,
    )
    sample_batch = None if options.data else _sampler(scenes, options)
    trainer = training.create_trainer(
        regressor,
        options.config,
        sample_batch=sample_batch,
        timed=options.minutes is not None,
    )
    if options.resume:
        found = checkpoints.restore_newest(trainer, options.checkpoint_folder)
        _log.info("resuming from %s", found)
        if options.minutes is not None and float(trainer.fallen) > schedule.ENDED:
            raise TrainError(f"{options.out}: this run has ended; train further with its weights")
    return trainer


def _sampler(scenes: SceneModel, options: TrainOptions) -> Callable:
    recipes = [
        (SynthesisConfig.named(name), count)
        for name, count in collections.Counter(options.recipes).items()
    ]
    measured, size = LandmarkNoise.load().select(INNER_51), options.config.size

    def sample_batch(rng: DeviceStreams) -> OnlineBatch:
        share = rng.batch // len(options.recipes)
        parts = [
            online_batch(scenes, recipe, rng.part(number, count * share), measured, size=size)
            for number, (recipe, count) in enumerate(recipes)
        ]
        return OnlineBatch(*(ops.concatenate(part) for part in zip(*parts, strict=True)))

    return sample_batch


def _callbacks(options: TrainOptions) -> list[keras.callbacks.Callback]:
    limit_s = float("inf") if options.minutes is None else 60.0 * options.minutes
    found: list[keras.callbacks.Callback] = [
        *([] if options.minutes is None else [schedule.FallOverTime(limit_s)]),
        StopEarly(limit_s),
        checkpoints.WriteCurve(options.out / "curve.csv"),
        checkpoints.KeepCheckpoints(options.checkpoint_folder),
        ShowProgress() if sys.stderr.isatty() else LogProgress(_log),
    ]
    # On JAX this callback would make every step wait for the one before.
    if backend_name() == "tensorflow":
        folder = str(options.out / "tensorboard")
        found.append(keras.callbacks.TensorBoard(folder, write_graph=False))
    return found


def _write_weights(
    trainer: RegressorTrainer, model: MorphableModel, options: TrainOptions
) -> pathlib.Path:
    config, step = options.config, int(trainer.step.value)
    facts = {
        "samples": step * config.batch_size,
        "training": dataclasses.asdict(config),
        "recipes": None if options.data else list(options.recipes),
        "data": options.data and options.data.name,
        "init": options.init and options.init.name,
        "initial_share": options.initial_share,
        "minutes": options.minutes,
        "precision": options.precision,
        "backend": backend_name(),
    }
    meta = weights_meta(
        model, options.model, iterations=config.iterations, provenance="pipeline.training.train"
    )
    path = options.out / WEIGHTS_NAME
    network = trainer.regressor.network
    if options.initial_share:
        initial = create_regressor(
            model, weights=options.init, model_path=options.model,
            geometry=trainer.regressor.geometry,
        )  # fmt: skip
        average_weights(network, initial.network, options.initial_share)
    save_weights(network, path, meta | facts)
    _log.info("%s: after %d of %d steps", path, step, config.steps)
    return path


def average_weights(network: keras.Model, other: keras.Model, share: float) -> None:
    """Moves a network's weights, averages of normalisations included, towards another's.

    Args:
      network: Changed in place.
      other: of the same layers.
      share: how far, from 0 (not at all) to 1.
    """
    pairs = zip(network.get_weights(), other.get_weights(), strict=True)
    network.set_weights([(1.0 - share) * own + share * others for own, others in pairs])


def parse_options(arguments: list[str]) -> TrainOptions:
    """Reads name=value arguments; names are those of TrainOptions and TrainingConfig.

    Raises:
      TrainError: for an unknown name or a value of the wrong type.
    """
    values: dict[str, Any] = {}
    for argument in arguments:
        name, _, text = argument.partition("=")
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    inner = {field.name for field in dataclasses.fields(TrainingConfig)}
    outer = {field.name for field in dataclasses.fields(TrainOptions)} - {"config"}
    if unknown := sorted(set(values) - inner - outer):
        raise TrainError(f"unknown option: {', '.join(unknown)}")
    if "out" not in values:
        raise TrainError("out=FOLDER is needed")
    config = TrainingConfig(**{name: values.pop(name) for name in sorted(inner & set(values))})
    if "recipes" in values:
        values["recipes"] = tuple(str(values["recipes"]).split(","))
    paths = ("out", "data", "model", "init")
    values |= {name: pathlib.Path(values[name]) for name in paths if values.get(name)}
    return TrainOptions(config=config, **values)


def show_log() -> None:
    """Writes what this module logs, and the warnings of others, to standard error."""
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("pipeline.training").setLevel(logging.INFO)


def main(arguments: list[str]) -> int:
    """Runs `python -m pipeline.training.train`; returns the exit code."""
    show_log()
    try:
        run(parse_options(arguments))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
