"""Pickles that hold arrays alone, read without running anything that they name.

An ordinary pickle may call any function. This reader knows numpy's arrays, and puts scipy's sparse
matrices and chumpy's arrays into plain holders of their fields; whatever else a file names is
refused before it is looked up.
"""

from __future__ import annotations

import io
import os
import pickle
from typing import Any

import numpy as np
from scipy import sparse

from facemodel.morphable.mesh import ModelError


class Holder:
    """The fields of an object whose class is not loaded."""

    def __init__(self, *_args: Any):
        pass


class Chumpy(Holder):
    """chumpy.ch.Ch: its array is x."""


class ChumpySelect(Holder):
    """chumpy.reordering.Select: a.ravel()[idxs], in the preferred shape."""


class SparseColumns(Holder):
    """scipy's csc_matrix: data, indices, indptr, _shape."""


class SparseRows(Holder):
    """scipy's csr_matrix."""


def _plain_object(kind: type, _base: type, _state: Any) -> Any:
    """copyreg's _reconstructor for the holders, which have no base with a state."""
    if not issubclass(kind, Holder):
        raise pickle.UnpicklingError(f"refused to rebuild {kind.__name__}")
    return kind()


def _latin_bytes(text: str, _encoding: str = "latin1") -> bytes:
    """_codecs.encode, as newer Pythons pickle bytes for older protocols."""
    return text.encode("latin1")


def _known() -> dict[tuple[str, str], Any]:
    from numpy.core import multiarray

    known: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _latin_bytes,
        ("copy_reg", "_reconstructor"): _plain_object,
        ("copyreg", "_reconstructor"): _plain_object,
        ("__builtin__", "object"): object,
        ("builtins", "object"): object,
        ("__builtin__", "set"): set,
        ("builtins", "set"): set,
        ("chumpy.ch", "Ch"): Chumpy,
        ("chumpy.reordering", "Select"): ChumpySelect,
    }
    for package in ("numpy.core.multiarray", "numpy._core.multiarray"):
        known[package, "_reconstruct"] = multiarray._reconstruct  # type: ignore[attr-defined]
        known[package, "scalar"] = multiarray.scalar  # type: ignore[attr-defined]
    for kind, holder in (("csc", SparseColumns), ("csr", SparseRows)):
        for module in (f"scipy.sparse.{kind}", f"scipy.sparse._{kind}"):
            known[module, f"{kind}_matrix"] = holder
    return known


class _ArrayUnpickler(pickle.Unpickler):
    _KNOWN = _known()

    def find_class(self, module: str, name: str) -> Any:
        """Only what arrays are made of."""
        try:
            return self._KNOWN[module, name]
        except KeyError:
            raise ModelError(
                f"refused: it names {module}.{name}, and only arrays are read from pickles"
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        """Never."""
        raise ModelError("refused: it refers to objects outside of the file")


def load_arrays(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a pickled dictionary of arrays, of Python 2 or 3.

    Returns:
      Name -> array, sparse matrix or plain value.

    Raises:
      ModelError: if the file names anything but arrays, or holds no dictionary.
    """
    with open(path, "rb") as file:
        content = _ArrayUnpickler(io.BytesIO(file.read()), encoding="latin1").load()
    if not isinstance(content, dict):
        raise ModelError(f"should hold a dictionary, got {type(content).__name__}")
    return {_text(name): as_array(value) for name, value in content.items()}


def _text(name: Any) -> str:
    return name.decode("latin1") if isinstance(name, bytes) else str(name)


def as_array(value: Any) -> Any:
    """A holder's array or matrix, checked; other values as they are.

    Raises:
      ModelError: if its fields do not make one.
    """
    if isinstance(value, Chumpy):
        return np.asarray(as_array(vars(value)["x"]))
    if isinstance(value, ChumpySelect):
        fields = vars(value)
        chosen = np.asarray(as_array(fields["a"])).ravel()[np.asarray(fields["idxs"])]
        shape = fields.get("preferred_shape")
        return chosen if shape is None else chosen.reshape(shape)
    if isinstance(value, SparseColumns | SparseRows):
        fields = vars(value)
        kind = sparse.csc_matrix if isinstance(value, SparseColumns) else sparse.csr_matrix
        parts = (fields["data"], fields["indices"], fields["indptr"])
        matrix = kind(parts, shape=fields.get("_shape", fields.get("shape")))
        matrix.check_format(full_check=True)
        return matrix
    return value
