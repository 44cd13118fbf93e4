"""The photos that the page has open: in memory, few, and not for long."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from serving.detection.detector import DetectedFace
from serving.images import ImageError, TooLargeError, UnknownFormatError, decode_photo
from serving.server.http_status import HttpError
from serving.web.workshop import MadeHead, Workshop, preview, zip_obj

_log = logging.getLogger(__name__)

WAITING = "waiting"
MEDIA_TYPES = {
    "glb": "model/gltf-binary",
    "obj": "application/zip",
    "ply": "application/octet-stream",
    "json": "application/json",
    "png": "image/png",
}
"""Of the files of a face, by the format's name."""
T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the page's server keeps and takes.

    Attributes:
      megapixels: Largest photo, in millions of pixels.
      photos: Number kept; the one that was used longest ago makes room.
      seconds: Time that a photo is kept after its last use, s.
      waiting: Pieces of work that may wait; there are always few from one page.
    """

    megapixels: float = 50.0
    photos: int = 4
    seconds: float = 1800.0
    waiting: int = 8


@dataclasses.dataclass(eq=False)
class FaceJob:
    """One face of a photo, on its way to a head.

    Attributes:
      stage: One of workshop.STAGES, or WAITING.
      error: A sentence, if it failed.
      made: The head, once it is there.
      files: Its files by suffix, once somebody wanted one.
    """

    stage: str = WAITING
    error: str | None = None
    made: MadeHead | None = None
    files: dict[str, bytes] | None = None


@dataclasses.dataclass(eq=False)
class OpenPhoto:
    """A photo that was sent.

    Attributes:
      pixels: uint8 [H, W, 3].
      faces: Found in it, largest first.
      preview: JPEG of it.
      jobs: Of the faces that were asked for.
      used: Time of the last use, by time.monotonic().
    """

    pixels: np.ndarray
    faces: list[DetectedFace]
    preview: bytes
    jobs: dict[int, FaceJob] = dataclasses.field(default_factory=dict)
    used: float = 0.0


class Studio:
    """Keeps photos and works on them, one at a time. Any thread may call it.

    Args:
      workshop: Does the work.
      limits: What is kept and taken.
      clock: Seconds, for tests.
    """

    def __init__(
        self,
        workshop: Workshop,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.workshop, self.limits, self._clock = workshop, limits or Limits(), clock
        self._photos: OrderedDict[str, OpenPhoto] = OrderedDict()
        self._lock = threading.Lock()
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "web")
        self._waiting = 0

    def close(self) -> None:
        """Forgets all photos, and finishes what has begun."""
        self._thread.shutdown(cancel_futures=True)
        self._photos.clear()

    def _submit(self, work: Callable[[], T]) -> concurrent.futures.Future[T]:
        with self._lock:
            if self._waiting >= self.limits.waiting:
                raise HttpError(503, "too many photos wait; try again in a moment")
            self._waiting += 1
        future = self._thread.submit(work)
        future.add_done_callback(self._done)
        return future

    def _done(self, _future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            self._waiting -= 1

    def open(self, content: bytes, *, name: str) -> concurrent.futures.Future[str]:
        """Reads an image file and finds its faces.

        Args:
          content: Of the file.
          name: What errors call it.

        Returns:
          The photo's id. Its error is an HttpError: 415 for no image, 413 for too many pixels, 422
          for one that is damaged, too small or without a face.

        Raises:
          HttpError: 503 if too much waits.
        """
        return self._submit(functools.partial(self._open, content, name))

    def _open(self, content: bytes, name: str) -> str:
        pixels = _decode(content, name, self.limits.megapixels)
        faces = self.workshop.find_faces(pixels)
        if not faces:
            width = self.workshop.smallest_face_px(pixels)
            raise HttpError(422, f"{name}: no face found that is at least {width:.0f} px wide")
        photo = OpenPhoto(pixels, faces, preview(pixels), used=self._clock())
        identifier = secrets.token_urlsafe(16)
        with self._lock:
            self._photos[identifier] = photo
            while len(self._photos) > self.limits.photos:
                self._photos.popitem(last=False)
        return identifier

    def photo(self, identifier: str) -> OpenPhoto:
        """An open photo.

        Raises:
          HttpError: 404 if it is not there, or no more.
        """
        self.forget_old()
        with self._lock:
            found = self._photos.get(identifier)
            if found is None:
                raise HttpError(404, "this photo is no longer kept; send it again")
            found.used = self._clock()
            self._photos.move_to_end(identifier)
            return found

    def forget(self, identifier: str) -> None:
        """Drops a photo and all that was made of it."""
        with self._lock:
            self._photos.pop(identifier, None)

    def forget_old(self) -> None:
        """Drops the photos that nobody used for longer than the limit."""
        oldest = self._clock() - self.limits.seconds
        with self._lock:
            for identifier in [key for key, one in self._photos.items() if one.used < oldest]:
                del self._photos[identifier]

    def start(self, photo: OpenPhoto, number: int) -> FaceJob:
        """Begins to make the head of a face, unless that has begun; one that failed begins again.

        Raises:
          HttpError: 404 if there is no such face, 503 if too much waits.
        """
        if not 0 <= number < len(photo.faces):
            raise HttpError(404, f"no face {number}: the photo has {len(photo.faces)}, from 0 on")
        job = photo.jobs.get(number)
        if job is None or job.error:
            job = FaceJob()
            self._submit(functools.partial(self._make, photo, number, job))
            photo.jobs[number] = job
        return job

    def _make(self, photo: OpenPhoto, number: int, job: FaceJob) -> None:
        def stage(name: str) -> None:
            job.stage = name

        try:
            face, name = photo.faces[number], f"face_{number}"
            job.made = self.workshop.make(photo.pixels, face, name=name, stage=stage)
        except ConnectionError as error:
            job.error = str(error)
        except Exception:
            _log.exception("a head could not be made")
            job.error = "this head could not be made; the terminal of facerelief web has more"

    def file(self, job: FaceJob, form: str, name: str) -> concurrent.futures.Future[bytes]:
        """The file of a head in one of MEDIA_TYPES; its parts are called by a name."""
        return self._submit(functools.partial(_file, job, form, name))


def _file(job: FaceJob, form: str, name: str) -> bytes:
    assert job.made
    if job.files is None:
        job.files = job.made.encode()
    return zip_obj(job.files, name) if form == "obj" else job.files[form]


def _decode(content: bytes, name: str, megapixels: float) -> np.ndarray:
    try:
        return decode_photo(content, name=name, max_megapixels=megapixels)
    except UnknownFormatError as error:
        raise HttpError(415, str(error)) from None
    except TooLargeError as error:
        raise HttpError(413, str(error)) from None
    except ImageError as error:
        raise HttpError(422, str(error)) from None
