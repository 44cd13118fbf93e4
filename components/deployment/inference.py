"""Faces of records by an exported model."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf


class ExportedModel:
    """A SavedModel's signature `examples`.

    Args:
      path: Path of the SavedModel.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._loaded = tf.saved_model.load(os.fspath(path))
        self._run = self._loaded.signatures["examples"]

    def __call__(self, records: list[bytes]) -> dict[str, np.ndarray]:
        """Serialized tf.Examples [B] -> outputs by name, each [B, ...]."""
        outputs = self._run(examples=tf.constant(records))
        return {name: value.numpy() for name, value in outputs.items()}


def batches(records: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """Lists of so many records; the last may be shorter."""
    iterator = iter(records)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def labels(record: bytes) -> dict[str, np.ndarray]:
    """The numbers of a record by feature name."""
    features = tf.train.Example.FromString(record).features.feature
    kinds = {"float_list": np.float32, "int64_list": np.int64}
    return {
        name: np.array(getattr(feature, kind).value, kinds[kind])
        for name, feature in features.items()
        if (kind := feature.WhichOneof("kind")) in kinds
    }
