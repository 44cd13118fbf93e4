"""Photos and folders to files: what `facerelief reconstruct` does."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from pipeline.inference.photo_files import Photo, find_photos, passed_over
from pipeline.inference.results import Claim, claim_name
from serving.head_options import HeadOptions
from serving.images import ImageError, check_file, read_photo
from serving.output.description import describes_face, model_facts
from serving.output.file_names import FORMATS, ONLY_WITH_DETAIL, suffixes
from serving.quiet import without_notices
from serving.server_access import ServerAccess


class ReconstructionError(ValueError):
    """Something that stops the whole command, or one photo; one line."""


class _CannotStart(Exception):
    """The model cannot be loaded: nothing can be reconstructed."""


def run(
    inputs: Sequence[pathlib.Path],
    output: pathlib.Path,
    *,
    model: pathlib.Path | None = None,
    server: str | None = None,
    server_model: str | None = None,
    access: ServerAccess | None = None,
    overwrite: bool = False,
    max_faces: int | None = None,
    min_face_px: float | None = None,
    formats: Sequence[str] = FORMATS,
    options: HeadOptions | None = None,
) -> int:
    """Reconstructs all faces of all photos and writes their files.

    Args:
      inputs: photos and folders of photos.
      output: folder, made if missing.
      model: a SavedModel's folder; the default model if None.
      server: HOST:PORT of a model server that is used in place of a SavedModel.
      server_model: name of the model there; "facerelief" if None.
      access: TLS, token and keep-alive of the server; none of it if None.
      overwrite: replace files that exist.
      max_faces: Number of faces of each photo, the largest; None for all.
      min_face_px: Width of the smallest face that is looked for; the detector's own if None.
      formats: File formats of the meshes.
      options: What heads get.

    Returns:
      How many inputs failed; each has had its line on standard error.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        photos, missing = _list_photos(inputs, output)
        _check_formats(formats)
        _check_choice(model, server, server_model, access)
        made = _make_output(output)
    except (ReconstructionError, ImageError) as error:
        console.print(f"error: {error}", markup=False)
        return 1
    for line in missing:
        console.print(f"error: {line}", markup=False)
    for line in map(_passed_over, filter(os.path.isdir, inputs)):
        console.print(line, end="", markup=False)
    facts = functools.cache(lambda: None if server else _local_facts(model))
    job = _Job(
        output, overwrite, max_faces, tuple(formats), options or HeadOptions(), console, facts
    )
    failed = job.run(photos, lambda: _start(model, server, server_model, access, min_face_px))
    _remove_empty(made)
    return len(missing) + failed


def _list_photos(inputs: Sequence[pathlib.Path], output: pathlib.Path):
    """The photos, and a line for each input without any."""
    each = {path: find_photos([path], leave_out=output) for path in inputs}
    missing = [f"{path}: no photo in this folder" for path, found in each.items() if not found]
    return find_photos(inputs, leave_out=output), missing


def _passed_over(folder: pathlib.Path) -> str:
    """A line on the pictures in a folder that are not read; empty if there are none."""
    counts = passed_over(folder)
    kinds = ", ".join(f"{number} {suffix}" for suffix, number in counts.items())
    return f"note: {folder}: passed over, as such files are not read: {kinds}\n" if counts else ""


def _local_facts(model: pathlib.Path | None) -> dict[str, object]:
    """What descriptions say about a SavedModel; the default one is exported if it is not yet."""
    from serving.model_store import default_model_dir, read_saved_model

    with without_notices():
        return model_facts(read_saved_model(model or default_model_dir()).facts)


def _check_formats(formats: Sequence[str]) -> None:
    known = f"known are {', '.join(FORMATS)}"
    if not formats:
        raise ReconstructionError(f"--formats: names no format; {known}")
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        raise ReconstructionError(f"--formats: unknown format {unknown[0]!r}; {known}")


def _check_choice(model, server, server_model, access: ServerAccess | None) -> None:
    if server is not None and model is not None:
        raise ReconstructionError("--model and --server exclude each other")
    if server is None and server_model is not None:
        raise ReconstructionError("--server-model needs --server")
    if server is None and access not in (None, ServerAccess()):
        raise ReconstructionError("options that begin with --server- need --server")


def _make_output(output: pathlib.Path) -> list[pathlib.Path]:
    """Makes the folder, and a file in it, to fail before any work is done.

    Returns:
      The folders that were missing, inner ones first.
    """
    try:
        missing = [path for path in (output, *output.parents) if not path.exists()]
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise ReconstructionError(f"{output}: cannot be written ({error.strerror})") from error
    return missing


def _remove_empty(folders: Iterable[pathlib.Path]) -> None:
    """Removes folders, inner ones first, as far as there is nothing in them."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


class _Job:
    """One run of the command over a list of photos."""

    def __init__(self, output, overwrite, max_faces, formats, options, console, model):
        self._output, self._overwrite, self._max_faces = output, overwrite, max_faces
        self._formats, self._options = formats, options
        self._console, self._model = console, model

    def run(self, photos: list[Photo], start: Callable) -> int:
        """Works through the photos; returns how many failed."""
        began, tally = time.monotonic(), _Tally()
        self._inputs = {os.path.realpath(photo.path) for photo in photos}
        with contextlib.ExitStack() as stack:
            progress = self._progress(stack)
            started = functools.cache(lambda: stack.enter_context(start()))
            task = progress.add_task("", total=len(photos))
            for photo in photos:
                progress.update(task, description=photo.path.name)
                try:
                    self._one(started, photo, tally)
                except _CannotStart as error:
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

    def _one(self, started: Callable, photo: Photo, tally: _Tally) -> None:
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


@contextlib.contextmanager
def _start(
    model: pathlib.Path | None,
    server: str | None,
    server_model: str | None,
    access: ServerAccess | None,
    min_face_px: float | None,
):
    """Loads the SavedModel or calls the server, and loads the detector; once a photo needs them."""
    with contextlib.ExitStack() as stack:
        try:
            with without_notices():
                from serving.client import DEFAULT_NAME, RemoteModel
                from serving.detection.detector import FaceDetector
                from serving.reconstructor import Reconstructor

                limit = {"min_face_px": min_face_px, "min_face_fraction": 0.0}
                detector = stack.enter_context(FaceDetector(**(limit if min_face_px else {})))
                name = server_model or DEFAULT_NAME
                remote = server and RemoteModel(server, name=name, access=access)
                face_model = stack.enter_context(remote) if remote else None
                reconstructor = stack.enter_context(
                    Reconstructor(model, face_model=face_model, detector=detector)
                )
        except (ValueError, ConnectionError) as error:
            raise _CannotStart(" ".join(str(error).split())) from error
        yield reconstructor, _head_maker()


def _head_maker() -> Callable:
    """A function as HeadMaker.make, which gives None for faces of a model without a head."""
    from serving.heads import HeadMaker

    maker = HeadMaker.load()

    def make(photo, face, **options):
        return maker.make(photo, face, **options) if maker.fits(face) else None

    return make


def _line(photo: pathlib.Path, error: Exception) -> str:
    """One line that begins with the file's name."""
    if isinstance(error, OSError) and error.strerror:
        return f"{photo}: {error.filename or ''} {error.strerror}".replace("  ", " ")
    text = " ".join(str(error).split())
    return text if text.startswith(str(photo)) else f"{photo}: {text}"


@dataclasses.dataclass
class _Tally:
    """What became of the photos so far."""

    photos: int = 0
    faces: int = 0
    finished: int = 0
    failed: int = 0

    def summary(self, output: pathlib.Path, seconds: float) -> str:
        """The closing line."""
        parts = [f"{_count(self.faces, 'face')} from {_count(self.photos, 'photo')} in {output}"]
        if self.finished:
            parts.append(f"{self.finished} done before (--overwrite does them again)")
        if self.failed:
            parts.append(f"{self.failed} failed")
        return ", ".join([*parts, f"{seconds:.1f} s"])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
