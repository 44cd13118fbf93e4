"""The photos of one run, several at once: find faces, reconstruct, make heads, write files."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from pipeline.inference.overlap import Once, Step, in_order
from pipeline.inference.photo_checks import ReconstructionError
from pipeline.inference.photo_files import Photo
from pipeline.inference.photo_results import write_results
from pipeline.inference.results import Claim, claim_name
from pipeline.inference.starting import CannotStart, Started
from pipeline.inference.tally import Tally
from pipeline.inference.turns import Turns
from serving.head_options import HeadOptions
from serving.images import check_file, read_photo
from serving.stopwatch import Stage, unmeasured

AHEAD = 4
"""Photos that are begun and not finished."""
HEAD_THREADS = 2


@dataclasses.dataclass
class Work:
    """A photo on its way.

    Attributes:
      photo: its file.
      claim: its name in the folder of results.
      held: what it holds until it is finished: that name, and its turns.
      image: uint8 [H, W, 3]; empty if an earlier run has done the photo.
      faces: DetectedFaces, then Reconstructions.
    """

    photo: Photo
    claim: Claim
    held: contextlib.ExitStack
    image: np.ndarray
    faces: Sequence[Any]


class Job:
    """One run of the command over a list of photos.

    Args:
      output: folder of the results.
      start: loads what photos need, once one does.
      formats: of the meshes.
      options: what heads get.
      overwrite: replace files that exist.
      max_faces: of each photo; None for all.
      console: for messages.
      model: returns what descriptions say about the model; None if that is not known.
      stage: measures the parts.
      network_threads: how many photos may be in the step of the network at once.
    """

    def __init__(
        self,
        output: pathlib.Path,
        start: Callable[[], AbstractContextManager[Started]],
        *,
        formats: Sequence[str],
        options: HeadOptions,
        overwrite: bool,
        max_faces: int | None,
        console: Console,
        model: Callable[[], Mapping[str, object] | None],
        stage: Stage = unmeasured,
        network_threads: int = 1,
    ):
        self._output, self._start, self._model = output, start, model
        self._network_threads = network_threads
        self._formats, self._options = formats, options
        self._overwrite, self._max_faces = overwrite, max_faces
        self._console, self._stage = console, stage

    def run(self, photos: list[Photo]) -> int:
        """Works through the photos; returns how many failed."""
        began, tally = time.monotonic(), Tally()
        self._inputs = {os.path.realpath(photo.path) for photo in photos}
        with contextlib.ExitStack() as stack:
            self._held = stack.enter_context(contextlib.ExitStack())
            self._started = Once(lambda: stack.enter_context(self._start()))
            progress = self._progress(stack)
            try:
                self._work_through(photos, tally, progress)
            except CannotStart as error:
                progress.console.print(f"error: {error}", markup=False)
                return len(photos)
        self._console.print(tally.summary(self._output, time.monotonic() - began), markup=False)
        return tally.failed

    def _work_through(self, photos: list[Photo], tally: Tally, progress: Progress) -> None:
        """Counts what becomes of the photos and prints their errors, in their order."""
        steps = (
            Step(self._find),
            Step(self._reconstruct, self._network_threads),
            Step(self._write, HEAD_THREADS),
        )
        task = progress.add_task("", total=len(photos))
        with (
            contextlib.closing(in_order(photos, steps, ahead=AHEAD)) as results,
            Turns(photos) as self._turns,
        ):
            for photo, result in zip(photos, results, strict=True):
                progress.update(task, description=photo.path.name)
                try:
                    work = result()
                    tally.add(len(work.faces), finished=work.claim.finished > 0)
                except (ValueError, OSError) as error:
                    tally.failed += 1
                    progress.console.print(f"error: {_line(photo.path, error)}", markup=False)
                progress.advance(task)

    def _progress(self, stack: contextlib.ExitStack) -> Progress:
        """Shown on a screen only, as it leaves an empty line elsewhere."""
        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
        progress = Progress(*columns, console=self._console, transient=True)
        return stack.enter_context(progress) if self._console.is_interactive else progress

    def _find(self, photo: Photo) -> Work:
        """First step: reads a photo and finds its faces, unless it is finished."""
        check_file(photo.path)
        with contextlib.ExitStack() as held:
            held.enter_context(self._turns.of_name(photo))
            claim = held.enter_context(self._claim(photo))
            work = Work(photo, claim, held, np.empty(0, np.uint8), ())
            if not claim.finished:
                with self._stage("read"):
                    work.image = read_photo(photo.path)
                held.enter_context(self._turns.of_size(work.image.nbytes))
                work.faces = self._detect(photo, work.image)
            work.held = held.pop_all()
        self._held.callback(work.held.close)  # if it comes no further
        return work

    def _claim(self, photo: Photo) -> AbstractContextManager[Claim]:
        return claim_name(
            self._output,
            photo,
            formats=self._formats,
            options=dataclasses.asdict(self._options),
            max_faces=self._max_faces,
            overwrite=self._overwrite,
            model=self._model,
        )

    def _detect(self, photo: Photo, image: np.ndarray) -> Sequence[Any]:
        """The faces, largest first; raises ReconstructionError if there are none."""
        detector = self._started().detector()
        with self._stage("detect"):
            faces = detector.detect(image)[: self._max_faces]
        if not faces:
            width = detector.smallest_face_px(image)
            raise ReconstructionError(
                f"{photo.path}: no face found that is at least {width:.0f} px wide "
                "(--min-face looks for smaller ones)"
            )
        return faces

    def _reconstruct(self, work: Work) -> Work:
        """Second step: the network."""
        try:
            if not work.claim.finished:
                reconstruct = self._started().reconstructor().reconstruct_face
                with self._stage("network"):
                    work.faces = [reconstruct(work.image, face) for face in work.faces]
        except BaseException:
            work.held.close()
            raise
        return work

    def _write(self, work: Work) -> Work:
        """Third step: heads and files. Nothing is written unless all were made."""
        with work.held:
            if not work.claim.finished:
                write_results(
                    self._output,
                    work.claim,
                    [functools.partial(self._encode, work, face) for face in work.faces],
                    photo=work.photo.path,
                    inputs=self._inputs,
                    overwrite=self._overwrite,
                    stage=self._stage,
                )
        work.image = np.empty(0, np.uint8)
        return work

    def _encode(self, work: Work, face: Any, name: str) -> dict[str, bytes]:
        """The files of one face."""
        from serving.output.face_files import encode_face

        maker, image = self._started().heads(), work.image
        facts = {
            "name": work.photo.path.name,
            **work.claim.source,
            "faces": len(work.faces),
            "max_faces": self._max_faces,
        }
        head = None  # of another face model
        if maker.fits(face):
            with self._stage("head"):
                head = maker.make(
                    image, face, name=name, options=self._options, stage=self._part_of_head
                )
        return encode_face(
            image, face, name=name, photo_facts=facts, head=head, options=self._options,
            formats=self._formats, stage=self._stage,
        )  # fmt: skip

    def _part_of_head(self, name: str) -> AbstractContextManager[None]:
        return self._stage(f"  {name}")


def _line(photo: pathlib.Path, error: Exception) -> str:
    """One line that begins with the file's name."""
    if isinstance(error, OSError) and error.strerror:
        return f"{photo}: {error.filename or ''} {error.strerror}".replace("  ", " ")
    text = " ".join(str(error).split())
    return text if text.startswith(str(photo)) else f"{photo}: {text}"
