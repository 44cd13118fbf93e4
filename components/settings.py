"""Settings of each step of the pipeline; pipeline/config.py puts the sections together."""

from __future__ import annotations

import dataclasses

from facemodel.config import Section, setting, with_default
from facemodel.network.training_config import PRECISIONS, STEP_DECAY, TrainingConfig
from facemodel.saved_model.metadata import ExportConfig
from facemodel.synthesis.recipes import RECIPES

SLICES = ("yaw", "expression", "skin_tone", "light")
SPLITS = ("train", "eval", "test")


@dataclasses.dataclass(frozen=True)
class DataSettings(Section):
    """The data set.

    Attributes:
      face_model: default, tiny (made up, for tests), or the path of an .npz file.
      recipe: Recipe of the synthetic faces, paper, lifelike or varied.
      seed: Random seed of the data set; sample i depends on (seed, i) alone.
      train, eval, test: samples in each split, neighbouring indices in this order.
      image_size: Side of the images, px.
      shard_samples: about how many samples a file holds.
    """

    face_model: str = "default"
    recipe: str = setting("paper", choices=RECIPES)
    seed: int = setting(1, low=0, high=2**32 - 1)
    train: int = setting(256, low=1, high=1e9)
    eval: int = setting(64, low=1, high=1e9)
    test: int = setting(32, low=1, high=1e9)
    image_size: int = setting(256, low=32, high=4096)
    shard_samples: int = setting(512, low=8, high=1e6)


@dataclasses.dataclass(frozen=True)
class TrainerSettings(TrainingConfig):
    """Training: a TrainingConfig with smaller defaults, and what surrounds it.

    Attributes:
      level: Subdivision level of the mesh that the loop renders.
      init: Initial weights: shipped (those in the package), none (untrained), or the path of an
        .npz file.
      precision: Precision of the network, float32 or mixed_bfloat16 (for a GPU or a CPU with AMX).
      strategy: Strategy of tf.distribute: none, or mirrored (all devices of one machine).
      steps_per_round: Steps between two points of the curve.
      checkpoint_seconds: Least time between two checkpoints, s.
    """

    samples: int = with_default(TrainingConfig, "samples", 256)
    batch_size: int = with_default(TrainingConfig, "batch_size", 16)
    level: int = setting(1, low=0, high=2)
    init: str = "shipped"
    precision: str = setting("float32", choices=PRECISIONS)
    strategy: str = setting("none", choices=("none", "mirrored"))
    steps_per_round: int = setting(10, low=1, high=1e6)
    checkpoint_seconds: float = setting(120.0, low=0.0, high=86400.0)


@dataclasses.dataclass(frozen=True)
class ExportSettings(ExportConfig):
    """The SavedModel: an ExportConfig, and what lies beside its graph.

    Attributes:
      level: Subdivision level of the output mesh.
      warmup_requests: Number of faces in the warm-up requests, from the eval split; 0 for none.
      step_decay: How much of its correction each iteration applies, of what the one before did.
    """

    level: int = setting(1, low=0, high=2)
    warmup_requests: int = setting(2, low=0, high=100)
    step_decay: float = setting(STEP_DECAY, low=0.01, high=1.0)


@dataclasses.dataclass(frozen=True)
class EvaluatorSettings(Section):
    """When a model is good enough.

    Attributes:
      split: Split on which it is evaluated.
      slices: Slices of the data, each evaluated on its own.
      max_error_mm: most mean vertex error over all faces that the last iteration may have.
      max_worsening_mm: most that it may be above that of the model that is served.
      max_slice_worsening_mm: the same for each slice, some of which have few faces.
    """

    split: str = setting("eval", choices=SPLITS)
    slices: tuple[str, ...] = setting(SLICES, choices=SLICES)
    max_error_mm: float = setting(2.5, low=0.0, high=1e6)
    max_worsening_mm: float = setting(0.05, low=0.0, high=1e6)
    max_slice_worsening_mm: float = setting(0.5, low=0.0, high=1e6)


@dataclasses.dataclass(frozen=True)
class InfraValidatorSettings(Section):
    """Asking the model server.

    Attributes:
      requests: faces of the eval split that are sent.
      start_seconds: Time within which the server has to take requests, s.
      request_seconds: Time within which it has to answer each, s.
    """

    requests: int = setting(4, low=1, high=1000)
    start_seconds: float = setting(300.0, low=1.0, high=86400.0)
    request_seconds: float = setting(60.0, low=1.0, high=3600.0)


@dataclasses.dataclass(frozen=True)
class ReportSettings(Section):
    """The page about a model.

    Attributes:
      split: Split whose faces are shown.
      faces: Number of faces reconstructed for it, from the split's beginning.
      shown: Number of the best and of the worst faces that are rendered.
    """

    split: str = setting("test", choices=SPLITS)
    faces: int = setting(32, low=1, high=1e6)
    shown: int = setting(4, low=1, high=100)


@dataclasses.dataclass(frozen=True)
class ReconstructionSettings(Section):
    """The optional last step: faces of a split as a file of coefficients.

    Attributes:
      enabled: True if the step is part of the pipeline.
      split: Split that is reconstructed.
      batch_size: faces at a time.
    """

    enabled: bool = False
    split: str = setting("test", choices=SPLITS)
    batch_size: int = setting(8, low=1, high=1e4)
