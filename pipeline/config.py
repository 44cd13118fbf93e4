"""The configuration of the pipeline: one tree of sections, two profiles, YAML and overrides.

    config = load(profile="small", file=path, overrides=["trainer.batch_size=64"])
    print(config.to_yaml())

docs/pipeline.md lists the fields.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from components.settings import (
    DataSettings,
    EvaluatorSettings,
    ExportSettings,
    InfraValidatorSettings,
    ReconstructionSettings,
    ReportSettings,
    TrainerSettings,
)
from facemodel.config import ConfigError, Section, setting
from pipeline.beam_arguments import MOST
from pipeline.yaml_values import parse, unreadable


@dataclasses.dataclass(frozen=True)
class PusherSettings(Section):
    """Where good models go.

    Attributes:
      name: Name of the served model, the last part of its folder.
    """

    name: str = "facerelief"

    def __post_init__(self):
        super().__post_init__()
        if not self.name or set(self.name) & set("/\\ ") or self.name.startswith("."):
            raise ConfigError("name", f"should be the name of a folder, got {self.name!r}")


@dataclasses.dataclass(frozen=True)
class StepResources(Section):
    """Resources of a step on Kubeflow.

    Attributes:
      cpu: cores.
      memory_gib: GiB.
      gpus: Number of GPUs.
      gpu_type: the resource's name in Kubernetes.
      retries: Number of times that a failed step is restarted.
    """

    cpu: float = setting(1.0, low=0.1, high=1024.0)
    memory_gib: float = setting(4.0, low=0.1, high=65536.0)
    gpus: int = setting(0, low=0, high=64)
    gpu_type: str = "nvidia.com/gpu"
    retries: int = setting(2, low=0, high=20)


@dataclasses.dataclass(frozen=True)
class ResourcesSettings(Section):
    """Machines.

    Attributes:
      default: Resources of every step that has none of its own.
      example_gen, trainer, evaluator: Resources of these steps.
      beam_workers: processes of Beam's local runner.
      beam_args: Beam's options for another runner, as docs/scaling.md has them.
    """

    default: StepResources = StepResources()
    example_gen: StepResources = StepResources(cpu=2.0, memory_gib=8.0)
    trainer: StepResources = StepResources(cpu=2.0, memory_gib=8.0)
    evaluator: StepResources = StepResources(cpu=2.0, memory_gib=8.0)
    beam_workers: int = setting(1, low=1, high=1024)
    beam_args: tuple[str, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        if (count := len(self.beam_args)) > MOST:
            raise ConfigError("beam_args", f"should be at most {MOST} options, got {count}")


@dataclasses.dataclass(frozen=True)
class PipelineConfig(Section):
    """All settings of the pipeline, apart from paths.

    Attributes:
      profile: Profile from which these settings started.
      cache: True to skip steps that ran before with the same inputs, settings and code.
      data, trainer, export, evaluator, infra_validator, pusher, report, reconstruction, resources:
        sections, see there.
    """

    profile: str = setting("small", choices=("small", "paper"))
    cache: bool = True
    data: DataSettings = DataSettings()
    trainer: TrainerSettings = TrainerSettings()
    export: ExportSettings = ExportSettings()
    evaluator: EvaluatorSettings = EvaluatorSettings()
    infra_validator: InfraValidatorSettings = InfraValidatorSettings()
    pusher: PusherSettings = PusherSettings()
    report: ReportSettings = ReportSettings()
    reconstruction: ReconstructionSettings = ReconstructionSettings()
    resources: ResourcesSettings = ResourcesSettings()

    def __post_init__(self):
        super().__post_init__()
        if self.trainer.batch_size > self.data.train:
            raise ConfigError(
                "trainer.batch_size",
                f"should be at most data.train ({self.data.train}), got {self.trainer.batch_size}",
            )

    def to_yaml(self) -> str:
        """A file that load() reads back."""
        return yaml.safe_dump(_plain(dataclasses.asdict(self)), sort_keys=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple) else value


SMALL = PipelineConfig(
    trainer=TrainerSettings(
        samples=320, batch_size=16, learning_rate=2e-5, warmup_steps=4, average_decay=0.9, level=0
    ),
    reconstruction=ReconstructionSettings(enabled=True),
)
"""Starts at the shipped weights and takes a few steps: minutes on two cores."""

PAPER = PipelineConfig(
    profile="paper",
    data=DataSettings(train=200_000, eval=2_000, test=1_000, shard_samples=2_000),
    trainer=TrainerSettings(
        samples=3_400_000,
        batch_size=128,
        size=200,
        init="none",
        precision="mixed_bfloat16",
        strategy="mirrored",
        steps_per_round=100,
    ),
    report=ReportSettings(faces=500, shown=8),
    resources=ResourcesSettings(
        example_gen=StepResources(cpu=16.0, memory_gib=32.0),
        trainer=StepResources(cpu=8.0, memory_gib=48.0, gpus=1),
        evaluator=StepResources(cpu=4.0, memory_gib=16.0),
        beam_workers=16,
    ),
)
"""Trains from nothing as the paper does: hours on a GPU."""

PROFILES = {"small": SMALL, "paper": PAPER}


def load(
    *,
    profile: str | None = None,
    file: str | os.PathLike[str] | None = None,
    overrides: Iterable[str] = (),
) -> PipelineConfig:
    """Puts a configuration together: a profile, changed by a file, changed by overrides.

    Args:
      profile: small or paper; what the file says, else small, if None.
      file: YAML, nested as the sections are; may leave out anything.
      overrides: such as "trainer.batch_size=64"; the value is YAML.

    Raises:
      ConfigError: naming the file, or the field with its value.
    """
    values = _read(file) if file else {}
    changed = ["profile"] if profile else []
    for override in overrides:
        _apply(values, override)
        changed.append(override.partition("=")[0])
    try:
        return _made({**values, "profile": profile} if profile else values)
    except ConfigError as error:
        if file and _stands_in(values, error.field, changed):
            raise ConfigError(f"{file}: {error.field}", error.problem) from None
        raise


def _made(values: Mapping[str, Any]) -> PipelineConfig:
    """Applies changes to a profile."""
    profile = values.get("profile", "small")
    if not isinstance(profile, str) or profile not in PROFILES:
        raise ConfigError("profile", f"should be one of {', '.join(PROFILES)}, got {profile!r}")
    return PipelineConfig.from_mapping(values, base=PROFILES[profile])


def _stands_in(values: Any, field: str, changed: Iterable[str]) -> bool:
    """Whether a file gives a field; values are those of the file after some were changed."""
    if any(f"{field}.".startswith(f"{name}.") or name.startswith(f"{field}.") for name in changed):
        return False
    for part in field.split("."):
        if not isinstance(values, dict) or part not in values:
            return False
        values = values[part]
    return True


def _read(file: str | os.PathLike[str]) -> dict[str, Any]:
    try:
        values = parse(pathlib.Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(str(file), unreadable(error)) from None
    if values is not None and not isinstance(values, dict):
        raise ConfigError(str(file), f"should hold sections, got {values!r}")
    return values or {}


def _apply(values: dict[str, Any], override: str) -> None:
    """Puts section.field=value where the file would have it."""
    name, equals, text = override.partition("=")
    if not equals or not all(name.split(".")):
        raise ConfigError(override, "should be section.field=value")
    try:
        value = parse(text)
    except yaml.YAMLError as error:
        raise ConfigError(name, f"{text!r} {unreadable(error)}") from None
    *sections, field = name.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(name, f"{section} holds no fields")
    values[field] = value
