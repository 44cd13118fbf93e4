"""Which reader a file or folder is for."""

from __future__ import annotations

import importlib
import os
import pathlib

from facemodel.morphable.mesh import ModelError
from facemodel.morphable.readers.foreign import ForeignModel

READERS = {
    ".mat": "basel2009",
    ".h5": "basel_h5",
    ".hdf5": "basel_h5",
    ".pkl": "flame",
    ".pickle": "flame",
    ".npz": "flame",
    ".bin": "surrey",
}
"""Suffix -> module of this room; a folder is ICT-FaceKit's."""


def read_foreign(path: str | os.PathLike[str]) -> ForeignModel:
    """Reads a face model of any known kind.

    Args:
      path: Basel's .mat or .h5, FLAME's .pkl or .npz, ICT-FaceKit's folder, eos's .bin.

    Raises:
      ModelError: naming the file: it is missing, of no known kind, or damaged.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise ModelError(f"{path}: no such file or folder")
    module = "ict" if path.is_dir() else READERS.get(path.suffix.lower())
    if module is None:
        kinds = ", ".join(READERS)
        raise ModelError(f"{path}: should be {kinds} or ICT-FaceKit's folder")
    reader = importlib.import_module(f"facemodel.morphable.readers.{module}")
    model: ForeignModel = reader.read(path)
    return model
