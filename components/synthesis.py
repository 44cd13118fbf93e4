"""Synthesis on Beam: batches of samples as records, and shards of records as TFRecord files.

Sample i depends on (seed, i) only, however batches are spread over bundles, shards and workers:
each batch is full, aligned to the index, and made by one function. The workers should run with one
intra-op thread (see single_threaded).
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import uuid
from collections.abc import Callable, Iterator

import apache_beam as beam
from apache_beam.metrics import Metrics
from apache_beam.utils.shared import Shared

from facemodel.morphable import MorphableModel
from facemodel.recipes import SynthesisConfig

_NAMESPACE = "synthesis"


@dataclasses.dataclass(frozen=True)
class SynthesisJob:
    """What a data set is made of; travels to the workers.

    Attributes:
      config: how faces are drawn.
      seed: of the data set.
      count: how many samples it has.
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
        """Of its samples."""
        return range(self.first, self.first + self.count)

    @property
    def batches(self) -> range:
        """Numbers of the batches that hold all samples; of the first and last perhaps a part."""
        from facemodel.records import BATCH

        return range(self.first // BATCH, -(-self.indices.stop // BATCH))


class Synthesizer:
    """A loaded face model and a compiled renderer: number of a batch in, its records out.

    Args:
      job: what to make.
    """

    def __init__(self, job: SynthesisJob):
        import tensorflow as tf

        from facemodel import photo, synthesis

        self._job = job
        self._model = synthesis.SceneModel.create(job.load_model())
        self._measured = synthesis.LandmarkNoise.load()
        size = job.config.image_size

        @tf.function(autograph=False)
        def render(scene):
            return synthesis.render_scene(
                self._model, scene, size=size, render=photo.render_photo_tfg
            )

        self._render = render

    def samples(self, batch: int) -> list[dict]:
        """The samples of a batch that belong to the job, as examples.encode takes them."""
        from facemodel import records

        samples = records.draw_samples(
            self._model,
            self._job.config,
            self._measured,
            seed=self._job.seed,
            indices=records.aligned_indices(batch),
            render=self._render,
        )
        return [sample for sample in samples if sample["sample/index"] in self._job.indices]


def synthesize_batch(synthesizer: Synthesizer, batch: int) -> list[tuple[int, bytes]]:
    """Makes one batch: (index, serialized tf.Example) of each sample."""
    from facemodel import examples

    samples = synthesizer.samples(batch)
    return [(sample["sample/index"], examples.encode(sample)) for sample in samples]


def single_threaded() -> None:
    """Makes TensorFlow sum in one order in this process and its children; call before it loads."""
    os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    os.environ |= {"OMP_NUM_THREADS": "1"}


class _SharedSynthesizer(beam.DoFn):
    """Loads the face model once for each worker process, and counts."""

    def __init__(self, job: SynthesisJob, shared: Shared):
        self._job, self._shared = job, shared
        self._batches_in = Metrics.counter(_NAMESPACE, "batches_in")
        self._samples_out = Metrics.counter(_NAMESPACE, "samples_out")
        self._bytes_out = Metrics.counter(_NAMESPACE, "bytes_out")

    def setup(self):
        self._synthesizer = self._shared.acquire(lambda: Synthesizer(self._job), tag=self._job)

    def _records(self, batch: int) -> Iterator[tuple[int, bytes]]:
        self._batches_in.inc()
        for index, record in synthesize_batch(self._synthesizer, batch):
            self._samples_out.inc()
            self._bytes_out.inc(len(record))
            yield index, record


class _MakeRecords(_SharedSynthesizer):
    def process(self, batch: int):
        yield from self._records(batch)


class _WriteShard(_SharedSynthesizer):
    def __init__(self, job: SynthesisJob, shared: Shared, files: ShardFiles):
        super().__init__(job, shared)
        self._files = files

    def process(self, shard: int):
        batches = self._files.batches(shard, self._job.batches)
        records = (record for batch in batches for _, record in self._records(batch))
        path = self._files.path(shard)
        write_atomically(path, records)
        yield path


@dataclasses.dataclass(frozen=True)
class ShardFiles:
    """Names of a split's TFRecord files and the batches in each.

    Attributes:
      directory: where they lie.
      split: first part of their names.
      count: how many there are.
    """

    directory: str
    split: str
    count: int

    def path(self, shard: int) -> str:
        """The file of a shard, such as train-00000-of-00004.tfrecord."""
        name = f"{self.split}-{shard:05d}-of-{self.count:05d}.tfrecord"
        return os.path.join(self.directory, name)

    def batches(self, shard: int, batches: range) -> range:
        """Which of a job's batches are in a shard: neighbours, as evenly as possible."""
        return batches[
            shard * len(batches) // self.count : (shard + 1) * len(batches) // self.count
        ]


def write_atomically(path: str, records: Iterator[bytes]) -> None:
    """Writes a TFRecord file that is either complete or not there."""
    import tensorflow as tf

    temporary = f"{path}.{uuid.uuid4().hex}.part"
    try:
        with tf.io.TFRecordWriter(temporary) as writer:
            for record in records:
                writer.write(record)
        tf.io.gfile.rename(temporary, path, overwrite=True)
    finally:
        with contextlib.suppress(tf.errors.NotFoundError):
            tf.io.gfile.remove(temporary)


@dataclasses.dataclass
class Synthesize(beam.PTransform):
    """Numbers of a job's batches -> (index, serialized tf.Example) of its samples in them.

    Attributes:
      job: what to make; job.batches are the batches that hold it.
    """

    job: SynthesisJob

    def expand(self, batches):
        """Applies synthesize_batch."""
        return batches | beam.ParDo(_MakeRecords(self.job, Shared()))


@dataclasses.dataclass
class WriteShards(beam.PTransform):
    """Numbers of shards -> paths of complete TFRecord files, records in the order of their index.

    A shard is written by one worker to a temporary name and then renamed, so a rerun or a lost
    worker leaves no half of one.

    Attributes:
      job: what to make.
      files: where to.
    """

    job: SynthesisJob
    files: ShardFiles

    def expand(self, shards):
        """Applies synthesize_batch and write_atomically."""
        return shards | beam.ParDo(_WriteShard(self.job, Shared(), self.files))


def pipeline_options(workers: int):
    """Beam's options for a local run: in this process, or in as many processes as workers."""
    from apache_beam.options.pipeline_options import PipelineOptions

    mode = "in_memory" if workers == 1 else "multi_processing"
    return PipelineOptions(
        flags=[],  # not this process's arguments
        runner="DirectRunner",
        direct_running_mode=mode,
        direct_num_workers=workers,
    )


def write_dataset(job: SynthesisJob, files: ShardFiles, *, workers: int = 1) -> dict[str, int]:
    """Writes all shards on this machine.

    Returns:
      The counters batches_in, samples_out and bytes_out.
    """
    pipeline = beam.Pipeline(options=pipeline_options(workers))
    _ = pipeline | beam.Create(range(files.count)) | beam.Reshuffle() | WriteShards(job, files)
    result = pipeline.run()
    result.wait_until_finish()
    counters = result.metrics().query()["counters"]
    return {counter.key.metric.name: counter.committed for counter in counters}
