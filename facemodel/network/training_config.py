"""The settings of training."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

ITERATIONS = 3
"""K, how often the loop corrects its estimate: paper section 5.1."""
PRECISIONS = ("float32", "mixed_bfloat16")
"""What the network may compute in; the second is for a GPU."""


class TrainingConfigError(ValueError):
    """A training configuration that makes no sense; the message names the field."""


@dataclasses.dataclass(frozen=True)
class TrainingConfig:
    """How the regressor is trained.

    Attributes:
      samples: faces to train on in all; the learning rate falls to zero over them.
      batch_size: faces in a step.
      size: Side of the crops, px.
      iterations: K, how often the loop runs in a step.
      learning_rate: Adam's peak rate, reached after warmup_steps, then falling along a cosine.
      warmup_steps: steps over which it rises.
      clip_norm: largest norm of each variable's gradient.
      average_decay: Decay of the weights' exponential moving average, which training returns.
      landmark_fit_starts: share of faces whose loop starts at the landmark fit.
      zero_starts: share whose loop starts at the mean face; the rest start between a random face
        and the ground truth.
      seed: Random seed.

    Raises:
      TrainingConfigError: naming the field that is wrong.

    Source: paper section 6.2 for the mixtures; docs/training.md for the rest.
    """

    samples: int = 3_400_000
    batch_size: int = 128
    size: int = 100
    iterations: int = ITERATIONS
    learning_rate: float = 1e-3
    warmup_steps: int = 300
    clip_norm: float = 5.0
    average_decay: float = 0.9995
    landmark_fit_starts: float = 0.5
    zero_starts: float = 0.35
    seed: int = 0

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _check_field(field.name, str(field.type), getattr(self, field.name))
        if self.landmark_fit_starts + self.zero_starts > 1.0:
            raise TrainingConfigError("landmark_fit_starts + zero_starts should be at most 1")

    @property
    def steps(self) -> int:
        """How many optimizer updates the samples make."""
        return math.ceil(self.samples / self.batch_size)


LIMITS: dict[str, tuple[float, float]] = {
    "samples": (1, 1e12),
    "batch_size": (1, 1e5),
    "size": (16, 4096),
    "iterations": (1, 20),
    "learning_rate": (1e-9, 1.0),
    "warmup_steps": (0, 1e9),
    "clip_norm": (1e-6, 1e6),
    "average_decay": (0.0, 0.999999),
    "landmark_fit_starts": (0.0, 1.0),
    "zero_starts": (0.0, 1.0),
    "seed": (0, 2**32 - 1),
}
"""Least and largest value of each field."""


def _check_field(name: str, kind: str, value: Any) -> None:
    low, high = LIMITS[name]
    number = isinstance(value, int if kind == "int" else (int, float))
    if isinstance(value, bool) or not number or not low <= value <= high:
        raise TrainingConfigError(f"{name} should be {kind} in [{low:g}, {high:g}], got {value!r}")
