"""Checkpoints of a training run, from which it resumes exactly, and its curve as a CSV file."""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
import os
import pathlib
import re
import time
import zipfile
from typing import Any

import keras
import numpy as np

from facemodel.files import atomic_path
from facemodel.network.training import RegressorTrainer

_PATTERN = re.compile(r"step-(\d{8})\.npz")
_CONFIG = "config"
_log = logging.getLogger(__name__)


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or that belongs to another training run."""


class BrokenCheckpoint(CheckpointError):
    """A checkpoint that cannot be read."""


def checkpoint_steps(directory: str | os.PathLike[str]) -> dict[int, pathlib.Path]:
    """The complete checkpoints in a directory: step -> file, oldest first."""
    paths = pathlib.Path(directory).glob("*.npz")
    found = ((_PATTERN.fullmatch(path.name), path) for path in paths)
    steps = {int(match[1]): path for match, path in found if match}
    return dict(sorted(steps.items()))


def save_checkpoint(
    trainer: RegressorTrainer, directory: str | os.PathLike[str], *, keep: int = 3
) -> pathlib.Path:
    """Writes everything that a run needs to resume.

    That is the weights, their exponential moving average, the optimizer's state and the step.
    The file is written atomically; the oldest beyond `keep` are deleted.
    """
    directory = pathlib.Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"step-{trainer.steps_done:08d}.npz"
    arrays = {name: keras.ops.convert_to_numpy(value) for name, value in _state(trainer).items()}
    arrays[_CONFIG] = np.array(json.dumps(dataclasses.asdict(trainer.config), sort_keys=True))
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    for old in list(checkpoint_steps(directory).values())[:-keep]:
        old.unlink()
    return path


def restore_checkpoint(trainer: RegressorTrainer, path: str | os.PathLike[str]) -> None:
    """Puts a trainer back where it was.

    Raises:
      CheckpointError: if the file is broken, or was written with another config or network.
    """
    try:
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
        config = json.loads(str(arrays.pop(_CONFIG)))
    except (zipfile.BadZipFile, KeyError, OSError, ValueError, EOFError) as error:
        raise BrokenCheckpoint(f"{path}: not a checkpoint ({error})") from error
    _check_config(path, config, dataclasses.asdict(trainer.config))
    state = _state(trainer)
    if set(arrays) != set(state):
        raise CheckpointError(
            f"{path}: belongs to another network, or to a run with a time where this one has none, "
            "or without where this one has"
        )
    for name, variable in state.items():
        if arrays[name].shape != tuple(variable.shape):
            raise CheckpointError(
                f"{path}: {name} is {arrays[name].shape}, the trainer's is {tuple(variable.shape)}"
            )
    for name, variable in state.items():
        variable.assign(arrays[name])


def restore_newest(
    trainer: RegressorTrainer, directory: str | os.PathLike[str]
) -> pathlib.Path | None:
    """Puts a trainer back to the newest checkpoint that can be read.

    Args:
      trainer: Trainer from training.create_trainer.
      directory: Folder with its checkpoints.

    Returns:
      The checkpoint; None if there is none, and the trainer is as it was.

    Raises:
      CheckpointError: if there are some and none can be read, or one belongs to another run.
    """
    broken: BrokenCheckpoint | None = None
    for path in reversed(checkpoint_steps(directory).values()):
        try:
            restore_checkpoint(trainer, path)
        except BrokenCheckpoint as error:
            _log.warning("%s; trying the one before", error)
            broken = broken or error
            continue
        return path
    if broken:
        raise broken
    return None


def _state(trainer: RegressorTrainer) -> dict[str, Any]:
    """Every variable on which further steps depend, by a stable name."""
    parts = {"model": trainer.weights, "optimizer": trainer.optimizer.variables}
    return {f"{part}/{k:04d}": v for part, group in parts.items() for k, v in enumerate(group)}


def _check_config(path, saved: dict[str, Any], current: dict[str, Any]) -> None:
    for name in sorted(set(saved) | set(current)):
        if saved.get(name) != current.get(name):
            raise CheckpointError(
                f"{path}: written with {name} {saved.get(name)}, now it is {current.get(name)}"
            )


class KeepCheckpoints(keras.callbacks.Callback):
    """Writes a checkpoint after a round, at most once in so many seconds, and always at the end.

    Args:
      directory: Folder for them.
      every_s: Least time between two, seconds.
      keep: Number of checkpoints to keep.
    """

    def __init__(self, directory: str | os.PathLike[str], *, every_s: float = 120.0, keep: int = 3):
        super().__init__()
        self._directory, self._every_s, self._keep = pathlib.Path(directory), every_s, keep

    def on_train_begin(self, logs=None):
        self._last = time.monotonic()
        for half in self._directory.glob(".step-*.part"):  # of a killed process
            half.unlink()

    def on_epoch_end(self, epoch, logs=None):
        due = time.monotonic() - self._last >= self._every_s
        if due or self.model.stop_training:
            save_checkpoint(self.model, self._directory, keep=self._keep)
            self._last = time.monotonic()


class WriteCurve(keras.callbacks.Callback):
    """Appends a row for each round to a CSV file.

    Its columns are step, samples, samples_per_s, loss and rms_0 .. rms_K.
    Rows after the step at which training starts are dropped, so that a resumed run leaves one
    curve.
    """

    def __init__(self, path: str | os.PathLike[str]):
        super().__init__()
        self._path = pathlib.Path(path)

    def on_train_begin(self, logs=None):
        self._step = self.model.steps_done
        rows = list(csv.DictReader(self._path.open())) if self._path.exists() else []
        self._rows = [row for row in rows if int(row["step"]) <= self._step]
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        step, batch_size = self.model.steps_done, self.model.config.batch_size
        rate = (step - self._step) * batch_size / (time.monotonic() - self._began)
        row = {"step": step, "samples": step * batch_size, "samples_per_s": f"{rate:.1f}"}
        row |= {name: f"{float(value):.4f}" for name, value in (logs or {}).items()}
        self._rows.append(row)
        self._step = step
        with atomic_path(self._path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            writer.writeheader()
            writer.writerows(self._rows)
