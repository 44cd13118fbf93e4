"""Photos and folders to files: what `facerelief reconstruct` does."""

from __future__ import annotations

import functools
import os
import pathlib
import time
from collections.abc import Sequence

from rich.console import Console

from pipeline.inference.photo_checks import (
    ReconstructionError,
    check_choice,
    check_formats,
    make_output,
    remove_empty,
)
from pipeline.inference.photo_files import find_photos, passed_over
from pipeline.inference.photo_job import Job
from pipeline.inference.starting import start
from pipeline.inference.tally import timings_table
from serving.head_options import HeadOptions
from serving.images import ImageError
from serving.output.description import model_facts
from serving.output.file_names import FORMATS
from serving.quiet import without_notices
from serving.server_access import ServerAccess
from serving.stopwatch import Stopwatch, unmeasured

SERVER_REQUESTS = 4
"""Photos whose requests may be under way: a server joins them, or works on them side by side."""


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
    timings: bool = False,
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
      timings: print at the end how long each part took.

    Returns:
      How many inputs failed; each has had its line on standard error.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        photos, missing = _list_photos(inputs, output)
        check_formats(formats)
        check_choice(model, server, server_model, access)
        made = make_output(output)
    except (ReconstructionError, ImageError) as error:
        console.print(f"error: {error}", markup=False)
        return 1
    for line in missing:
        console.print(f"error: {line}", markup=False)
    for line in map(_passed_over, filter(os.path.isdir, inputs)):
        console.print(line, end="", markup=False)
    stopwatch = Stopwatch()
    stage = stopwatch.stage if timings else unmeasured
    began = time.perf_counter()
    job = Job(
        output,
        lambda: start(model, server, server_model, access, min_face_px, stage),
        formats=tuple(formats),
        options=options or HeadOptions(),
        overwrite=overwrite,
        max_faces=max_faces,
        console=console,
        model=functools.cache(lambda: None if server else _local_facts(model)),
        stage=stage,
        network_threads=SERVER_REQUESTS if server else 1,
    )
    try:
        failed = job.run(photos)
    finally:
        remove_empty(made)
    if timings:
        table = timings_table(stopwatch.seconds, time.perf_counter() - began)
        console.print(table, markup=False)
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
