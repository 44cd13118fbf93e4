"""Surrey face model as eos keeps it (.bin of cereal), with its blendshapes and its landmarks.

`expression_blendshapes_*.bin` and `ibug_to_sfm.txt` are read if they lie beside it.
"""

from __future__ import annotations

import os
import pathlib
import re
import struct
from typing import Any

import numpy as np

from facemodel.morphable.mesh import ModelError
from facemodel.morphable.readers.foreign import (
    ForeignModel,
    foreign_model,
    naming,
    no_landmarks,
    scaled_basis,
)

TERMS = "Surrey Face Model licence: non-commercial, not to be passed on"
VERSIONS = (1, 2, 3, 4)
"""Of the class MorphableModel; all begin with shape and colour, and no more is read."""
_LARGEST = 1 << 28
_BLENDSHAPES, _MAPPING = "expression_blendshapes_*.bin", "ibug_to_sfm.txt"


class _Numbers:
    """Reads a file's numbers one after the other; cereal writes those of its own machine."""

    def __init__(self, content: bytes, order: str = "<"):
        self._content, self._at, self.order = content, 0, order

    @property
    def at_end(self) -> bool:
        return self._at == len(self._content)

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if not 0 <= size <= len(self._content) - self._at:
            raise ModelError(f"ends in the middle: {size} more bytes should follow {self._at}")
        self._at += size
        return self._content[self._at - size : self._at]

    def number(self, form: str) -> int:
        """One whole number in struct's letters."""
        (value,) = struct.unpack(self.order + form, self.take(struct.calcsize(form)))
        return int(value)

    def size(self) -> int:
        """The length of what follows, as cereal writes it."""
        value = self.number("Q")
        if value > _LARGEST:
            raise ModelError(f"a length of {value} cannot be right")
        return value

    def matrix(self) -> np.ndarray:
        """float32 [rows, columns] from column after column."""
        rows, columns = self.number("i"), self.number("i")
        if min(rows, columns) < 0 or rows * columns > _LARGEST:
            raise ModelError(f"a matrix of {rows} x {columns} cannot be right")
        values = np.frombuffer(self.take(4 * rows * columns), self.order + "f4")
        return values.reshape(columns, rows).T

    def principal_components(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Mean [3 V, 1], basis [3 V, n], eigenvalues [n, 1] and triangles [T, 3]."""
        mean, basis, values = (self.matrix() for _ in range(3))
        count = self.size()
        triangles = np.frombuffer(self.take(12 * count), self.order + "i4").reshape(-1, 3)
        return mean, basis, values, triangles


def read(path: str | os.PathLike[str]) -> ForeignModel:
    """Reads a model and what lies beside it.

    Raises:
      ModelError: naming the file and what is wrong with it.
    """
    path = pathlib.Path(path)
    with naming(path, "a face model of eos"):
        content = path.read_bytes()
        numbers = _Numbers(content, _byte_order(content))
        numbers.number("I")
        mean, basis, values, triangles = numbers.principal_components()
        colour_mean, colour_basis, colour_values, _ = numbers.principal_components()
        colour: dict[str, Any] = {}
        if colour_mean.size:
            colour = {
                "albedo_mean": colour_mean.reshape(-1, 3),
                "albedo": scaled_basis(colour_basis, np.sqrt(colour_values), 1.0),
            }
        names, expression = _blendshapes(path.parent, len(mean))
        landmarks = _mapping(path.parent / _MAPPING)
        landmarks[landmarks >= len(mean) // 3] = -1  # not in every resolution
        return foreign_model(
            name="Surrey (eos)",
            terms=TERMS,
            mean=mean.reshape(-1, 3),
            identity=scaled_basis(basis, np.sqrt(values), 1.0),
            expression=expression,
            expression_names=names,
            triangles=triangles,
            landmarks=landmarks,
            **colour,
        )


def _byte_order(content: bytes) -> str:
    """Of the machine that wrote the file, by the version at its beginning."""
    for order in "<>":
        if len(content) >= 4 and struct.unpack(order + "I", content[:4])[0] in VERSIONS:
            return order
    raise ModelError(f"begins with {content[:4]!r}, not with a version of {VERSIONS}")


def _blendshapes(folder: pathlib.Path, size: int) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Names and offsets [E, V, 3] mm of the one file of blendshapes with as many vertices."""
    for path in sorted(folder.glob(_BLENDSHAPES)):
        with naming(path, "eos's blendshapes"):
            content = path.read_bytes()
            little = len(content) >= 8 and struct.unpack("<Q", content[:8])[0] <= _LARGEST
            numbers = _Numbers(content, "<" if little else ">")
            found = [_blendshape(numbers) for _ in range(numbers.size())]
            if not numbers.at_end:
                raise ModelError("goes on after its last blendshape")
        if found and all(len(offset) == size for _, offset in found):
            offsets = np.stack([offset.reshape(-1, 3) for _, offset in found])
            return tuple(f"surrey/{name}" for name, _ in found), offsets
    return (), None


def _blendshape(numbers: _Numbers) -> tuple[str, np.ndarray]:
    name = numbers.take(numbers.size()).decode("utf-8")
    return name, numbers.matrix()


def _mapping(path: pathlib.Path) -> np.ndarray:
    """[68] vertices from lines `point vertex` of iBUG's points, counted from 1."""
    landmarks = no_landmarks()
    if path.is_file():
        section = path.read_text(encoding="utf-8").split("}")[0]
        for point, vertex in re.findall(r"^\s*(\d+)\s+(\d+)", section, re.MULTILINE):
            if not 1 <= int(point) <= len(landmarks):
                raise ModelError(f"{path}: has no iBUG point {point}")
            landmarks[int(point) - 1] = int(vertex)
    return landmarks
