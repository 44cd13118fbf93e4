"""Finds the photos in files and folders, and passes over what this project made itself."""

from __future__ import annotations

import collections
import os
import pathlib
from collections.abc import Iterable
from typing import NamedTuple

from serving.output.description import describes_face
from serving.output.file_names import PICTURES

SUFFIXES = frozenset(
    [
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".png",
        ".webp",
        ".bmp",
        ".tif",
        ".tiff",
        ".gif",
        ".jp2",
        ".heic",
        ".heif",
        ".hif",
        ".avif",
    ]
)
"""What counts as a photo in a folder; a file that is named itself is read whatever its suffix."""
NOT_READ = frozenset(
    [
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".raf",
        ".orf",
        ".rw2",
        ".exr",
        ".hdr",
        ".jxl",
        ".psd",
        ".svg",
        ".pdf",
        ".ico",
        ".mp4",
        ".mov",
        ".avi",
        ".mkv",
        ".webm",
    ]
)
"""Suffixes of pictures and films that a folder may hold and that are mentioned as passed over."""


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
    return _apart(list(found.values()))


def _apart(photos: list[Photo]) -> list[Photo]:
    """The same photos; those of equal places get theirs from where they really are."""
    counts = collections.Counter(photo.place for photo in photos)
    real = {photo: _real(photo.path) for photo in photos if counts[photo.place] > 1}
    if not real:
        return photos
    common = os.path.commonpath([path.parent for path in real.values()])
    return [
        photo._replace(place=real[photo].relative_to(common)) if photo in real else photo
        for photo in photos
    ]


def passed_over(folder: pathlib.Path) -> dict[str, int]:
    """How many pictures of each kind in NOT_READ a folder and its subfolders hold, by suffix."""
    counts: collections.Counter[str] = collections.Counter()
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        visible = (name for name in files if not name.startswith("."))
        counts.update(pathlib.PurePath(name).suffix.lower() for name in visible)
    return {suffix: counts[suffix] for suffix in sorted(NOT_READ & counts.keys())}


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
    names = (path.name.removesuffix(end) for end in PICTURES if path.name.endswith(f".{end}"))
    return not any(describes_face(path.with_name(f"{name}json")) for name in names)
