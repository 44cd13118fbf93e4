"""Random streams by name: from (seed, index) for records, from the device for training."""

from __future__ import annotations

import functools
import math
import statistics
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from facemodel.backend import Tensor

_LIMIT = 2**63


class RandomStreams(Protocol):
    """Hands out independent random numbers; the same name always gives the same ones."""

    batch: int

    def uniform(self, name: str, shape: tuple[int, ...] = ()) -> Any:
        """[B, *shape] float32 in [0, 1)."""

    def normal(self, name: str, shape: tuple[int, ...] = ()) -> Any:
        """[B, *shape] float32, N(0, 1)."""

    def rough_normal(self, name: str, shape: tuple[int, ...] = ()) -> Any:
        """The same, perhaps rounded to 256 values: quicker where there are many, as in grain."""


class PhiloxStreams:
    """Counter-based: what sample i gets under a name depends on (seed, i) and the name alone.

    Args:
      seed: Random seed of the data set, in [0, 2^63).
      indices: Indices of the samples in this batch, each in [0, 2^63).

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

        self._bits = np.random.Philox(key=[0, 0])
        self._generator, self._start = np.random.Generator(self._bits), self._bits.state

    def _generators(self, name: str):
        # The counter's top word selects the stream; its low words count within it. A new generator
        # would give the same numbers and take five times as long.
        counter = np.array([0, 0, 0, zlib.crc32(name.encode())], np.uint64)
        for index in self._indices:
            key = np.array([self._seed, index], np.uint64)
            self._bits.state = {**self._start, "state": {"counter": counter, "key": key}}
            yield self._generator

    def uniform(self, name: str, shape: tuple[int, ...] = ()) -> Tensor:
        """[B, *shape] float32 in [0, 1)."""
        draws = [rng.random(shape, np.float32) for rng in self._generators(name)]
        return ops.convert_to_tensor(np.stack(draws))

    def normal(self, name: str, shape: tuple[int, ...] = ()) -> Tensor:
        """[B, *shape] float32, N(0, 1)."""
        draws = [rng.standard_normal(shape, np.float32) for rng in self._generators(name)]
        return ops.convert_to_tensor(np.stack([np.float32(draw) for draw in draws]))

    def rough_normal(self, name: str, shape: tuple[int, ...] = ()) -> Tensor:
        """[B, *shape] float32, the 256 quantiles of N(0, 1) in any order, with variance 1."""
        draws = [rng.bytes(math.prod(shape)) for rng in self._generators(name)]
        numbers = np.frombuffer(b"".join(draws), np.uint8).reshape(-1, *shape)
        return ops.convert_to_tensor(_quantiles().take(numbers))


@functools.cache
def _quantiles() -> np.ndarray:
    inverse = statistics.NormalDist().inv_cdf
    values = np.array([inverse((k + 0.5) / 256) for k in range(256)])
    return (values / values.std()).astype(np.float32)


class StreamPlan:
    """Which numbers a function asks of its random streams, so that they can be made before.

    Args:
      function: takes RandomStreams; what it asks must not depend on the numbers it gets.
    """

    def __init__(self, function: Callable[[RandomStreams], Any]):
        self._wanted: dict[str, tuple[str, tuple[int, ...]]] = {}
        self.batch, self._sample = 1, PhiloxStreams(0, [0])
        function(self)

    def _note(self, kind: str, name: str, shape: tuple[int, ...]):
        self._wanted[name] = (kind, shape)
        return getattr(self._sample, kind)(name, shape)

    def uniform(self, name: str, shape: tuple[int, ...] = ()) -> Tensor:
        return self._note("uniform", name, shape)

    def normal(self, name: str, shape: tuple[int, ...] = ()) -> Tensor:
        return self._note("normal", name, shape)

    def rough_normal(self, name: str, shape: tuple[int, ...] = ()) -> Tensor:
        return self._note("rough_normal", name, shape)

    def draw(self, rng: RandomStreams) -> dict[str, Any]:
        """Everything that the function will ask of these streams, by name."""
        return {
            name: getattr(rng, kind)(name, shape) for name, (kind, shape) in self._wanted.items()
        }


class TableStreams:
    """Hands out numbers that were sampled before, from StreamPlan.draw; works in compiled code."""

    def __init__(self, table: dict[str, Any]):
        self._table, self.batch = table, next(iter(table.values())).shape[0]

    def uniform(self, name: str, shape: tuple[int, ...] = ()) -> Tensor:
        return self._table[name]

    normal = rough_normal = uniform


class _Key(keras.random.SeedGenerator):
    """Lets keras.random take a tensor as its seed, a new one in each call of a compiled step."""

    def __init__(self, key):
        self.key = key

    def next(self, ordered=True):
        return self.key


class DeviceStreams:
    """Streams from keras.random, made on the device; works inside a compiled train step.

    Args:
      seed: an integer, or a uint32 tensor [2], for example (run's seed, step).
      batch: Number of samples.
    """

    def __init__(self, seed, batch: int):
        key = np.array([seed % 2**32, seed // 2**32], np.uint32) if isinstance(seed, int) else seed
        self._seed, self.batch = ops.cast(key, "uint32"), batch

    def _key(self, name: str) -> _Key:
        stream = ops.convert_to_tensor(np.array([zlib.crc32(name.encode()), 0], np.uint32))
        return _Key(ops.bitwise_xor(self._seed, stream))

    def uniform(self, name: str, shape: tuple[int, ...] = ()) -> Tensor:
        """[B, *shape] float32 in [0, 1)."""
        return keras.random.uniform((self.batch, *shape), dtype="float32", seed=self._key(name))

    def normal(self, name: str, shape: tuple[int, ...] = ()) -> Tensor:
        """[B, *shape] float32, N(0, 1)."""
        return keras.random.normal((self.batch, *shape), dtype="float32", seed=self._key(name))

    rough_normal = normal

    def part(self, number: int, batch: int) -> DeviceStreams:
        """Streams of their own for a part of the samples."""
        own = ops.convert_to_tensor(np.array([0, zlib.crc32(f"part {number}".encode())], np.uint32))
        return DeviceStreams(ops.bitwise_xor(self._seed, own), batch)
