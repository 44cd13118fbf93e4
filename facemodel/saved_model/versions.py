"""Folders of numbered versions of a SavedModel, as TensorFlow Serving reads them."""

from __future__ import annotations

import os
import pathlib

SAVED_MODEL = "saved_model.pb"
"""The file that makes a folder a SavedModel."""


def is_version(name: str) -> bool:
    """Whether a folder's name is the number of a version."""
    return name.isascii() and name.isdecimal()


def find_versions(folder: str | os.PathLike[str]) -> dict[int, pathlib.Path]:
    """Finds the complete versions in a folder.

    Returns:
      Folders with a saved_model.pb by number, oldest first.

    Raises:
      OSError: if the folder is missing or cannot be read.
    """
    children = [path for path in pathlib.Path(folder).iterdir() if is_version(path.name)]
    complete = {int(path.name): path for path in children if (path / SAVED_MODEL).is_file()}
    return dict(sorted(complete.items()))


def newest_model(folder: str | os.PathLike[str]) -> pathlib.Path | None:
    """The folder itself if it is a SavedModel, else its newest version; None if there is none."""
    folder = pathlib.Path(folder)
    if (folder / SAVED_MODEL).is_file():
        return folder
    versions = find_versions(folder) if folder.is_dir() else {}
    return versions[max(versions)] if versions else None
