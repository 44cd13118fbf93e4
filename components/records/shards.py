"""TFRecord files of samples: which samples are in which file, written atomically."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import uuid
from collections.abc import Iterator, Mapping

_HALF = ".part"


def batches_of(indices: range) -> range:
    """Numbers of the batches that hold samples."""
    from facemodel.synthesis.samples import BATCH

    return range(indices.start // BATCH, -(-indices.stop // BATCH) if indices else 0)


def split_ranges(counts: Mapping[str, int]) -> dict[str, range]:
    """The indices of splits with so many samples: neighbouring ranges, from 0 on."""
    ranges, first = {}, 0
    for split, count in counts.items():
        ranges[split] = range(first, first + count)
        first += count
    return ranges


@dataclasses.dataclass(frozen=True)
class Shard:
    """A TFRecord file and the samples in it.

    Attributes:
      path: Path of the file.
      first: index of its first sample.
      count: Number of samples; may be 0.
    """

    path: str
    first: int
    count: int

    @property
    def indices(self) -> range:
        """Indices of its samples."""
        return range(self.first, self.first + self.count)


def split_shards(directory: str, split: str, indices: range, *, samples_each: int) -> list[Shard]:
    """The files of a split with about so many samples each; the same for any number of workers."""
    count = min(len(batches_of(indices)), -(-len(indices) // samples_each))
    return ShardFiles(directory, split, count).shards(indices)


@dataclasses.dataclass(frozen=True)
class ShardFiles:
    """Names of a split's TFRecord files.

    Attributes:
      directory: Folder of the files.
      split: first part of their names.
      count: Number of files.
    """

    directory: str
    split: str
    count: int

    def path(self, shard: int) -> str:
        """The file of a shard, such as train-00000-of-00004.tfrecord."""
        name = f"{self.split}-{shard:05d}-of-{self.count:05d}.tfrecord"
        return os.path.join(self.directory, name)

    def shards(self, indices: range) -> list[Shard]:
        """The files of a range of samples: neighbouring batches, as evenly as possible."""
        from facemodel.synthesis.samples import BATCH

        found, batches = [], batches_of(indices)
        for number in range(self.count):
            part = batches[
                number * len(batches) // self.count : (number + 1) * len(batches) // self.count
            ]
            first = max(part.start * BATCH, indices.start)
            count = max(min(part.stop * BATCH, indices.stop) - first, 0)
            found.append(Shard(self.path(number), first, count))
        return found


def write_atomically(path: str, records: Iterator[bytes]) -> None:
    """Writes a TFRecord file atomically; OSError if that fails."""
    import tensorflow as tf

    temporary = f"{path}.{uuid.uuid4().hex}{_HALF}"
    try:
        with tf.io.TFRecordWriter(temporary) as writer:
            for record in records:
                writer.write(record)
        tf.io.gfile.rename(temporary, path, overwrite=True)
    except tf.errors.OpError as error:
        raise OSError(f"{path} could not be written: {error.message}") from error
    finally:
        with contextlib.suppress(tf.errors.NotFoundError):
            tf.io.gfile.remove(temporary)


def remove_partial_files(directory: str) -> None:
    """Removes what workers that were lost have begun; whole files stay."""
    import tensorflow as tf

    for name in tf.io.gfile.listdir(directory) if tf.io.gfile.isdir(directory) else ():
        if name.endswith(_HALF):
            with contextlib.suppress(tf.errors.NotFoundError):
                tf.io.gfile.remove(os.path.join(directory, name))
