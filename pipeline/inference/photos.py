"""Photos and folders to files: what `facerelief reconstruct` does."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import pathlib
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn

from pipeline.inference.photo_files import find_photos, unique_names
from serving.images import ImageError, read_photo
from serving.quiet import without_notices

MESH_FORMATS = ("obj", "ply", "glb")


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
    overwrite: bool = False,
    max_faces: int | None = None,
    formats: Sequence[str] = MESH_FORMATS,
) -> int:
    """Reconstructs all faces of all photos and writes their files.

    Args:
      inputs: photos and folders of photos.
      output: folder, made if missing.
      model: a SavedModel's folder; the default model if None.
      server: HOST:PORT of a model server that is used in place of a SavedModel.
      server_model: name of the model there; "facerelief" if None.
      overwrite: replace files that exist.
      max_faces: Number of faces of each photo, the largest; None for all.
      formats: File formats of the meshes.

    Returns:
      How many inputs failed; each has had its line on standard error.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        photos, missing = _list_photos(inputs, output)
        _check_formats(formats)
        _check_choice(model, server, server_model)
        made = _make_output(output)
    except (ReconstructionError, ImageError) as error:
        console.print(f"error: {error}", markup=False)
        return 1
    for line in missing:
        console.print(f"error: {line}", markup=False)
    job = _Job(output, overwrite, max_faces, tuple(formats), console)
    failed = job.run(photos, lambda: _start(model, server, server_model))
    _remove_empty(made)
    return len(missing) + failed


def _list_photos(inputs: Sequence[pathlib.Path], output: pathlib.Path):
    """The photos, and a line for each input without any."""
    photos, missing = [], []
    for path in inputs:
        found = find_photos([path], leave_out=output)
        if not found:
            missing.append(f"{path}: no photo in this folder")
        photos += found
    return find_photos(photos), missing


def _check_formats(formats: Sequence[str]) -> None:
    known = f"known are {', '.join(MESH_FORMATS)}"
    if not formats:
        raise ReconstructionError(f"--formats: names no format; {known}")
    unknown = [name for name in formats if name not in MESH_FORMATS]
    if unknown:
        raise ReconstructionError(f"--formats: unknown format {unknown[0]!r}; {known}")


def _check_choice(model, server, server_model) -> None:
    if server is not None and model is not None:
        raise ReconstructionError("--model and --server exclude each other")
    if server is None and server_model is not None:
        raise ReconstructionError("--server-model needs --server")


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

    def __init__(self, output, overwrite, max_faces, formats, console):
        self._output, self._overwrite, self._max_faces = output, overwrite, max_faces
        self._formats, self._console = formats, console
        self._suffixes = (*formats, "json", "png")

    def run(self, photos: list[pathlib.Path], start: Callable) -> int:
        """Works through the photos; returns how many failed."""
        began, faces, failed = time.monotonic(), 0, 0
        self._inputs = {os.path.realpath(photo) for photo in photos}
        with contextlib.ExitStack() as stack:
            progress = self._progress(stack)
            started = functools.cache(lambda: stack.enter_context(start()))
            task = progress.add_task("", total=len(photos))
            for photo, name in zip(photos, unique_names(photos), strict=True):
                progress.update(task, description=photo.name)
                try:
                    faces += self._one(started, photo, name)
                except _CannotStart as error:
                    progress.console.print(f"error: {error}", markup=False)
                    return len(photos)
                except (ValueError, OSError) as error:
                    failed += 1
                    progress.console.print(f"error: {_line(photo, error)}", markup=False)
                progress.advance(task)
        self._console.print(_summary(faces, photos, failed, self._output, began), markup=False)
        return failed

    def _progress(self, stack: contextlib.ExitStack) -> Progress:
        """Shown on a screen only, as it leaves an empty line elsewhere."""
        columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn())
        progress = Progress(*columns, console=self._console, transient=True)
        return stack.enter_context(progress) if self._console.is_interactive else progress

    def _one(self, started: Callable, photo: pathlib.Path, name: str) -> int:
        """All faces of one photo; returns how many. Nothing is written unless all were made."""
        self._refuse_existing(photo, name)
        image = read_photo(photo)
        found = started().reconstruct(image, max_faces=self._max_faces)
        if not found:
            raise ReconstructionError(f"{photo}: no face found")
        from serving.output.face_files import encode_face, write_face

        made = {
            f"{name}_{k}": encode_face(
                image, face, name=f"{name}_{k}", photo_name=photo.name, formats=self._formats
            )
            for k, face in enumerate(found)
        }
        self._spare_inputs(photo, made)
        for face_name, files in made.items():
            write_face(self._output, face_name, files)
        self._remove_earlier(name, len(found))
        return len(found)

    def _remove_earlier(self, name: str, found: int) -> None:
        """Removes what --overwrite would leave of an earlier run that found more faces."""
        from serving.output.face_files import FORMAT_NAME, SUFFIXES

        for k in itertools.count(found):
            description = self._output / f"{name}_{k}.json"
            if not description.is_file() or FORMAT_NAME not in description.read_text(
                errors="replace"
            ):
                return
            for file in (description.with_suffix(f".{end}") for end in SUFFIXES):
                if os.path.realpath(file) not in self._inputs:
                    file.unlink(missing_ok=True)

    def _spare_inputs(self, photo: pathlib.Path, made: dict[str, dict[str, bytes]]) -> None:
        """Raises if a result would replace one of the photos, which --overwrite does not mean."""
        targets = (self._output / f"{name}.{end}" for name, files in made.items() for end in files)
        for target in targets:
            if os.path.realpath(target) in self._inputs:
                raise ReconstructionError(f"{photo}: its result {target} would replace a photo")

    def _refuse_existing(self, photo: pathlib.Path, name: str) -> None:
        """Raises if a file of any face of this photo exists and must not be replaced."""
        if self._overwrite:
            return
        pattern = re.compile(rf"{re.escape(name)}_\d+\.({'|'.join(self._suffixes)})")
        existing = sorted(
            entry.name for entry in self._output.iterdir() if pattern.fullmatch(entry.name)
        )
        if existing:
            raise ReconstructionError(
                f"{photo}: {self._output / existing[0]} exists already; "
                "--overwrite replaces such files"
            )


@contextlib.contextmanager
def _start(model: pathlib.Path | None, server: str | None, server_model: str | None):
    """Loads the SavedModel or calls the server, and loads the detector; once a photo needs them."""
    with contextlib.ExitStack() as stack:
        try:
            with without_notices():
                from serving.client import DEFAULT_NAME, RemoteModel
                from serving.reconstructor import Reconstructor

                remote = server and RemoteModel(server, name=server_model or DEFAULT_NAME)
                face_model = stack.enter_context(remote) if remote else None
                reconstructor = stack.enter_context(Reconstructor(model, face_model=face_model))
        except (ValueError, ConnectionError) as error:
            raise _CannotStart(" ".join(str(error).split())) from error
        yield reconstructor


def _line(photo: pathlib.Path, error: Exception) -> str:
    """One line that begins with the file's name."""
    if isinstance(error, OSError) and error.strerror:
        return f"{photo}: {error.filename or ''} {error.strerror}".replace("  ", " ")
    text = " ".join(str(error).split())
    return text if text.startswith(str(photo)) else f"{photo}: {text}"


def _summary(faces: int, photos: list, failed: int, output: pathlib.Path, began: float) -> str:
    """The closing line."""
    done = len(photos) - failed
    parts = [f"{faces} face{'s' * (faces != 1)} from {done} photo{'s' * (done != 1)} in {output}"]
    if failed:
        parts.append(f"{failed} failed")
    parts.append(f"{time.monotonic() - began:.1f} s")
    return ", ".join(parts)
