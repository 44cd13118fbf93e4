"""What synthesizing a data set takes: samples, files, time and disk."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
import os
import pathlib
from collections.abc import Sequence

from components.records import synthesis
from components.records.shards import Shard, split_ranges, split_shards
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis.recipes import SynthesisConfig
from pipeline.datasets.unfinished import DatasetError

SHARD_SAMPLES = 512
_MS_PER_SAMPLE = {"paper": 12.0, "lifelike": 20.0}
_BYTES_PER_PIXEL = 1.6
_BYTES_PER_LABELS = 12_000


@dataclasses.dataclass(frozen=True)
class Plan:
    """Plan of a run.

    Attributes:
      job: all samples, those of all splits.
      counts: Number of samples by split, in the order of their indices; sum job.count.
      model_version: Version of the face model.
      workers: Number of processes.
      seconds: about how long it takes, without start-up.
      size: about how many bytes it writes.
      shard_samples: about how many samples a file holds.
      beam_args: Beam's options, if it runs on another runner than the local one.
    """

    job: synthesis.SynthesisJob
    counts: dict[str, int]
    model_version: str
    workers: int
    seconds: float
    size: int
    shard_samples: int = SHARD_SAMPLES
    beam_args: tuple[str, ...] = ()

    def __str__(self) -> str:
        time = f"{self.seconds:.0f} s" if self.seconds < 120 else f"{self.seconds / 60:.0f} min"
        splits = ", ".join(f"{count} {split}" for split, count in self.counts.items())
        return (
            f"{self.job.count} samples ({splits}), recipe {self.job.config.recipe}, "
            f"seed {self.job.seed}: about {time} after starting, and {self.size / 1e6:.0f} MB"
        )

    def shards(self, folder: pathlib.Path) -> dict[str, list[Shard]]:
        """Each split's files."""
        return {
            split: split_shards(str(folder), split, indices, samples_each=self.shard_samples)
            for split, indices in split_ranges(self.counts).items()
        }

    def description(self) -> dict:
        """Everything that determines the records, as dataset.json has it."""
        return {
            "splits": {
                split: {
                    "count": self.counts[split],
                    "first_index": shards[0].first,
                    "files": [os.path.basename(shard.path) for shard in shards],
                }
                for split, shards in self.shards(pathlib.Path()).items()
            },
            "seed": self.job.seed,
            "recipe": self.job.config.recipe,
            "config": json.loads(json.dumps(dataclasses.asdict(self.job.config))),
            "model_version": self.model_version,
            "facerelief_version": importlib.metadata.version("facerelief"),
        }


def plan(
    config: SynthesisConfig,
    *,
    counts: dict[str, int],
    seed: int,
    workers: int = 1,
    model: pathlib.Path | None = None,
    shard_samples: int = SHARD_SAMPLES,
    beam_args: Sequence[str] = (),
) -> Plan:
    """Says what synthesizing takes.

    Args:
      config: Recipe of the faces.
      counts: Number of samples by split; splits of 0 are left out.
      seed: Random seed of the data set.
      workers: processes here; with beam_args, those of the other runner, for the estimate.
      model: the face model's file; the default model if None.
      shard_samples: about how many samples a file holds.
      beam_args: Beam's options for another runner; the local one if there are none.

    Raises:
      ModelError: if the face model is bad.
      DatasetError: if all splits are empty, or a number is negative.
    """
    if min(counts.values()) < 0 or not any(counts.values()):
        raise DatasetError(f"a data set needs samples, got splits of {counts}")
    load = (
        functools.partial(MorphableModel.load, model.absolute()) if model else MorphableModel.load
    )
    loaded = load()  # a bad file is found before any worker starts
    counts = {split: count for split, count in counts.items() if count}
    total = sum(counts.values())
    pixels = config.image_size**2
    milliseconds = _MS_PER_SAMPLE.get(config.recipe, 20.0) * total * pixels / 256**2
    return Plan(
        job=synthesis.SynthesisJob(config, seed, total, load),
        counts=counts,
        model_version=f"{loaded.name} {loaded.version}",
        workers=workers,
        seconds=milliseconds / 1e3 / (workers if beam_args else min(workers, os.cpu_count() or 1)),
        size=int((_BYTES_PER_PIXEL * pixels + _BYTES_PER_LABELS) * total),
        shard_samples=shard_samples,
        beam_args=tuple(beam_args),
    )
