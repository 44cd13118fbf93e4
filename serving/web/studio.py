"""Works on the photos that the page sends: faces are found, heads and files made, one at a time."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from serving.server.http_status import HttpError
from serving.server.photo_bodies import photo_of
from serving.web.kept import FaceJob, KeptPhotos, OpenPhoto, file_stem
from serving.web.workshop import MadeHead, Workshop, preview, zip_obj

_log = logging.getLogger(__name__)

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
      heads: Number kept, of all photos together; likewise. One for each photo at least.
      seconds: Time that a photo is kept after its last use, s.
      waiting: Pieces of work that may wait, photos on their way here among them; there are always
        few from one page.
    """

    megapixels: float = 50.0
    photos: int = 4
    heads: int = 8
    seconds: float = 1800.0
    waiting: int = 8


class Studio:
    """Works on photos, one piece of work at a time. Any thread may call it.

    Args:
      workshop: Does the work.
      limits: What is kept and taken.
      clock: Seconds, for tests.

    Attributes:
      kept: The photos and their heads.
    """

    def __init__(
        self,
        workshop: Workshop,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ):
        self.workshop, self.limits = workshop, limits or Limits()
        self.kept = KeptPhotos(
            photos=self.limits.photos,
            heads=self.limits.heads,
            seconds=self.limits.seconds,
            clock=clock,
        )
        self._lock = threading.Lock()
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "web")
        self._waiting = 0

    def close(self) -> None:
        """Forgets all photos, and finishes what has begun."""
        self._thread.shutdown(cancel_futures=True)
        self.kept.clear()

    @contextlib.contextmanager
    def arriving(self) -> Iterator[None]:
        """A place in the queue for a photo whose bytes are still on their way.

        Raises:
          HttpError: 503 if too much waits.
        """
        self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        with self._lock:
            if self._waiting >= self.limits.waiting:
                raise HttpError(503, "too many photos wait; try again in a moment")
            self._waiting += 1

    def _leave(self, _future: concurrent.futures.Future[Any] | None = None) -> None:
        with self._lock:
            self._waiting -= 1

    def _submit(self, work: Callable[[], T]) -> concurrent.futures.Future[T]:
        self._enter()
        future = self._thread.submit(work)
        future.add_done_callback(self._leave)
        return future

    def open(self, content: bytes, *, name: str) -> concurrent.futures.Future[str]:
        """Reads an image file and finds its faces.

        Args:
          content: Of the file.
          name: What errors call it; heads and files have its stem.

        Returns:
          The photo's id. Its error is an HttpError: 415 for no image, 413 for too many pixels, 422
          for one that is damaged, too small or without a face.

        Raises:
          HttpError: 503 if too much waits.
        """
        return self._submit(functools.partial(self._open, content, name))

    def _open(self, content: bytes, name: str) -> str:
        pixels = photo_of(content, name=name, max_megapixels=self.limits.megapixels)
        faces = self.workshop.find_faces(pixels)
        if not faces:
            width = self.workshop.smallest_face_px(pixels)
            raise HttpError(422, f"{name}: no face found that is at least {width:.0f} px wide")
        return self.kept.add(OpenPhoto(pixels, faces, preview(pixels), file_stem(name)))

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
            self.kept.add_job(photo, number, job)
        return job

    def _make(self, photo: OpenPhoto, number: int, job: FaceJob) -> None:
        def stage(name: str) -> None:
            job.stage = name

        try:
            face, name = photo.faces[number], f"{photo.stem}_{number}"
            made = self.workshop.make(photo.pixels, face, name=name, stage=stage)
            self.kept.made(job, made)
        except ConnectionError as error:
            job.error = str(error)
        except Exception:
            _log.exception("a head could not be made")
            job.error = "this head could not be made; the terminal of facerelief web has more"

    def file(self, head: MadeHead, form: str, name: str) -> concurrent.futures.Future[bytes]:
        """The file of a head in one of MEDIA_TYPES; its parts are called by a name."""
        return self._submit(functools.partial(_file, head, form, name))


def _file(head: MadeHead, form: str, name: str) -> bytes:
    files = head.encode(form)
    return zip_obj(files, name) if form == "obj" else files[form]
