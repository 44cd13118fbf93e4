"""What is known of each frame after the first pass, kept in files so that a run can resume."""

from __future__ import annotations

import dataclasses
import io
import json
import pathlib
import zipfile
from collections.abc import Iterator, Sequence

import numpy as np

from facemodel.files import write_bytes

CHUNK_FRAMES = 32
COMPLETE = "complete"
"""Frames in a file; what an interrupted run has to do again at most."""
FORMAT = "facerelief-film-cache/1"


@dataclasses.dataclass(frozen=True, eq=False)
class FaceRecord:
    """One face in one frame.

    Attributes:
      person: number of the person, 0 for the first that was seen.
      landmarks: [478, 2] float32 px, detected.
      score: The detector's confidence in [0, 1].
      coefficients: [n] float32, this frame's own estimate.
      sharpness: of the face; any unit.
      weight: how much the frame counts for identity, in [0, 1].
    """

    person: int
    landmarks: np.ndarray
    score: float
    coefficients: np.ndarray
    sharpness: float
    weight: float


@dataclasses.dataclass(frozen=True, eq=False)
class FrameRecord:
    """One frame: its number, whether the film is cut before it, and the faces in it."""

    number: int
    cut: bool
    faces: tuple[FaceRecord, ...]


class RecordStore:
    """Files of a folder that hold the records of a film.

    Args:
      folder: made if missing.
      facts: of the film and of the settings; records of other ones are removed.
    """

    def __init__(self, folder: pathlib.Path, facts: dict[str, object]):
        self._folder, self._waiting = folder, list[FrameRecord]()
        folder.mkdir(parents=True, exist_ok=True)
        said = json.dumps({"format": FORMAT, **facts}, sort_keys=True, indent=1) + "\n"
        about = folder / "film.json"
        if not about.is_file() or about.read_text(encoding="utf-8") != said:
            self.clear()
            write_bytes(about, said.encode())
        self._chunks = self._readable()

    def clear(self) -> None:
        """Removes all records."""
        (self._folder / COMPLETE).unlink(missing_ok=True)
        for file in self._folder.glob("frames_*.npz"):
            file.unlink()

    @property
    def count(self) -> int:
        """Number of frames that are kept in files, from the first on."""
        return CHUNK_FRAMES * len(self._chunks)

    @property
    def complete(self) -> bool:
        """Whether all frames of the film are in files."""
        return self._whole() == len(self._chunks)

    def _whole(self) -> int | None:
        """Number of files that hold the whole film, if it was seen to its end."""
        path = self._folder / COMPLETE
        return int(path.read_text("ascii")) if path.is_file() else None

    def finish(self) -> None:
        """Writes what waits: no frame follows."""
        if self._waiting:
            self._write()
        write_bytes(self._folder / COMPLETE, str(len(self._chunks)).encode())

    def add(self, record: FrameRecord) -> None:
        """Keeps a record; it is in a file once its chunk is full."""
        self._waiting.append(record)
        if len(self._waiting) == CHUNK_FRAMES:
            self._write()

    def _write(self) -> None:
        path = self._path(len(self._chunks))
        write_bytes(path, _encode(self._waiting))
        self._chunks.append(path)
        self._waiting = []

    def __iter__(self) -> Iterator[FrameRecord]:
        """All records in order, a chunk in memory at a time."""
        for path in self._chunks:
            yield from _decode(path.read_bytes())
        yield from list(self._waiting)

    def _path(self, number: int) -> pathlib.Path:
        return self._folder / f"frames_{number:06d}.npz"

    def _readable(self) -> list[pathlib.Path]:
        """The files from the first on that can be read; a damaged one is where to resume."""
        found: list[pathlib.Path] = []
        while (path := self._path(len(found))).is_file():
            try:
                records = list(_decode(path.read_bytes()))
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):
                break
            if len(records) < CHUNK_FRAMES and self._whole() != len(found) + 1:
                break
            found.append(path)
        return found


def _encode(records: Sequence[FrameRecord]) -> bytes:
    faces = [(k, face) for k, record in enumerate(records) for face in record.faces]

    def column(name: str, shape: tuple[int, ...], kind) -> np.ndarray:
        values = [getattr(face, name) for _, face in faces]
        return np.array(values, kind) if values else np.zeros((0, *shape), kind)

    content = io.BytesIO()
    np.savez(
        content,
        number=np.array([record.number for record in records], np.int64),
        cut=np.array([record.cut for record in records], bool),
        frame=np.array([k for k, _ in faces], np.int64),
        person=column("person", (), np.int64),
        landmarks=column("landmarks", (478, 2), np.float32),
        score=column("score", (), np.float64),
        coefficients=column("coefficients", (0,), np.float32),
        sharpness=column("sharpness", (), np.float64),
        weight=column("weight", (), np.float64),
    )
    return content.getvalue()


def _decode(content: bytes) -> Iterator[FrameRecord]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        table = {name: archive[name] for name in archive.files}
    faces: list[list[FaceRecord]] = [[] for _ in table["number"]]
    for row, frame in enumerate(table["frame"].tolist()):
        faces[frame].append(
            FaceRecord(
                int(table["person"][row]),
                table["landmarks"][row],
                float(table["score"][row]),
                table["coefficients"][row],
                float(table["sharpness"][row]),
                float(table["weight"][row]),
            )
        )
    for number, cut, own in zip(table["number"].tolist(), table["cut"].tolist(), faces):
        yield FrameRecord(number, cut, tuple(own))
