"""Arrays as one piece of bytes that a browser reads without copying."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

import numpy as np

ALIGNMENT = 8
"""Arrays begin at multiples of this many bytes, as typed arrays need it."""
TYPES = ("float32", "int32", "int16", "uint8")
LARGEST = np.iinfo(np.int16).max


def pack_arrays(arrays: Mapping[str, np.ndarray], facts: Mapping[str, object]) -> bytes:
    """Gives the bytes of arrays with what is said about them.

    A little-endian uint32 with the length of the header, the header (JSON: "facts", and "arrays"
    with type, shape and offset of each, from the end of the header on), and the arrays.

    Args:
      arrays: Of one of TYPES, by name.
      facts: What JSON can hold.

    Raises:
      ValueError: if an array has another type.
    """
    entries, parts, offset = {}, [], 0
    for name, array in arrays.items():
        if array.dtype.name not in TYPES:
            raise ValueError(f"{name}: should be one of {', '.join(TYPES)}, got {array.dtype}")
        content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        entries[name] = {"type": array.dtype.name, "shape": array.shape, "offset": offset}
        parts.append(content + b"\0" * (-len(content) % ALIGNMENT))
        offset += len(parts[-1])
    header = json.dumps({"facts": facts, "arrays": entries}).encode()
    header += b" " * (-(len(header) + 4) % ALIGNMENT)
    return b"".join([struct.pack("<I", len(header)), header, *parts])


def quantized(moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Displacements [N, V, 3] mm as int16 of that shape, and the mm of a step [N] float32.

    The largest displacement of each of the N becomes 32767 steps; zeros stay zero.
    """
    moves = np.asarray(moves, np.float32)
    largest = np.abs(moves).max(axis=(1, 2), initial=0.0)
    step = np.where(largest > 0, largest / LARGEST, 1.0).astype(np.float32)
    return np.round(moves / step[:, None, None]).astype(np.int16), step
