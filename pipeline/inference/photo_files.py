"""Finds the photos in files and folders, and passes over what this project made itself."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

from serving.output.description import describes_face

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
"""What counts as a photo in a folder; a file that is named itself is read whatever its suffix."""


class Photo(NamedTuple):
    """A photo to work on.

    Attributes:
      path: File, as it can be opened from here.
      place: Path below the folder that was given; the file's name if the file itself was.
    """

    path: pathlib.Path
    place: pathlib.PurePath


def find_photos(
    inputs: Iterable[str | os.PathLike[str]], *, leave_out: pathlib.Path | None = None
) -> list[Photo]:
    """Lists the photos to work on.

    A file stands for itself. A folder stands for all files in it and in its subfolders whose
    suffix is in SUFFIXES, in order of their paths; hidden files and folders are passed over, and so
    are overview pictures of earlier results; links to folders are not followed. Each file is listed
    once. What is missing or cannot be read, also a folder in a folder, is listed for read_photo to
    refuse it.

    Args:
      inputs: Files and folders.
      leave_out: Folder whose files are not listed unless they are named themselves (the output
        folder).
    """
    left_out = _real(leave_out) if leave_out else None
    found: dict[pathlib.Path, Photo] = {}
    for path in map(pathlib.Path, inputs):
        if os.path.isdir(path):
            photos = [Photo(file, file.relative_to(path)) for file in _photos_in(path, left_out)]
        else:
            photos = [Photo(path, pathlib.PurePath(path.name))]
        for photo in photos:
            found.setdefault(_real(photo.path), photo)
    return list(found.values())


def _real(path: pathlib.Path) -> pathlib.Path:
    """The path without links; unlike Path.resolve, also of a link that leads to itself."""
    return pathlib.Path(os.path.realpath(path))


def _photos_in(folder: pathlib.Path, left_out: pathlib.Path | None) -> list[pathlib.Path]:
    photos: list[pathlib.Path] = []
    closed: list[OSError] = []
    for root, folders, files in os.walk(folder, onerror=closed.append):
        here = pathlib.Path(root)
        folders[:] = [
            name for name in folders if not name.startswith(".") and _real(here / name) != left_out
        ]
        photos += [here / name for name in files if _is_photo(here / name)]
    return sorted([*photos, *(pathlib.Path(error.filename) for error in closed)])


def _is_photo(path: pathlib.Path) -> bool:
    if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
        return False
    return not (path.suffix == ".png" and describes_face(path.with_suffix(".json")))
