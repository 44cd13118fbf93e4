"""Records as batches for training, cropped as serving crops photos. Needs TensorFlow."""

from __future__ import annotations

import gzip
import os
import pathlib
import struct
from collections.abc import Iterator

import tensorflow as tf

from facemodel import transforms
from facemodel.fitting.alignment import crop_around
from facemodel.fitting.crop import grey_crop
from facemodel.morphable.geometry import FaceGeometry, inner_landmarks
from facemodel.morphable.model import MorphableModel
from facemodel.network.training_config import TrainingConfig
from facemodel.records import parse_records

SHUFFLE = 2048
"""Records among which the next one is chosen."""
_HEAD, _FOOT = 12, 4


class RecordsError(ValueError):
    """A folder without usable records."""


def record_batches(
    folder: str | os.PathLike[str],
    model: MorphableModel,
    config: TrainingConfig,
    *,
    skip: int = 0,
) -> tf.data.Dataset:
    """Reads, shuffles and crops records without end; the order depends on the config's seed.

    Args:
      folder: Folder with *.tfrecord* files from `facerelief synthesize` or the pipeline.
      model: the face model that the records show.
      config: Training hyperparameters: batch size, crop size and seed.
      skip: batches to leave out, those that a resumed run has seen.

    Raises:
      RecordsError: if the folder has no such file.
    """
    counts = (model.coefficient_count, len(model.albedo))
    geometry = FaceGeometry.create(model)
    batches = record_order(
        record_files(folder), seed=config.seed, batch_size=config.batch_size, skip=skip
    )
    return batches.map(
        lambda serialized: training_batch(serialized, geometry, counts=counts, size=config.size),
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    ).prefetch(tf.data.AUTOTUNE)


def record_order(files: list[str], *, seed: int, batch_size: int, skip: int = 0) -> tf.data.Dataset:
    """Batches of serialized records without end, shuffled anew for each time through the files.

    Args:
      files: TFRecord files, compressed if their names end with .gz.
      seed: Random seed of the order.
      batch_size: Size of every batch; one may begin at the files' end and end at their beginning.
      skip: batches to leave out; times through the files that they filled are not read.
    """
    compression = "GZIP" if files[0].endswith(".gz") else ""
    records = tf.data.TFRecordDataset(files, compression_type=compression)
    first, rest = divmod(skip * batch_size, count_records(files)) if skip else (0, 0)

    def shuffled(epoch):
        tf.compat.v1.set_random_seed(seed + 1)  # of this function's graph, whatever the process has
        return records.shuffle(SHUFFLE, seed=epoch)

    order = tf.data.Dataset.range(first, tf.int64.max).flat_map(shuffled)
    return order.skip(rest).batch(batch_size, drop_remainder=True)


def count_records(files: list[str]) -> int:
    """How many records files hold; reads only their lengths where they are not compressed."""
    return sum(1 for file in files for _ in _lengths(file))


def _lengths(file: str) -> Iterator[int]:
    """Length of each record: 8 bytes before it, with a checksum of 4; another of 4 behind it."""
    with (gzip.open if file.endswith(".gz") else open)(file, "rb") as stream:
        while head := stream.read(_HEAD):
            (length,) = struct.unpack_from("<Q", head)
            stream.seek(length + _FOOT, os.SEEK_CUR)
            yield length


def record_files(folder: str | os.PathLike[str]) -> list[str]:
    """The record files in a folder or below it, in order; RecordsError if there are none."""
    files = sorted(str(path) for path in pathlib.Path(folder).rglob("*.tfrecord*"))
    if not files:
        raise RecordsError(f"{folder}: holds no .tfrecord file")
    return files


def training_batch(
    serialized, geometry: FaceGeometry, *, counts: tuple[int, int], size: int
) -> dict[str, tf.Tensor]:
    """Turns records into what training takes.

    Args:
      serialized: string [B].
      geometry: Face model tensors.
      counts: Numbers of coefficients and albedo coefficients of a face.
      size: px, side of the crops.

    Returns:
      The fields of an OnlineBatch.
    """
    sample = parse_records(serialized, coefficient_count=counts[0], albedo_count=counts[1])
    landmarks = inner_landmarks(sample["face/landmarks"])
    crop_from_image = crop_around(geometry, landmarks, size=size)
    return {
        "grey": grey_crop(sample["image"], crop_from_image, size=size),
        "landmarks": transforms.apply_similarity(crop_from_image, landmarks),
        "coefficients": sample["face/coefficients"],
        "sigma_px": sample["landmark/sigma_px"] * transforms.similarity_scale(crop_from_image),
    }
