"""Data sets of synthetic faces as folders: records in splits, a description and a contact sheet."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import threading
from collections.abc import Callable, Iterator

from components.records import synthesis
from components.records.shards import Shard, remove_partial_files
from facemodel.synthesis import samples
from pipeline.datasets import unfinished
from pipeline.datasets.contact_sheet import PICTURES, contact_sheet, first_images, write_png
from pipeline.datasets.plan import Plan
from pipeline.datasets.unfinished import DatasetError

DESCRIPTION, CONTACT_SHEET = "dataset.json", "contact_sheet.png"


def write(
    target: Plan,
    folder: pathlib.Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    progress: Callable[[int], None] | None = None,
) -> dict:
    """Writes a data set; the folder appears when it is complete.

    Args:
      target: Output of datasets.plan.plan.
      folder: Folder to make.
      overwrite: replace an existing folder, and forget an interrupted run.
      resume: continue an interrupted run; the same as starting if there is none.
      progress: Called with the bytes written, about four times a second.

    Returns:
      What dataset.json says.

    Raises:
      DatasetError: if the folder exists, its disk is too small, or an interrupted run is there and
        is neither to be resumed (or was another one) nor overwritten.
    """
    folder = pathlib.Path(os.path.abspath(folder))
    check_target(folder, target.size, overwrite=overwrite)
    with unfinished.open_staging(
        folder, target.description(), resume=resume, overwrite=overwrite
    ) as temporary:
        with _watch(temporary, progress):
            description = _fill(target, temporary)
        _publish(temporary, folder)
    return description


def check_target(folder: pathlib.Path, size: int, *, overwrite: bool) -> None:
    """Raises DatasetError unless `size` bytes can be written to folder."""
    if _holds_something(folder) and not overwrite:
        raise DatasetError(f"{folder}: exists already; --overwrite replaces it")
    if _holds_something(folder) and not (folder / DESCRIPTION).exists():
        raise DatasetError(f"{folder}: holds no data set, so it is not overwritten")
    existing = next(parent for parent in folder.absolute().parents if parent.exists())
    free = shutil.disk_usage(existing).free + unfinished.bytes_written(folder)
    if free < size:
        raise DatasetError(
            f"{folder}: about {size / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free"
        )


def _holds_something(folder: pathlib.Path) -> bool:
    return folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))


def _fill(target: Plan, folder: pathlib.Path) -> dict:
    """Writes the shards that are not there yet, then what describes them."""
    by_split = target.shards(folder.absolute())  # other machines have other working directories
    shards = [shard for split in by_split.values() for shard in split]
    if missing := _missing(target, shards):
        counters = _synthesize(target, missing)
        _check_all_there(target, missing, counters)
    images = first_images([shard.path for shard in shards], PICTURES)
    write_png(folder / CONTACT_SHEET, contact_sheet(images))
    size = sum(os.path.getsize(shard.path) for shard in shards)
    description = {**target.description(), "bytes": size}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
    return description


def _missing(target: Plan, shards: list[Shard]) -> list[Shard]:
    about = {"seed": target.job.seed, "model_version": target.model_version}
    return [shard for shard in shards if not unfinished.is_complete(shard, **about)]


def _synthesize(target: Plan, shards: list[Shard]) -> dict[str, int]:
    try:
        return synthesis.write_shards(
            target.job, shards, workers=target.workers, beam_args=target.beam_args
        )
    except SystemExit as error:
        if error.code != 2:  # as argparse ends, which has already said why
            raise
        raise DatasetError(f"Beam does not take {' '.join(target.beam_args)}") from error
    except Exception as error:
        # Beam puts its own words around what happened, and in other processes a whole traceback.
        reason = (
            (str(error).strip() or type(error).__name__)
            .splitlines()[-1]
            .split(" [while running")[0]
        )
        where = "; the runner's own logs say more" if target.beam_args else ""
        raise DatasetError(f"stopped while drawing: {reason}{where}") from error


def _check_all_there(target: Plan, drawn: list[Shard], counters: dict[str, int]) -> None:
    """By the counters of a local run; those of other runners count repeated work, if they count."""
    if target.beam_args:
        if lost := _missing(target, drawn):
            raise DatasetError(
                f"{lost[0].path}: not written, nor {len(lost) - 1} more of {len(drawn)} files; "
                "do all workers see that folder?"
            )
        return
    wanted = sum(shard.count for shard in drawn)
    if counters.get("samples_out") != wanted:
        raise DatasetError(f"{wanted} samples were asked for, got {counters}")


def _publish(temporary: pathlib.Path, folder: pathlib.Path) -> None:
    """Puts a finished folder in its place, the old one aside until then.

    An empty folder stays and gets the files, the description last: it may be a mount, or somebody's
    working directory.
    """
    remove_partial_files(str(temporary))
    for name in unfinished.OWN_FILES:
        (temporary / name).unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        for path in sorted(temporary.iterdir(), key=lambda path: path.name == DESCRIPTION):
            shutil.move(path, folder)
        temporary.rmdir()
        return
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _watch(folder: pathlib.Path, progress: Callable[[int], None] | None) -> Iterator[None]:
    """Reports how large the folder is while the body runs."""
    if progress is None:
        yield
        return
    done = threading.Event()

    def report():
        while not done.wait(0.25):
            with contextlib.suppress(OSError):
                progress(sum(path.stat().st_size for path in folder.iterdir()))

    thread = threading.Thread(target=report, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def make_one(job: synthesis.SynthesisJob, index: int) -> dict:
    """One sample of a data set, exactly as in its records."""
    batch, row = divmod(index, samples.BATCH)
    whole = dataclasses.replace(job, first=batch * samples.BATCH, count=samples.BATCH)
    return synthesis.Synthesizer(whole).samples(batch)[row]
