"""Photos that may not be worked on at once take turns."""

from __future__ import annotations

import collections
import contextlib
import threading
from collections.abc import Iterator, Sequence

from typing_extensions import Self

from pipeline.inference.photo_files import Photo
from pipeline.inference.results import first_names

LARGE_BYTES = 75_000_000
"""Photos with so many bytes of pixels (25 megapixels) are worked on one at a time."""
_LOOK_S = 0.2


class StoppedError(Exception):
    """The run has ended while a photo waited for its turn."""


class Turns:
    """Who may begin: of photos that might take the same name only one at a time, in their order.

    Else the names of results would depend on which of them is finished first. Use it as a context
    manager; at its end, who still waits gets a StoppedError.

    Args:
      photos: all photos of the run.
    """

    def __init__(self, photos: Sequence[Photo]):
        uses = collections.Counter(name for photo in photos for name in first_names(photo))
        self._shared = {
            photo.path for photo in photos if any(uses[name] > 1 for name in first_names(photo))
        }
        self._named, self._large = threading.Lock(), threading.Lock()
        self._stopped = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()

    def of_name(self, photo: Photo) -> contextlib.AbstractContextManager[None]:
        """Waits until a photo may look for a name; held until its results are written."""
        return self._turn(self._named) if photo.path in self._shared else contextlib.nullcontext()

    def of_size(self, pixel_bytes: int) -> contextlib.AbstractContextManager[None]:
        """Waits until a photo of that many bytes may be worked on; held while it is in memory."""
        large = pixel_bytes > LARGE_BYTES
        return self._turn(self._large) if large else contextlib.nullcontext()

    @contextlib.contextmanager
    def _turn(self, lock: threading.Lock) -> Iterator[None]:
        while not lock.acquire(timeout=_LOOK_S):
            if self._stopped.is_set():
                raise StoppedError
        try:
            yield
        finally:
            lock.release()
