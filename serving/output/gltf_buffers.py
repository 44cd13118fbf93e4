"""The binary part of a .glb: arrays go in, numbers of accessors come out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pygltflib as gltf

_COMPONENTS = {"<f4": gltf.FLOAT, "<u2": gltf.UNSIGNED_SHORT, "<u4": gltf.UNSIGNED_INT}
_TYPES = {1: gltf.SCALAR, 2: gltf.VEC2, 3: gltf.VEC3, 4: gltf.VEC4}
_ALIGNMENT = 4
_VECTOR_BYTES = 12


class Buffers:
    """Collects the arrays of one glTF buffer.

    Attributes:
      views: Parts of the buffer.
      accessors: What reads arrays from the parts.
    """

    def __init__(self) -> None:
        self.views: list[gltf.BufferView] = []
        self.accessors: list[gltf.Accessor] = []
        self._content = bytearray()

    def content(self) -> bytes:
        """The buffer so far."""
        return bytes(self._content)

    def add_bytes(self, content: bytes, *, target: int | None = None) -> int:
        """Adds a part of the buffer; returns the number of its view."""
        begin = len(self._content)
        self._content += content + bytes(-len(content) % _ALIGNMENT)
        view = gltf.BufferView(buffer=0, byteOffset=begin, byteLength=len(content), target=target)
        self.views.append(view)
        return len(self.views) - 1

    def add_attribute(self, values: np.ndarray, *, bounds: bool = False) -> int:
        """Adds an attribute of vertices, [N, 2 to 4].

        Args:
          values: written as float32.
          bounds: say the least and greatest values, as glTF demands of positions.

        Returns:
          The number of its accessor.
        """
        values = np.ascontiguousarray(values, "<f4")
        view = self.add_bytes(values.tobytes(), target=gltf.ARRAY_BUFFER)
        return self._add_accessor(values, bufferView=view, **(_bounds(values) if bounds else {}))

    def add_indices(self, triangles: np.ndarray, *, vertex_count: int) -> int:
        """Adds triangles [T, 3]; returns the number of their accessor."""
        indices = triangles.astype(_index_type(vertex_count)).ravel()
        view = self.add_bytes(indices.tobytes(), target=gltf.ELEMENT_ARRAY_BUFFER)
        return self._add_accessor(indices, bufferView=view)

    def add_sparse(
        self, arrays: Sequence[np.ndarray], *, tolerance: float, bounds: bool = False
    ) -> list[int]:
        """Adds attributes that are zero at most vertices.

        Args:
          arrays: each [N, 3].
          tolerance: vectors up to this length are taken for zero.
          bounds: as of add_attribute.

        Returns:
          The numbers of their accessors. All share two views of the buffer.
        """
        values = [np.ascontiguousarray(array, "<f4") for array in arrays]
        moved = [np.flatnonzero(_squared(array) > tolerance**2) for array in values]
        if not any(len(vertices) for vertices in moved):
            return [self._add_zeros(array, bounds) for array in values]
        index_type = _index_type(max(len(array) for array in values))
        indices = [vertices.astype(index_type) for vertices in moved]
        kept = [array[vertices] for array, vertices in zip(values, moved)]
        views = [
            self.add_bytes(b"".join(map(np.ndarray.tobytes, part))) for part in (indices, kept)
        ]
        accessors, begin = [], 0
        for array, index, value in zip(values, indices, kept):
            limits = _bounds(value, zero=len(index) < len(array)) if bounds and len(index) else {}
            sparse = _sparse(views, begin, index)
            accessors.append(
                self._add_accessor(array, byteOffset=None, sparse=sparse, **limits)
                if len(index)
                else self._add_zeros(array, bounds)
            )
            begin += len(index)
        return accessors

    def _add_zeros(self, array: np.ndarray, bounds: bool) -> int:
        """An accessor without a view is all zeros."""
        limits = {"min": [0.0] * array.shape[1], "max": [0.0] * array.shape[1]} if bounds else {}
        return self._add_accessor(array, byteOffset=None, **limits)

    def _add_accessor(self, values: np.ndarray, **facts) -> int:
        accessor = gltf.Accessor(
            componentType=_COMPONENTS[values.dtype.str],
            count=len(values),
            type=_TYPES[values.shape[1] if values.ndim > 1 else 1],
            **facts,
        )
        self.accessors.append(accessor)
        return len(self.accessors) - 1


def _sparse(views: Sequence[int], begin: int, index: np.ndarray) -> gltf.Sparse:
    """Where the values [N, 3] of some vertices are: from the begin-th on in views of all."""
    indices = gltf.AccessorSparseIndices(
        bufferView=views[0],
        byteOffset=begin * index.itemsize,
        componentType=_COMPONENTS[index.dtype.str],
    )
    values = gltf.AccessorSparseValues(bufferView=views[1], byteOffset=begin * _VECTOR_BYTES)
    return gltf.Sparse(count=len(index), indices=indices, values=values)


def _index_type(vertex_count: int) -> str:
    # The largest number means something else (a restart) in indices.
    return "<u2" if vertex_count <= np.iinfo(np.uint16).max else "<u4"


def _squared(vectors: np.ndarray) -> np.ndarray:
    """Squared lengths of vectors [N, C]."""
    return np.einsum("ij,ij->i", vectors, vectors)


def _bounds(values: np.ndarray, *, zero: bool = False) -> dict[str, list[float]]:
    """Least and greatest values of each component, of zero too where it is said."""
    least, greatest = values.min(0), values.max(0)
    if zero:
        least, greatest = np.minimum(least, 0), np.maximum(greatest, 0)
    return {"min": least.tolist(), "max": greatest.tolist()}
