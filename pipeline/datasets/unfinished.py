"""The folder of a data set that is being written, or was when its run ended early.

It lies beside the data set's own name, with a dot before its name, and holds a note of what is
being made and complete shards only.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator

from components.records.shards import Shard, remove_partial_files
from facemodel.files import write_bytes
from pipeline.runs.places import try_to_hold

_NOTE, _LOCK = "unfinished.json", ".lock"
OWN_FILES = (_NOTE, _LOCK)
"""Files that a finished data set does not have."""


class DatasetError(ValueError):
    """A data set that cannot be written there, or be read."""


def _place(folder: pathlib.Path) -> pathlib.Path:
    folder = pathlib.Path(os.path.abspath(folder))  # "." has no name
    return folder.with_name(f".{folder.name}.unfinished")


def bytes_written(folder: pathlib.Path) -> int:
    """Bytes that an interrupted run has already written for this data set."""
    place = _place(folder)
    return sum(path.stat().st_size for path in place.iterdir()) if place.is_dir() else 0


@contextlib.contextmanager
def open_staging(
    folder: pathlib.Path, description: dict, *, resume: bool, overwrite: bool
) -> Iterator[pathlib.Path]:
    """Makes or continues the unfinished folder of a data set, for one process at a time.

    It stays if the body raises and a shard is complete, so that a later run can resume.

    Args:
      folder: the data set.
      description: Description of the data set.
      resume: keep what an interrupted run has written, which must be of the same description.
      overwrite: forget what one has written.

    Raises:
      DatasetError: if there is an interrupted run and neither is asked for, or it made something
        else, or another process is writing.
    """
    place = _place(folder)
    place.mkdir(parents=True, exist_ok=True)
    with _locked(place, folder):
        _settle(place, folder, description, resume=resume, overwrite=overwrite)
        try:
            yield place
        except BaseException:
            remove_partial_files(str(place))
            if not any(place.glob("*.tfrecord")):
                shutil.rmtree(place, ignore_errors=True)
            raise


@contextlib.contextmanager
def _locked(place: pathlib.Path, folder: pathlib.Path) -> Iterator[None]:
    with (place / _LOCK).open("w") as file:
        if not try_to_hold(file):
            raise DatasetError(f"{folder}: another process is writing it")
        yield


def _settle(
    place: pathlib.Path,
    folder: pathlib.Path,
    description: dict,
    *,
    resume: bool,
    overwrite: bool,
) -> None:
    """Leaves only complete shards of this description, and the note."""
    note = place / _NOTE
    if note.exists() and resume:
        _check_same(json.loads(note.read_text()), description, folder)
        remove_partial_files(str(place))
    elif note.exists() and not overwrite and any(place.glob("*.tfrecord")):
        raise DatasetError(
            f"{folder}: an interrupted run is there; --resume continues it, --overwrite starts anew"
        )
    else:
        for path in place.iterdir():
            if path.name != _LOCK:
                path.unlink()
    write_bytes(note, (json.dumps(description, indent=2) + "\n").encode())


def _check_same(before: dict, now: dict, folder: pathlib.Path) -> None:
    for name in [*now["config"], *(name for name in now if name not in ("config", "splits"))]:
        old, new = ({**each, **each["config"]}.get(name) for each in (before, now))
        if json.dumps(old) != json.dumps(new):
            raise DatasetError(
                f"{folder}: the interrupted run had {name} {old}, this one has {new}; "
                "--overwrite starts anew"
            )
    if before["splits"] != now["splits"]:
        old, new = (
            {split: part["count"] for split, part in each["splits"].items()}
            for each in (before, now)
        )
        raise DatasetError(
            f"{folder}: the interrupted run had splits {old}, this one has {new}; "
            "--overwrite starts anew"
        )


def is_complete(shard: Shard, *, seed: int, model_version: str) -> bool:
    """Whether a shard is there and holds its samples: every checksum, every index."""
    import tensorflow as tf

    from facemodel.records import read_records

    if not pathlib.Path(shard.path).exists():
        return False
    indices = []
    try:
        for record in read_records(shard.path):
            features = tf.train.Example.FromString(record).features.feature
            if (
                features["sample/seed"].int64_list.value[0] != seed
                or features["model/version"].bytes_list.value[0].decode() != model_version
            ):
                return False
            indices.append(features["sample/index"].int64_list.value[0])
    except tf.errors.DataLossError:
        return False
    return indices == list(shard.indices)
