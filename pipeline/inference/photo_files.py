"""Finds the photos in folders and gives each a name of its own."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
"""What counts as a photo in a folder; a file that is named itself is read whatever its suffix."""


def find_photos(
    inputs: Iterable[str | os.PathLike[str]], *, leave_out: pathlib.Path | None = None
) -> list[pathlib.Path]:
    """Lists the photos to work on.

    A file stands for itself. A folder stands for all files in it and in its subfolders whose
    suffix is in SUFFIXES, in order of their paths; hidden files and folders are passed over, links
    to folders are not followed. Each file is listed once. What is missing or cannot be read, also a
    folder in a folder, is listed for read_photo to refuse it.

    Args:
      inputs: files and folders.
      leave_out: a folder whose files are not listed unless they are named themselves (the output
        folder).
    """
    left_out = _real(leave_out) if leave_out else None
    found: dict[pathlib.Path, pathlib.Path] = {}
    for path in map(pathlib.Path, inputs):
        for photo in _photos_in(path, left_out) if os.path.isdir(path) else [path]:
            found.setdefault(_real(photo), photo)
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
        photos += [
            here / name
            for name in files
            if pathlib.Path(name).suffix.lower() in SUFFIXES and not name.startswith(".")
        ]
    return sorted([*photos, *(pathlib.Path(error.filename) for error in closed)])


def unique_names(paths: list[pathlib.Path]) -> list[str]:
    """Short names for photos, no two alike.

    The stem where no other photo has it; otherwise stem and suffix ("anna_jpg"), the folder before
    it ("holiday_anna_jpg"), and at last a number ("holiday_anna_jpg_2"). Case is ignored in the
    comparison, because some file systems do.
    """
    makers = (
        lambda path: path.stem,
        lambda path: f"{path.stem}_{path.suffix.lstrip('.').lower()}",
        lambda path: f"{_real(path).parent.name}_{path.stem}_{path.suffix.lstrip('.').lower()}",
    )
    names: dict[int, str] = {}
    taken: set[str] = set()
    left = list(range(len(paths)))
    for make in makers:
        wanted = [make(paths[k]) for k in left]
        folded = [name.lower() for name in wanted]
        for k, name, fold in zip(list(left), wanted, folded, strict=True):
            if folded.count(fold) == 1 and fold not in taken:
                names[k] = name
        taken |= {name.lower() for name in names.values()}
        left = [k for k in left if k not in names]
    for k in left:
        name, number = makers[-1](paths[k]), 2
        while f"{name}_{number}".lower() in taken:
            number += 1
        names[k] = f"{name}_{number}"
        taken.add(names[k].lower())
    return [names[k] for k in range(len(paths))]
