"""The folder of pushed models, which a model server watches: SERVING_DIR/<version>/saved_model.pb.

A version appears by a rename, so a server never sees a part of one. A folder whose name is not a
number is no version: withdrawing one renames it.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import time

from facemodel.saved_model import EXTRA

SAVED_MODEL = "saved_model.pb"
SOURCE_FILE = EXTRA / "pushed_from"
"""Says of which artifact a version is a copy."""
WITHDRAWN = "withdrawn-"


class ServedModelsError(ValueError):
    """A folder of models in which something is missing."""


def versions(folder: str | os.PathLike[str]) -> dict[int, pathlib.Path]:
    """The complete versions in a folder, oldest first; none if there is no such folder."""
    places = pathlib.Path(folder).glob("*/" + SAVED_MODEL)
    numbered = {
        int(place.parent.name): place.parent
        for place in places
        if place.parent.name.isascii() and place.parent.name.isdecimal()
    }
    return dict(sorted(numbered.items()))


def withdrawn(folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The versions that a roll-back took out of service."""
    places = pathlib.Path(folder).glob(f"{WITHDRAWN}*/{SAVED_MODEL}")
    return sorted(place.parent for place in places)


def source_of(version: str | os.PathLike[str]) -> str:
    """Of which artifact a version is a copy; empty if it does not say."""
    file = pathlib.Path(version) / SOURCE_FILE
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def push(model: str | os.PathLike[str], folder: str | os.PathLike[str], *, source: str) -> int:
    """Adds a version; one that is a copy of the same source, and the newest, stays the newest.

    Args:
      model: a SavedModel's folder.
      folder: of the versions, made if missing.
      source: the URI of the artifact.

    Returns:
      The version's number: seconds since 1970, or more if a newer one is there.
    """
    folder = pathlib.Path(folder)
    present = versions(folder)
    newest = max(present, default=0)
    if present and source_of(present[newest]) == source:
        return newest
    number = max(int(time.time()), newest + 1)
    temporary = folder / f".{number}.{os.getpid()}.part"
    try:
        shutil.copytree(model, temporary)
        file = temporary / SOURCE_FILE
        file.parent.mkdir(exist_ok=True)
        file.write_text(source + "\n", encoding="utf-8")
        temporary.rename(folder / str(number))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return number


def withdraw(folder: str | os.PathLike[str], *, to: int | None = None) -> list[int]:
    """Rolls back: renames the versions above one, so that servers go back to it.

    Args:
      folder: of the versions.
      to: the version to go back to; the one before the newest if None.

    Returns:
      The versions that were withdrawn, newest first.

    Raises:
      ServedModelsError: if there is no such version, or none to go back to.
    """
    present = versions(folder)
    if to is None:
        if len(present) < 2:
            raise ServedModelsError(f"{folder}: holds no version before the newest")
        to = sorted(present)[-2]
    if to not in present:
        known = ", ".join(map(str, present)) or "none"
        raise ServedModelsError(f"{folder}: holds no version {to}; there are: {known}")
    newer = sorted((number for number in present if number > to), reverse=True)
    for number in newer:
        present[number].rename(present[number].with_name(f"{WITHDRAWN}{number}"))
    return newer
