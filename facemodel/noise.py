"""Raw random numbers by name: from (seed, index) for records, from the device for training."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

_LIMIT = 2**63


class Noise(Protocol):
    """Hands out independent random numbers; the same name always gives the same ones."""

    batch: int

    def uniform(self, name: str, shape: tuple[int, ...] = ()) -> Any:
        """[B, *shape] float32 in [0, 1)."""

    def normal(self, name: str, shape: tuple[int, ...] = ()) -> Any:
        """[B, *shape] float32, N(0, 1)."""


class PhiloxNoise:
    """Counter-based noise: what sample i gets under a name depends on (seed, i) and the name alone.

    Args:
      seed: of the data set, in [0, 2^63).
      indices: of the samples in this batch, each in [0, 2^63).

    Raises:
      ValueError: if seed or an index is negative or too large.
    """

    def __init__(self, seed: int, indices: Sequence[int]):
        for value in (seed, *indices):
            if not 0 <= value < _LIMIT:
                raise ValueError(f"seed and index should lie in [0, 2^63), got {value}")
        self._seed, self._indices, self.batch = (
            int(seed),
            [int(index) for index in indices],
            len(indices),
        )

    def _generators(self, name: str):
        stream = zlib.crc32(name.encode())
        for index in self._indices:
            # The counter's top word selects the stream; its low words count within it.
            bits = np.random.Philox(key=[self._seed, index], counter=[0, 0, 0, stream])
            yield np.random.Generator(bits)

    def uniform(self, name: str, shape: tuple[int, ...] = ()):
        """[B, *shape] float32 in [0, 1)."""
        draws = [rng.random(shape, np.float32) for rng in self._generators(name)]
        return ops.convert_to_tensor(np.stack(draws))

    def normal(self, name: str, shape: tuple[int, ...] = ()):
        """[B, *shape] float32, N(0, 1)."""
        draws = [rng.standard_normal(shape, np.float32) for rng in self._generators(name)]
        return ops.convert_to_tensor(np.stack([np.float32(draw) for draw in draws]))


class _Key(keras.random.SeedGenerator):
    """Lets keras.random take a tensor as its seed, which a compiled step gets anew each time."""

    def __init__(self, key):
        self.key = key

    def next(self, ordered=True):
        return self.key


class DeviceNoise:
    """Noise from keras.random, drawn on the device; works inside a compiled train step.

    Args:
      seed: an integer, or a uint32 tensor [2], for example (run's seed, step).
      batch: how many samples.
    """

    def __init__(self, seed, batch: int):
        key = np.array([seed % 2**32, seed // 2**32], np.uint32) if isinstance(seed, int) else seed
        self._seed, self.batch = ops.cast(key, "uint32"), batch

    def _key(self, name: str) -> _Key:
        stream = ops.convert_to_tensor(np.array([zlib.crc32(name.encode()), 0], np.uint32))
        return _Key(ops.bitwise_xor(self._seed, stream))

    def uniform(self, name: str, shape: tuple[int, ...] = ()):
        """[B, *shape] float32 in [0, 1)."""
        return keras.random.uniform((self.batch, *shape), dtype="float32", seed=self._key(name))

    def normal(self, name: str, shape: tuple[int, ...] = ()):
        """[B, *shape] float32, N(0, 1)."""
        return keras.random.normal((self.batch, *shape), dtype="float32", seed=self._key(name))
