"""The folder of pushed models, which a model server watches: SERVING_DIR/<version>/saved_model.pb.

A version appears by a rename, so a server never sees a part of one. A folder whose name is not a
number is no version: withdrawing one renames it.
"""

from __future__ import annotations

import os
import pathlib
import platform
import re
import shutil
import time

from facemodel.files import file_digest
from facemodel.saved_model.metadata import EXTRA, METADATA, read_facts
from facemodel.saved_model.versions import SAVED_MODEL, find_versions

SOURCE_FILE = EXTRA / "pushed_from"
"""Says of which artifact a version is a copy."""
CANDIDATE = "candidate"
"""Stands for a version where nothing is served yet."""
STORED_AT = "stored_at"
"""Property of a model that a step sees as a copy: the URI of the artifact."""
WITHDRAWN = "withdrawn-"
_HALF = re.compile(r"\.\d+\.(?P<host>.*)\.(?P<pid>\d+)\.part")
_HALF_SECONDS = 86400.0


class ServedModelsError(ValueError):
    """A folder of models in which something is missing."""


def versions(folder: str | os.PathLike[str]) -> dict[int, pathlib.Path]:
    """The complete versions in a folder, oldest first; none if there is no such folder."""
    return find_versions(folder) if os.path.isdir(folder) else {}


def withdrawn(folder: str | os.PathLike[str]) -> list[pathlib.Path]:
    """The versions that a roll-back took out of service."""
    places = pathlib.Path(folder).glob(f"{WITHDRAWN}*/{SAVED_MODEL}")
    return sorted(place.parent for place in places)


def source_of(version: str | os.PathLike[str]) -> str:
    """URI of the artifact that a version is a copy of; empty if unknown."""
    file = pathlib.Path(version) / SOURCE_FILE
    return file.read_text(encoding="utf-8").strip() if file.is_file() else ""


def same_model(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two SavedModels have one origin: equal facts about it, else equal files.

    The facts hold digests of data, settings and code. Files differ from one export to the next, and
    the last bits of weights from one machine to another.
    """
    facts = [read_facts(path) if _has_facts(path) else {} for path in (one, other)]
    if all("run_key" in found.get("origin", {}) for found in facts):
        for found in facts:
            found["origin"].pop("weights", None)
        return facts[0] == facts[1]
    return _file_digests(one) == _file_digests(other)


def _has_facts(path: str | os.PathLike[str]) -> bool:
    return pathlib.Path(path, METADATA).is_file()


def _file_digests(folder: str | os.PathLike[str]) -> dict[str, str]:
    paths = (path for path in pathlib.Path(folder).rglob("*") if path.is_file())
    found = {path.relative_to(folder).as_posix(): file_digest(path) for path in paths}
    return {name: digest for name, digest in found.items() if name != SOURCE_FILE.as_posix()}


def push(model: str | os.PathLike[str], folder: str | os.PathLike[str], *, source: str) -> int:
    """Adds a version, unless the newest one is the same model already.

    Args:
      model: a SavedModel's folder.
      folder: Folder of the versions, made if missing.
      source: the URI of the artifact.

    Returns:
      The version's number: seconds since 1970, or more if a newer one is there.
    """
    folder = pathlib.Path(folder)
    _remove_partial_pushes(folder)
    present = versions(folder)
    newest = max(present, default=0)
    if present and same_model(present[newest], model):
        return newest
    number = max(int(time.time()), newest + 1)
    temporary = folder / f".{number}.{platform.node()}.{os.getpid()}.part"
    try:
        shutil.copytree(model, temporary)
        file = temporary / SOURCE_FILE
        file.parent.mkdir(exist_ok=True)
        file.write_text(source + "\n", encoding="utf-8")
        temporary.rename(folder / str(number))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return number


def _remove_partial_pushes(folder: pathlib.Path) -> None:
    """Removes what pushes left that were killed: on this machine, or long ago on another one."""
    for path in folder.glob(".*.part"):
        found = _HALF.fullmatch(path.name)
        here = found and found["host"] == platform.node()
        old = time.time() - path.stat().st_mtime > _HALF_SECONDS
        if found and (not _is_alive(int(found["pid"])) if here else old):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return pid != os.getpid()


def withdraw(folder: str | os.PathLike[str], *, to: int | None = None) -> list[int]:
    """Rolls back: renames the versions above one, so that servers go back to it.

    Args:
      folder: Folder of the versions.
      to: the version to go back to; the one before the newest if None.

    Returns:
      The versions that were withdrawn, newest first.

    Raises:
      ServedModelsError: if there is no such version, or none to go back to.
    """
    if not pathlib.Path(folder).is_dir():
        raise ServedModelsError(f"{folder}: no such folder")
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
