"""Data sets of synthetic faces as folders: records in splits, a description and a contact sheet."""

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
from components.shards import Shard, split_ranges, split_shards
from facemodel import records
from facemodel.morphable import MorphableModel
from facemodel.recipes import SynthesisConfig
from pipeline import unfinished
from pipeline.unfinished import DatasetError

DESCRIPTION, CONTACT_SHEET = "dataset.json", "contact_sheet.png"
SHARD_SAMPLES = 512
_MS_PER_SAMPLE = {"paper": 12.0, "lifelike": 20.0}
_BYTES_PER_PIXEL = 1.6
_BYTES_PER_LABELS = 12_000
_TILE_PX = 128
_SHEET_COLUMNS = 8
_SHEET_ROWS = 8


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
      job: all samples, those of all splits.
      counts: how many samples each split has, in the order of their indices; sum job.count.
      model_version: of the face model.
      workers: how many processes.
      seconds: about how long it takes, without start-up.
      size: about how many bytes it writes.
    """

    job: synthesis.SynthesisJob
    counts: dict[str, int]
    model_version: str
    workers: int
    seconds: float
    size: int

    def __str__(self) -> str:
        time = f"{self.seconds:.0f} s" if self.seconds < 120 else f"{self.seconds / 60:.0f} min"
        splits = ", ".join(f"{count} {split}" for split, count in self.counts.items())
        return (
            f"{self.job.count} samples ({splits}), recipe {self.job.config.recipe}, "
            f"seed {self.job.seed}: about {time} after starting, and {self.size / 1e6:.0f} MB"
        )

    def shards(self, folder: pathlib.Path) -> dict[str, list[Shard]]:
        """Each split's files."""
        return {
            split: split_shards(str(folder), split, indices, samples_each=SHARD_SAMPLES)
            for split, indices in split_ranges(self.counts).items()
        }

    def description(self) -> dict:
        """What decides the records, as dataset.json says it."""
        return {
            "splits": {
                split: {
                    "count": self.counts[split],
                    "first_index": shards[0].first,
                    "files": [os.path.basename(shard.path) for shard in shards],
                }
                for split, shards in self.shards(pathlib.Path()).items()
            },
            "seed": self.job.seed,
            "recipe": self.job.config.recipe,
            "config": json.loads(self.job.config.to_json()),
            "model_version": self.model_version,
            "facerelief_version": importlib.metadata.version("facerelief"),
        }


def plan(
    config: SynthesisConfig,
    *,
    counts: dict[str, int],
    seed: int,
    workers: int = 1,
    model: pathlib.Path | None = None,
) -> Plan:
    """Says what synthesizing takes.

    Args:
      config: how faces are drawn.
      counts: how many samples each split has; splits of 0 are left out.
      seed: of the data set.
      workers: processes.
      model: the face model's file; the default model if None.

    Raises:
      ModelError: if the face model is bad.
      DatasetError: if all splits are empty, or a number is negative.
    """
    if min(counts.values()) < 0 or not any(counts.values()):
        raise DatasetError(f"a data set needs samples, got splits of {counts}")
    load = functools.partial(MorphableModel.load, model) if model else MorphableModel.load
    loaded = load()  # a bad file is found before any worker starts
    counts = {split: count for split, count in counts.items() if count}
    total = sum(counts.values())
    job = synthesis.SynthesisJob(config, seed, total, load)
    pixels = config.image_size**2
    milliseconds = _MS_PER_SAMPLE.get(config.recipe, 20.0) * total * pixels / 256**2
    return Plan(
        job=job,
        counts=counts,
        model_version=f"{loaded.name} {loaded.version}",
        workers=workers,
        seconds=milliseconds / 1e3 / min(workers, os.cpu_count() or 1),
        size=int((_BYTES_PER_PIXEL * pixels + _BYTES_PER_LABELS) * total),
    )


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
      target: from plan.
      folder: to be made.
      overwrite: replace an existing folder, and forget an interrupted run.
      resume: continue an interrupted run; the same as starting if there is none.
      progress: told the bytes written, about four times a second.

    Returns:
      What dataset.json says.

    Raises:
      DatasetError: if the folder exists, its disk is too small, or an interrupted run is there and
        is neither to be resumed (or was another one) nor overwritten.
    """
    check_target(folder, target.size, overwrite=overwrite)
    with unfinished.opened(
        folder, target.description(), resume=resume, overwrite=overwrite
    ) as temporary:
        with _watch(temporary, progress):
            description = _fill(target, temporary)
        _publish(temporary, folder)
    return description


def check_target(folder: pathlib.Path, size: int, *, overwrite: bool) -> None:
    """Raises DatasetError unless `size` bytes can be written to folder."""
    if folder.exists() and not overwrite:
        raise DatasetError(f"{folder}: exists already; --overwrite replaces it")
    if folder.exists() and not (folder / DESCRIPTION).exists():
        raise DatasetError(f"{folder}: holds no data set, so it is not overwritten")
    existing = next(parent for parent in folder.absolute().parents if parent.exists())
    free = shutil.disk_usage(existing).free + unfinished.size(folder)
    if free < size:
        raise DatasetError(
            f"{folder}: about {size / 1e6:.0f} MB are needed, {free / 1e6:.0f} MB are free"
        )


def _fill(target: Plan, folder: pathlib.Path) -> dict:
    """Writes the shards that are not there yet, then what describes them."""
    shards = [shard for split in target.shards(folder).values() for shard in split]
    missing = [
        shard
        for shard in shards
        if not unfinished.is_complete(
            shard, seed=target.job.seed, model_version=target.model_version
        )
    ]
    if missing:
        counters = _draw(target, missing)
        wanted = sum(shard.count for shard in missing)
        if counters.get("samples_out") != wanted:
            raise DatasetError(f"{wanted} samples were asked for, got {counters}")
    images = first_images([shard.path for shard in shards], _SHEET_COLUMNS * _SHEET_ROWS)
    write_png(folder / CONTACT_SHEET, contact_sheet(images))
    size = sum(os.path.getsize(shard.path) for shard in shards)
    description = {**target.description(), "bytes": size}
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
    return description


def _draw(target: Plan, shards: list[Shard]) -> dict[str, int]:
    try:
        return synthesis.write_shards(target.job, shards, workers=target.workers)
    except Exception as error:
        # Beam puts its own words around what happened, and in other processes a whole traceback.
        reason = str(error).strip().splitlines()[-1].split(" [while running")[0]
        raise DatasetError(f"stopped while drawing: {reason}") from error


def _publish(temporary: pathlib.Path, folder: pathlib.Path) -> None:
    """Puts a finished folder in its place, the old one aside until then."""
    for name in unfinished.OWN_FILES:
        (temporary / name).unlink()
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


def first_images(paths: list[str], count: int) -> list[np.ndarray]:
    """Reads the first pictures of TFRecord files."""
    import tensorflow as tf

    from facemodel import examples

    images = []
    for record in tf.data.TFRecordDataset(paths).take(count):
        features = tf.train.Example.FromString(record.numpy()).features.feature
        encoded = features["image/encoded"].bytes_list.value[0]
        images.append(examples.decode_images([encoded])[0].numpy())
    return images


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
