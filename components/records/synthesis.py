"""Synthesis on Beam: batches of samples as records, and shards of records as TFRecord files.

Sample i depends on (seed, i) only, however batches are spread over bundles, shards and workers:
each batch is full, aligned to the index, and made by one function. The workers should run with one
intra-op thread (see single_threaded).
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from components.records.beam_runs import local_flags, run_to_end
from components.records.shards import Shard, ShardFiles, batches_of, write_atomically
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import SceneModel

__all__ = [
    "Shard",
    "ShardFiles",
    "SynthesisJob",
    "Synthesize",
    "Synthesizer",
    "WriteShards",
    "single_threaded",
    "synthesize_batch",
    "write_atomically",
    "write_shards",
]

_NAMESPACE = "synthesis"
_MALLOC = {"MMAP_THRESHOLD": (-3, 2**30), "TRIM_THRESHOLD": (-1, 2**30)}
"""glibc's options for children, and for mallopt."""


@dataclasses.dataclass(frozen=True)
class SynthesisJob:
    """A data set to be made; it is pickled to the workers.

    Attributes:
      config: Recipe of the faces.
      seed: Random seed of the data set.
      count: Number of samples.
      load_model: makes the face model on each worker.
      first: index of the first sample; splits of one seed are ranges of indices.

    Raises:
      ValueError: if there are no samples, or negative indices.
    """

    config: SynthesisConfig
    seed: int
    count: int
    load_model: Callable[[], MorphableModel] = MorphableModel.load
    first: int = 0

    def __post_init__(self):
        if self.count < 1 or self.first < 0:
            raise ValueError(
                f"count should be at least 1 and first at least 0, got {self.count}, {self.first}"
            )

    @property
    def indices(self) -> range:
        """Indices of its samples."""
        return range(self.first, self.first + self.count)

    @property
    def batches(self) -> range:
        """Numbers of the batches that hold all samples; of the first and last perhaps a part."""
        return batches_of(self.indices)


class Synthesizer:
    """A loaded face model and a compiled renderer: number of a batch in, its records out.

    Args:
      job: Data set to make.
    """

    def __init__(self, job: SynthesisJob):
        import tensorflow as tf

        from facemodel.backend import use_xla_steps
        from facemodel.rendering import tfg
        from facemodel.synthesis import photos
        from facemodel.synthesis.samples import plan_streams, sample_columns
        from facemodel.synthesis.streams import TableStreams

        self._job = job
        model = SceneModel.create(job.load_model())
        self._version = model.version
        asked = (model, job.config, LandmarkNoise.load())
        self._plan = plan_streams(*asked)

        def render(scene):
            with use_xla_steps():
                return photos.render_scene(
                    model, scene, size=job.config.image_size, render=tfg.render_photo_tfg
                )

        @tf.function(autograph=False)
        def columns(table):
            return sample_columns(*asked, TableStreams(table), render=render)

        self._compiled = [columns]
        weakref.finalize(self, self._compiled.clear)  # also at exit, before TensorFlow goes

    def samples(self, batch: int) -> list[dict]:
        """The samples of a batch that belong to the job, as records.encode_record takes them."""
        from facemodel.synthesis.samples import aligned_indices, as_samples
        from facemodel.synthesis.streams import PhiloxStreams

        seed, indices = self._job.seed, aligned_indices(batch)
        columns = self._compiled[0](self._plan.draw(PhiloxStreams(seed, indices)))
        samples = as_samples(columns, seed=seed, indices=indices, version=self._version)
        return [sample for sample in samples if sample["sample/index"] in self._job.indices]


def synthesize_batch(synthesizer: Synthesizer, batch: int) -> list[tuple[int, bytes]]:
    """Makes one batch: (index, serialized tf.Example) of each sample."""
    from facemodel.records import encode_record

    samples = synthesizer.samples(batch)
    return [(sample["sample/index"], encode_record(sample)) for sample in samples]


def single_threaded() -> None:
    """Makes TensorFlow sum in one order in this process and its children; call before it loads.

    Also lets glibc keep freed memory: to get 100 MB of fresh pages for each batch took a tenth of
    the time.
    """
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    os.environ |= {"OMP_NUM_THREADS": "1"}
    os.environ |= {f"MALLOC_{name}_": str(value) for name, (_, value) in _MALLOC.items()}
    libc = ctypes.CDLL(None)
    for option, value in _MALLOC.values():
        libc.mallopt(option, value)


class _SharedSynthesizer(beam.DoFn):
    """Loads the face model once for each worker process, and counts."""

    def __init__(self, job: SynthesisJob, shared: Shared):
        self._job, self._shared = job, shared
        self._batches_in = Metrics.counter(_NAMESPACE, "batches_in")
        self._samples_out = Metrics.counter(_NAMESPACE, "samples_out")
        self._bytes_out = Metrics.counter(_NAMESPACE, "bytes_out")

    def setup(self):
        self._synthesizer = self._shared.acquire(lambda: Synthesizer(self._job), tag=self._job)

    def _records(self, batch: int, indices: range) -> Iterator[tuple[int, bytes]]:
        self._batches_in.inc()
        for index, record in synthesize_batch(self._synthesizer, batch):
            if index in indices:
                self._samples_out.inc()
                self._bytes_out.inc(len(record))
                yield index, record


class _MakeRecords(_SharedSynthesizer):
    def process(self, batch: int):
        yield from self._records(batch, self._job.indices)


class _WriteShard(_SharedSynthesizer):
    def process(self, named: tuple[str, Iterable[Shard]]):
        _, (shard,) = named
        batches = batches_of(shard.indices)
        pairs = (pair for batch in batches for pair in self._records(batch, shard.indices))
        write_atomically(shard.path, (record for _, record in pairs))
        yield shard.path


@dataclasses.dataclass
class Synthesize(beam.PTransform):
    """Numbers of a job's batches -> (index, serialized tf.Example) of its samples in them.

    Attributes:
      job: Data set to make; job.batches are the batches that hold it.
    """

    job: SynthesisJob

    def expand(self, batches):
        """Applies synthesize_batch."""
        return batches | beam.ParDo(_MakeRecords(self.job, Shared()))


@dataclasses.dataclass
class WriteShards(beam.PTransform):
    """Paths of complete TFRecord files, with records in the order of their index.

    A shard is written by one worker to a temporary name and then renamed, so a rerun or a lost
    worker leaves no half of one.

    Attributes:
      job: Data set to make; its range of indices holds those of all shards, also of several splits.
      shards: Ranges of indices in each file.
    """

    job: SynthesisJob
    shards: Sequence[Shard]

    def expand(self, begin):
        """Applies synthesize_batch and write_atomically.

        The shards are spread over workers by their names. A Reshuffle spreads them at random: Spark
        gives up when it loses an executor after that, because it cannot spread them so again.
        """
        named = [(shard.path, shard) for shard in self.shards]
        spread = begin | beam.Create(named, reshuffle=False) | beam.GroupByKey()
        return spread | beam.ParDo(_WriteShard(self.job, Shared()))


def write_shards(
    job: SynthesisJob, shards: list[Shard], *, workers: int = 1, beam_args: Sequence[str] = ()
) -> dict[str, int]:
    """Writes shards.

    Args:
      job: Data set to make.
      shards: Files of the job, in a folder that all workers see.
      workers: processes on this machine.
      beam_args: Beam's options for another runner, whose workers should be single_threaded.

    Returns:
      The counters batches_in, samples_out and bytes_out; empty where the runner has none.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    options = PipelineOptions(list(beam_args) or ["--runner=DirectRunner", *local_flags(workers)])
    pipeline = beam.Pipeline(options=options)
    _ = pipeline | WriteShards(job, shards)
    return run_to_end(pipeline)
