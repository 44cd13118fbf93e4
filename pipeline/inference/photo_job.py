"""The photos of one run, one after the other: reconstruct, make the head, write the files."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
import time
from collections.abc import Callable

import numpy as np
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from pipeline.inference.photo_checks import ReconstructionError
from pipeline.inference.photo_files import Photo
from pipeline.inference.results import Claim, claim_name
from pipeline.inference.starting import CannotStart
from pipeline.inference.tally import Tally
from serving.images import check_file, read_photo
from serving.output.description import describes_face
from serving.output.file_names import ONLY_WITH_DETAIL, suffixes


class Job:
    """One run of the command over a list of photos."""

    def __init__(self, output, overwrite, max_faces, formats, options, console, model):
        self._output, self._overwrite, self._max_faces = output, overwrite, max_faces
        self._formats, self._options = formats, options
        self._console, self._model = console, model

    def run(self, photos: list[Photo], start: Callable) -> int:
        """Works through the photos; returns how many failed."""
        began, tally = time.monotonic(), Tally()
        self._inputs = {os.path.realpath(photo.path) for photo in photos}
        with contextlib.ExitStack() as stack:
            progress = self._progress(stack)
            started = functools.cache(lambda: stack.enter_context(start()))
            task = progress.add_task("", total=len(photos))
            for photo in photos:
                progress.update(task, description=photo.path.name)
                try:
                    self._one(started, photo, tally)
                except CannotStart as error:
                    progress.console.print(f"error: {error}", markup=False)
                    return len(photos)
                except (ValueError, OSError) as error:
                    tally.failed += 1
                    progress.console.print(f"error: {_line(photo.path, error)}", markup=False)
                progress.advance(task)
        seconds = time.monotonic() - began
        self._console.print(tally.summary(self._output, seconds), markup=False)
        return tally.failed

    def _progress(self, stack: contextlib.ExitStack) -> Progress:
        """Shown on a screen only, as it leaves an empty line elsewhere."""
        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
        progress = Progress(*columns, console=self._console, transient=True)
        return stack.enter_context(progress) if self._console.is_interactive else progress

    def _one(self, started: Callable, photo: Photo, tally: Tally) -> None:
        """All faces of one photo. Nothing is written unless all were made."""
        check_file(photo.path)
        with claim_name(
            self._output,
            photo,
            formats=self._formats,
            options=dataclasses.asdict(self._options),
            max_faces=self._max_faces,
            overwrite=self._overwrite,
            model=self._model,
        ) as claim:
            if claim.finished:
                tally.finished += 1
                return
            image = read_photo(photo.path)
            reconstructor, make_head = started()
            found = reconstructor.reconstruct(image, max_faces=self._max_faces)
            if not found:
                width = reconstructor.detector.smallest_face_px(image)
                raise ReconstructionError(
                    f"{photo.path}: no face found that is at least {width:.0f} px wide "
                    "(--min-face looks for smaller ones)"
                )
            self._write(photo, claim, image, found, make_head)
            tally.photos, tally.faces = tally.photos + 1, tally.faces + len(found)

    def _write(
        self, photo: Photo, claim: Claim, image: np.ndarray, found: list, make_head: Callable
    ) -> None:
        from serving.output.face_files import encode_face, write_face

        facts = {
            "name": photo.path.name,
            **claim.source,
            "faces": len(found),
            "max_faces": self._max_faces,
        }
        made = {}
        for k, face in enumerate(found):
            name = f"{claim.name}_{k}"
            head = make_head(image, face, name=name, options=self._options)
            made[name] = encode_face(
                image, face, name=name, photo_facts=facts, head=head, options=self._options,
                formats=self._formats,
            )  # fmt: skip
        self._spare_inputs(photo.path, made)
        for name, files in made.items():
            new = {end: data for end, data in files.items() if f"{name}.{end}" not in claim.kept}
            write_face(self._output, name, new)
        if self._overwrite:
            self._remove_earlier(claim.name, len(found))

    def _remove_earlier(self, name: str, found: int) -> None:
        """Removes what --overwrite would leave of an earlier run that found more faces."""
        for k in itertools.count(found):
            description = self._output / f"{name}_{k}.json"
            if not describes_face(description):
                return
            for file in (
                description.with_suffix(f".{end}") for end in (*suffixes(), *ONLY_WITH_DETAIL)
            ):
                if os.path.realpath(file) not in self._inputs:
                    file.unlink(missing_ok=True)

    def _spare_inputs(self, photo: pathlib.Path, made: dict[str, dict[str, bytes]]) -> None:
        """Raises if a result would replace one of the photos, which --overwrite does not mean."""
        targets = (self._output / f"{name}.{end}" for name, files in made.items() for end in files)
        for target in targets:
            if os.path.realpath(target) in self._inputs:
                raise ReconstructionError(f"{photo}: its result {target} would replace a photo")


def _line(photo: pathlib.Path, error: Exception) -> str:
    """One line that begins with the file's name."""
    if isinstance(error, OSError) and error.strerror:
        return f"{photo}: {error.filename or ''} {error.strerror}".replace("  ", " ")
    text = " ".join(str(error).split())
    return text if text.startswith(str(photo)) else f"{photo}: {text}"
