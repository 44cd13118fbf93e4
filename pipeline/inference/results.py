"""The folder of results: whose the names in it are, what is finished, who is at work there."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO

from facemodel.files import file_digest
from pipeline.inference.photo_files import Photo
from pipeline.runs.places import try_to_hold
from serving.output.description import read_description
from serving.output.file_names import ONLY_WITH_DETAIL, suffixes

LONGEST_NAME = 150
"""Bytes; names of files may have 255, with what is added to these. Longer ones become a digest."""


class ResultError(ValueError):
    """A photo whose results cannot be written; one line that begins with its path."""


@dataclasses.dataclass(frozen=True)
class Claim:
    """A name in the folder of results that one photo has while it is worked on.

    Attributes:
      name: First part of the names of all files.
      source: What the descriptions say about the photo's file: place and digest.
      finished: Number of faces whose files are all there from an earlier run; 0 if any is missing.
      kept: Names of meshes and pictures of this very photo that an earlier run wrote, which stay.
    """

    name: str
    source: dict[str, str]
    finished: int = 0
    kept: frozenset[str] = frozenset()


@contextlib.contextmanager
def claim_name(
    folder: pathlib.Path,
    photo: Photo,
    *,
    formats: Sequence[str],
    options: Mapping[str, object],
    max_faces: int | None,
    overwrite: bool,
    model: Callable[[], Mapping[str, object] | None],
) -> Iterator[Claim]:
    """Gives a photo a name in the folder, and keeps other runs from it while the body works.

    The name is the photo's place without its suffix, `anna/1/img.jpg` -> `anna_1_img`; where
    another photo has that, the suffix, the folder's name and at last a number follow.

    Args:
      folder: Folder of results.
      photo: Photo to work on.
      formats: Mesh formats that are wanted.
      options: What descriptions say about how heads are made.
      max_faces: How many faces were asked for; None for all.
      overwrite: Whether files that exist may be replaced.
      model: Returns what descriptions say about the model in use; None if that is not known.

    Raises:
      ResultError: if another run is at work on it, or files exist that are not of this photo as it
        is now.
    """
    source = {"path": photo.place.as_posix(), "sha256": file_digest(photo.path)}
    for name in _candidates(photo):
        with _locked(folder / f".{name}.claim", source["path"]) as holder:
            description = read_description(folder / f"{name}_0.json")
            owner = description["photo"] if description else {}
            taken = holder or owner.get("path", owner.get("name", source["path"]))
            if taken != source["path"]:
                continue
            if holder:
                raise ResultError(f"{photo.path}: another run is making {folder / name}_*")
            existing = _existing(folder, name, (*suffixes(formats), *ONLY_WITH_DETAIL))
            if existing and not overwrite:
                _check_same(photo, folder / min(existing), source, description, options, model)
            kept = frozenset() if overwrite else frozenset(existing)
            faces = owner["faces"] if kept and owner["max_faces"] == max_faces else 0
            ends = suffixes(formats, textured=bool(options.get("texture", True)))
            wanted = {f"{name}_{k}.{end}" for k in range(faces) for end in ends}
            finished = faces if wanted <= kept else 0
            kept = frozenset(file for file in kept if not file.endswith(".json"))
            yield Claim(name, source, finished, kept)
            return


def _check_same(
    photo: Photo,
    file: pathlib.Path,
    source: Mapping[str, str],
    description: Mapping | None,
    options: Mapping[str, object],
    model: Callable[[], Mapping[str, object] | None],
) -> None:
    """Raises ResultError unless files that exist were made so of this photo by this model."""
    if not description or description["photo"].get("sha256") != source["sha256"]:
        reason = "of another photo or of this one before it changed"
    elif (known := model()) and known != description["model"]:
        reason = "made by another model"
    elif description.get("options") != options:
        reason = "made with other options"
    else:
        return
    raise ResultError(
        f"{photo.path}: {file} exists already, {reason}; --overwrite replaces such files"
    )


def first_names(photo: Photo) -> tuple[str, ...]:
    """The names that a photo takes unless all of them are taken, the shortest first."""
    return tuple(itertools.islice(_candidates(photo), 3))


def _candidates(photo: Photo) -> Iterator[str]:
    """Names for a photo, the shortest first; the same ones whatever other photos there are."""
    stem = "_".join(photo.place.with_suffix("").parts)
    if len(os.fsencode(stem)) > LONGEST_NAME:
        stem = hashlib.sha256(os.fsencode(stem)).hexdigest()[:32]
    suffix = photo.path.suffix.lstrip(".").lower()
    parent = pathlib.Path(os.path.realpath(photo.path)).parent.name
    yield from (stem, f"{stem}_{suffix}", f"{parent}_{stem}_{suffix}")
    yield from (f"{parent}_{stem}_{suffix}_{number}" for number in itertools.count(2))


@contextlib.contextmanager
def _locked(path: pathlib.Path, text: str) -> Iterator[str]:
    """Holds a file with a text while the body runs; yields "", or the other holder's text."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(path, "a+", encoding="utf-8"))
        while not _try_lock(file):
            file.seek(0)
            if holder := file.read():
                yield holder
                return
            file = stack.enter_context(open(path, "a+", encoding="utf-8"))
        file.truncate(0)
        file.write(text)
        file.flush()
        stack.callback(path.unlink, missing_ok=True)
        yield ""


def _try_lock(file: IO[str]) -> bool:
    """Whether the file could be locked and has not been removed by its last holder since."""
    return try_to_hold(file) and os.fstat(file.fileno()).st_nlink > 0


def _existing(folder: pathlib.Path, name: str, endings: Sequence[str]) -> set[str]:
    """The files of any face of a name."""
    ends = "|".join(map(re.escape, endings))
    pattern = re.compile(rf"{re.escape(name)}_\d+\.({ends})")
    return {entry.name for entry in folder.iterdir() if pattern.fullmatch(entry.name)}
