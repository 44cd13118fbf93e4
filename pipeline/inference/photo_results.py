"""The files of one photo's faces, written all or not at all."""

from __future__ import annotations

import itertools
import os
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from pipeline.inference.photo_checks import ReconstructionError
from pipeline.inference.results import Claim
from serving.output.description import describes_face
from serving.output.file_names import ONLY_WITH_DETAIL, PARTS, suffixes
from serving.stopwatch import Stage, unmeasured


def write_results(
    folder: pathlib.Path,
    claim: Claim,
    encoders: Sequence[Callable[[str], Mapping[str, bytes]]],
    *,
    photo: pathlib.Path,
    inputs: Collection[str],
    overwrite: bool,
    stage: Stage = unmeasured,
) -> None:
    """Writes the files of all faces of a photo, once all have been made.

    Args:
      folder: of the results.
      claim: the photo's name in it.
      encoders: for each face, what gives the contents of its files by suffix, for its name.
      photo: the photo's file, for errors.
      inputs: real paths of all photos of the run, which no result may replace.
      overwrite: remove what an earlier run left that found more faces, or more for a mesh: a
        texture, a normal map.
      stage: measures "write".

    Raises:
      ReconstructionError: if a result would replace a photo.
    """
    from serving.output.face_files import write_face

    names = [f"{claim.name}_{k}" for k in range(len(encoders))]
    made = {name: encode(name) for name, encode in zip(names, encoders)}
    for name, files in made.items():
        for target in (folder / f"{name}.{end}" for end in files):
            if os.path.realpath(target) in inputs:
                raise ReconstructionError(f"{photo}: its result {target} would replace a photo")
    with stage("write"):
        for name, files in made.items():
            new = {end: data for end, data in files.items() if f"{name}.{end}" not in claim.kept}
            write_face(folder, name, new)
        if overwrite:
            _remove_earlier(folder, claim.name, len(encoders), inputs)
            for name, files in made.items():
                _remove(folder / name, _left_over(files), inputs)


def _remove_earlier(folder: pathlib.Path, name: str, found: int, inputs: Collection[str]) -> None:
    """Removes the files of faces from the number `found` on; photos of the run stay."""
    for k in itertools.count(found):
        description = folder / f"{name}_{k}.json"
        if not describes_face(description):
            return
        _remove(folder / f"{name}_{k}", (*suffixes(), *ONLY_WITH_DETAIL), inputs)


def _left_over(files: Collection[str]) -> set[str]:
    """What belongs to meshes that are written now, and is not written with them."""
    parts = {end for mesh, ends in PARTS.items() if mesh in files for end in ends}
    if "obj" in files:
        parts.update(ONLY_WITH_DETAIL)
    return parts - set(files)


def _remove(face: pathlib.Path, ends: Iterable[str], inputs: Collection[str]) -> None:
    for end in ends:
        file = face.with_name(f"{face.name}.{end}")
        if os.path.realpath(file) not in inputs:
            file.unlink(missing_ok=True)
