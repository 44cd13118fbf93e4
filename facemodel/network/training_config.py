"""The settings of training."""

from __future__ import annotations

import dataclasses
import math

from facemodel.config import ConfigError, Section, setting

ITERATIONS = 3
"""K, how often the loop corrects its estimate: paper section 5.1."""
STEP_DECAY = 0.5
"""Each iteration of the trained loop applies half as much of its correction as the one before."""
FAST_ITERATIONS, FAST_PRECISION, FAST_SUPERSAMPLE = 1, "mixed_bfloat16", 1
"""The fast profile: less than half of the time for up to 5 % more error."""
PRECISIONS = ("float32", "mixed_bfloat16")
"""What the network may compute in; the second is for a GPU or a CPU with AMX."""


def precision_problem(precision: str) -> str:
    """What is wrong with a network's precision; empty if it is one of PRECISIONS."""
    if precision in PRECISIONS:
        return ""
    return f"precision should be one of {', '.join(PRECISIONS)}, got {precision!r}"


@dataclasses.dataclass(frozen=True)
class TrainingConfig(Section):
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
      ConfigError: naming the field that is wrong.

    Source: paper section 6.2 for the mixtures; docs/training.md for the rest.
    """

    samples: int = setting(3_400_000, low=1, high=1e12)
    batch_size: int = setting(128, low=1, high=1e5)
    size: int = setting(100, low=16, high=4096)
    iterations: int = setting(ITERATIONS, low=1, high=20)
    learning_rate: float = setting(1e-3, low=1e-9, high=1.0)
    warmup_steps: int = setting(300, low=0, high=1e9)
    clip_norm: float = setting(5.0, low=1e-6, high=1e6)
    average_decay: float = setting(0.9995, low=0.0, high=0.999999)
    landmark_fit_starts: float = setting(0.5, low=0.0, high=1.0)
    zero_starts: float = setting(0.35, low=0.0, high=1.0)
    seed: int = setting(0, low=0, high=2**32 - 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.landmark_fit_starts + self.zero_starts > 1.0:
            raise ConfigError("zero_starts", "with landmark_fit_starts should be at most 1")

    @property
    def steps(self) -> int:
        """How many optimizer updates the samples make."""
        return math.ceil(self.samples / self.batch_size)
