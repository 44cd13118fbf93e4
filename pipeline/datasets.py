"""Data sets of synthetic faces as folders: records, a description and a contact sheet."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import json
import os
import pathlib
import shutil
import threading
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from components import synthesis
from facemodel import records
from facemodel.morphable import MorphableModel
from facemodel.recipes import SynthesisConfig

DESCRIPTION, CONTACT_SHEET = "dataset.json", "contact_sheet.png"
SHARD_SAMPLES = 512
_MS_PER_SAMPLE = 50.0
_BYTES_PER_PIXEL = 1.6
_BYTES_PER_LABELS = 12_000
_TILE_PX = 128
_SHEET_COLUMNS = 8
_SHEET_ROWS = 8


class DatasetError(ValueError):
    """A data set that cannot be written there."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
      job: what to make.
      workers: how many processes.
      seconds: about how long it takes, without start-up.
      size: about how many bytes it writes.
    """

    job: synthesis.SynthesisJob
    workers: int
    seconds: float
    size: int

    def __str__(self) -> str:
        time = f"{self.seconds:.0f} s" if self.seconds < 120 else f"{self.seconds / 60:.0f} min"
        return (
            f"{self.job.count} samples, recipe {self.job.config.recipe}, seed {self.job.seed}: "
            f"about {time} after starting, and {self.size / 1e6:.0f} MB"
        )


def plan(
    config: SynthesisConfig,
    *,
    count: int,
    seed: int,
    workers: int = 1,
    model: pathlib.Path | None = None,
) -> Plan:
    """Says what synthesizing count samples takes; raises ModelError if the model is bad."""
    load = functools.partial(MorphableModel.load, model) if model else MorphableModel.load
    load()  # a bad file is found before any worker starts
    job = synthesis.SynthesisJob(config, seed, count, load)
    pixels = config.image_size**2
    bytes_each = _BYTES_PER_PIXEL * pixels + _BYTES_PER_LABELS
    milliseconds = _MS_PER_SAMPLE * count / min(workers, os.cpu_count() or 1)
    return Plan(job, workers, milliseconds / 1e3, int(bytes_each * count))


def write(
    target: Plan,
    folder: pathlib.Path,
    *,
    overwrite: bool = False,
    progress: Callable[[int], None] | None = None,
) -> dict:
    """Writes a data set; the folder appears when it is complete.

    Args:
      target: from plan.
      folder: to be made.
      overwrite: replace an existing folder.
      progress: told the bytes written, about four times a second.

    Returns:
      What dataset.json says.

    Raises:
      DatasetError: if the folder exists, or its disk is too small.
    """
    check_target(folder, target.size, overwrite=overwrite)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    temporary.mkdir(parents=True)
    try:
        with _watch(temporary, progress):
            description = _fill(target, temporary)
        _publish(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return description


def check_target(folder: pathlib.Path, size: int, *, overwrite: bool) -> None:
    """Raises DatasetError unless `size` bytes can be written to folder."""
    if folder.exists() and not overwrite:
        raise DatasetError(f"{folder}: exists already; --overwrite replaces it")
    if folder.exists() and not (folder / DESCRIPTION).exists():
        raise DatasetError(f"{folder}: holds no data set, so it is not overwritten")
    existing = next(parent for parent in folder.absolute().parents if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < size:
        raise DatasetError(
            f"{folder}: about {size / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free"
        )


def _fill(target: Plan, folder: pathlib.Path) -> dict:
    job = target.job
    shards = min(len(job.batches), max(target.workers, -(-job.count // SHARD_SAMPLES)))
    files = synthesis.ShardFiles(str(folder), "train", shards)
    counters = synthesis.write_dataset(job, files, workers=target.workers)
    if counters.get("samples_out") != job.count:
        raise DatasetError(f"{job.count} samples were asked for, got {counters}")
    paths = [pathlib.Path(files.path(shard)) for shard in range(shards)]
    version, images = _first_images(paths, _SHEET_COLUMNS * _SHEET_ROWS)
    write_png(folder / CONTACT_SHEET, contact_sheet(images))
    description = {
        "splits": {
            "train": {"count": job.count, "files": [path.name for path in paths]},
        },
        "bytes": counters["bytes_out"],
        "seed": job.seed,
        "recipe": job.config.recipe,
        "config": json.loads(job.config.to_json()),
        "model_version": version,
        "facerelief_version": importlib.metadata.version("facerelief"),
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
    return description


def _publish(temporary: pathlib.Path, folder: pathlib.Path) -> None:
    """Puts a finished folder in its place, the old one aside until then."""
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


def _first_images(paths: list[pathlib.Path], count: int) -> tuple[str, list[np.ndarray]]:
    """Reads the first pictures of a data set, and the version of its face model."""
    import tensorflow as tf

    from facemodel import examples

    images, version = [], ""
    for record in tf.data.TFRecordDataset([str(path) for path in paths]).take(count):
        features = tf.train.Example.FromString(record.numpy()).features.feature
        version = features["model/version"].bytes_list.value[0].decode()
        encoded = features["image/encoded"].bytes_list.value[0]
        images.append(examples.decode_images([encoded])[0].numpy())
    return version, images


def contact_sheet(images: list[np.ndarray]) -> np.ndarray:
    """Small copies of uint8 [H, W, 3] pictures side by side, uint8 [H, W, 3]."""
    columns = min(_SHEET_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * _TILE_PX, columns * _TILE_PX, 3), 255, np.uint8)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        place = sheet[row * _TILE_PX :, column * _TILE_PX :][:_TILE_PX, :_TILE_PX]
        place[:] = cv2.resize(image, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_AREA)
    return sheet


def write_png(path: pathlib.Path, image: np.ndarray) -> None:
    """Writes uint8 [H, W, 3] RGB as PNG."""
    _, data = cv2.imencode(".png", image[..., ::-1])
    path.write_bytes(data.tobytes())


def draw_one(job: synthesis.SynthesisJob, index: int) -> dict:
    """One sample of a data set, exactly as in its records."""
    batch, row = divmod(index, records.BATCH)
    whole = dataclasses.replace(job, first=batch * records.BATCH, count=records.BATCH)
    return synthesis.Synthesizer(whole).samples(batch)[row]
