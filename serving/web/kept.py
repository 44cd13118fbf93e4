"""What the page's server keeps: photos and their heads, in memory, few, and not for long."""

from __future__ import annotations

import dataclasses
import re
import secrets
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from serving.detection.detector import DetectedFace
from serving.server.http_status import HttpError
from serving.web.workshop import MadeHead

WAITING = "waiting"
LONGEST_STEM = 60
"""Characters of a photo's name in the names of its files."""


@dataclasses.dataclass(eq=False)
class FaceJob:
    """One face of a photo, on its way to a head.

    Attributes:
      stage: One of workshop.STAGES, or WAITING.
      error: A sentence, if it failed.
      made: The head, once it is there.
      used: Time of the last use, by the clock of KeptPhotos.
    """

    stage: str = WAITING
    error: str | None = None
    made: MadeHead | None = None
    used: float = 0.0


@dataclasses.dataclass(eq=False)
class OpenPhoto:
    """A photo that was sent.

    Attributes:
      pixels: uint8 [H, W, 3].
      faces: Found in it, largest first.
      preview: JPEG of it.
      stem: What its heads and their files are called by, before the number of the face.
      jobs: Of the faces that were asked for.
      used: Time of the last use, by the clock of KeptPhotos.
    """

    pixels: np.ndarray
    faces: list[DetectedFace]
    preview: bytes
    stem: str = "photo"
    jobs: dict[int, FaceJob] = dataclasses.field(default_factory=dict)
    used: float = 0.0


def file_stem(name: str) -> str:
    """A file's name as the first part of other files' names; "photo" if nothing of it is left.

    Without folders and suffix; letters, digits, `.`, `-` and `_` alone (any alphabet's), the rest
    becomes `_`; not hidden, and at most LONGEST_STEM characters.
    """
    last = re.split(r"[/\\]", unicodedata.normalize("NFC", name))[-1]
    stem = last.rpartition(".")[0] or last
    return re.sub(r"[^\w.-]+", "_", stem).strip("._-")[:LONGEST_STEM] or "photo"


class KeptPhotos:
    """Photos by id, and the heads that were made of them. Any thread may call it.

    Args:
      photos: Number kept; the one that was used longest ago makes room.
      heads: Number kept, of all photos together; likewise.
      seconds: Time that a photo is kept after its last use, s.
      clock: Gives seconds.
    """

    def __init__(self, *, photos: int, heads: int, seconds: float, clock: Callable[[], float]):
        self._most, self._most_heads, self._seconds = photos, heads, seconds
        self._clock = clock
        self._photos: OrderedDict[str, OpenPhoto] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._photos)

    def add(self, photo: OpenPhoto) -> str:
        """Keeps a photo and returns its id, which nobody can guess."""
        identifier, photo.used = secrets.token_urlsafe(16), self._clock()
        with self._lock:
            self._photos[identifier] = photo
            while len(self._photos) > self._most:
                self._photos.popitem(last=False)
        return identifier

    def photo(self, identifier: str) -> OpenPhoto:
        """An open photo; this is a use.

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

    def job(self, photo: OpenPhoto, number: int) -> FaceJob:
        """The job of a face; this is a use.

        Raises:
          HttpError: 404 if it was not asked for, or its head is no longer kept.
        """
        with self._lock:
            job = photo.jobs.get(number)
            if job is None:
                raise HttpError(
                    404, f"there is no head of face {number} (any more); click the face"
                )
            job.used = self._clock()
            return job

    def add_job(self, photo: OpenPhoto, number: int, job: FaceJob) -> None:
        """Keeps the job of a face."""
        with self._lock:
            photo.jobs[number] = job

    def made(self, job: FaceJob, head: MadeHead) -> None:
        """Gives a job its head; those used longest ago make room."""
        with self._lock:
            job.made, job.used = head, self._clock()
            heads = [
                (other.used, photo, number)
                for photo in self._photos.values()
                for number, other in photo.jobs.items()
                if other.made is not None
            ]
            heads.sort(key=lambda entry: entry[0])
            for _, photo, number in heads[: max(0, len(heads) - self._most_heads)]:
                del photo.jobs[number]

    def forget(self, identifier: str) -> None:
        """Drops a photo and all that was made of it."""
        with self._lock:
            self._photos.pop(identifier, None)

    def forget_old(self) -> None:
        """Drops the photos that nobody used for longer than the limit."""
        oldest = self._clock() - self._seconds
        with self._lock:
            for identifier in [key for key, one in self._photos.items() if one.used < oldest]:
                del self._photos[identifier]

    def clear(self) -> None:
        """Drops everything."""
        with self._lock:
            self._photos.clear()
