"""Frames of a film, one after the other: from a video file, a folder of pictures, or a camera."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator

import cv2
import numpy as np

from serving.images import read_photo

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
FOLDER_FPS = 25.0
MAX_SIDE_PX = 8192
_LEAST_FPS, _MOST_FPS = 1.0, 480.0


class FilmError(ValueError):
    """A film that cannot be used; one line that begins with its name."""


@dataclasses.dataclass(frozen=True)
class Film:
    """Where frames come from, and what is known before they are read.

    Attributes:
      path: video file or folder.
      fps: frames per second.
      count: how many frames the file says it has; 0 if it does not say.
      size: (height, width) px.
      pictures: of a folder, in the order of their names.
    """

    path: pathlib.Path
    fps: float
    count: int
    size: tuple[int, int]
    pictures: tuple[pathlib.Path, ...] = ()

    def facts(self) -> dict[str, object]:
        """What tells this film from another one."""
        files = self.pictures or (self.path,)
        stats = [os.stat(file) for file in files]
        return {
            "path": str(self.path.resolve()),
            "bytes": sum(stat.st_size for stat in stats),
            "newest": max(stat.st_mtime_ns for stat in stats),
            "frames": self.count,
            "fps": self.fps,
        }

    def frames(self, first: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Numbers and frames, uint8 [H, W, 3] sRGB, from a first one on; one at a time."""
        return self._pictures(first) if self.pictures else self._decoded(first)

    def _pictures(self, first: int) -> Iterator[tuple[int, np.ndarray]]:
        for number in range(first, len(self.pictures)):
            image = read_photo(self.pictures[number])
            if image.shape[:2] != self.size:
                raise FilmError(
                    f"{self.pictures[number]}: is {image.shape[1]} x {image.shape[0]} px, "
                    f"but the first picture is {self.size[1]} x {self.size[0]}"
                )
            yield number, image

    def _decoded(self, first: int) -> Iterator[tuple[int, np.ndarray]]:
        # Seeking is inexact in many files, so earlier frames are passed over one by one.
        with _opened(self.path) as film:
            number = 0
            while film.grab():
                if number >= first:
                    found, image = film.retrieve()
                    if not found:
                        return
                    yield number, np.ascontiguousarray(image[..., ::-1])
                number += 1


def open_film(path: pathlib.Path, *, fps: float | None = None) -> Film:
    """Looks at a film.

    Args:
      path: a video file, or a folder of pictures of one size, which are taken by name.
      fps: frames per second; the file's own, or FOLDER_FPS for a folder, if None.

    Raises:
      FilmError: if there is none.
    """
    if path.is_dir():
        return _open_folder(path, fps or FOLDER_FPS)
    if not path.exists():
        raise FilmError(f"{path}: no such file or folder")
    if not path.is_file() or path.stat().st_size == 0:
        raise FilmError(f"{path}: is no video file, or an empty one")
    with _opened(path) as film:
        found, image = film.read()
        rate = float(film.get(cv2.CAP_PROP_FPS))
        count = max(0, int(film.get(cv2.CAP_PROP_FRAME_COUNT)))
    if not found:
        raise FilmError(f"{path}: is no video that can be decoded")
    if fps is None and not _LEAST_FPS <= rate <= _MOST_FPS:
        raise FilmError(f"{path}: says it has {rate:g} frames per second; give --fps")
    return Film(path, fps or rate, count, _checked(path, image))


def _open_folder(path: pathlib.Path, fps: float) -> Film:
    pictures = tuple(
        sorted(
            (
                file
                for file in path.iterdir()
                if file.suffix.lower() in PICTURES and not file.name.startswith(".")
            ),
            key=_by_number,
        )
    )
    if not pictures:
        raise FilmError(f"{path}: no picture in this folder ({', '.join(PICTURES)})")
    return Film(path, fps, len(pictures), _checked(path, read_photo(pictures[0])), pictures)


def _by_number(file: pathlib.Path) -> list[tuple[int, str]]:
    """Sorts frame_2 before frame_10."""
    parts = re.split(r"(\d+)", file.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _checked(path: pathlib.Path, image: np.ndarray) -> tuple[int, int]:
    height, width = image.shape[:2]
    if max(height, width) > MAX_SIDE_PX:
        raise FilmError(f"{path}: {width} x {height} px are more than {MAX_SIDE_PX} a side")
    return height, width


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[cv2.VideoCapture]:
    # Never a network address: the path is that of a file.
    film = cv2.VideoCapture(os.fspath(path.resolve()), cv2.CAP_FFMPEG)
    try:
        if not film.isOpened():
            raise FilmError(f"{path}: is no video that can be decoded")
        yield film
    finally:
        film.release()


def record_camera(number: int, folder: pathlib.Path, *, seconds: float) -> Film:
    """Records from a camera into pictures, which are a film then.

    Args:
      number: of the camera, 0 for the first.
      folder: for the pictures; made if missing. What a recording left there before is removed.
      seconds: how long; the interrupt key ends it before.

    Raises:
      FilmError: if there is no such camera, or it gives no picture.
    """
    camera = cv2.VideoCapture(number)
    try:
        if not camera.isOpened():
            raise FilmError(f"camera {number}: cannot be opened")
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("frame_*.jpg"):
            old.unlink()
        count, lasted = _record(camera, folder, seconds)
    finally:
        camera.release()
    if count < 2:
        raise FilmError(f"camera {number}: gave no picture")
    return open_film(folder, fps=(count - 1) / lasted)


def _record(camera: cv2.VideoCapture, folder: pathlib.Path, seconds: float) -> tuple[int, float]:
    """Writes pictures until the time is over; returns how many, and the seconds between."""
    count, began, last = 0, cv2.getTickCount(), 0.0
    with contextlib.suppress(KeyboardInterrupt):
        while last < seconds:
            found, image = camera.read()
            if not found:
                break
            last = (cv2.getTickCount() - began) / cv2.getTickFrequency()
            file = folder / f"frame_{count:06d}.jpg"
            if not cv2.imwrite(str(file), image):
                raise OSError(f"{file}: cannot be written")
            count += 1
    return count, max(last, 1e-3)
