"""The real detector on the pictures of a set, remembered for the next evaluation."""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from facemodel.files import file_digest, write_bytes
from facemodel.morphable.landmarks import INNER_51
from serving.detection import detector as detector_module
from serving.detection.detector import DetectedFace, FaceDetector
from serving.images import read_photo
from serving.quiet import without_notices

CACHE = "detections.npz"
FARTHEST = 0.25
"""A face whose landmarks are farther from the truth, in its own size, is another one."""
SAVED_EVERY = 50


class Detection(NamedTuple):
    """A picture and the face in it.

    Attributes:
      name: of the scene.
      image: uint8 [H, W, 3].
      face: None if the detector did not find it.
    """

    name: str
    image: np.ndarray
    face: DetectedFace | None


class DetectionCache:
    """Landmarks by the digest of the picture; in a file of the set's folder.

    Args:
      path: the file; read if it exists and is of the same detector.
    """

    def __init__(self, path: pathlib.Path):
        self._path = path
        self._version = _detector_version()
        self._known: dict[str, np.ndarray] = {}
        self._unsaved = 0
        if path.is_file():
            with np.load(path) as stored:
                if str(stored["version"]) == self._version:
                    faces = np.split(stored["faces"], np.cumsum(stored["counts"])[:-1])
                    self._known = dict(zip(stored["digests"].tolist(), faces, strict=True))

    def faces(self, digest: str) -> list[DetectedFace] | None:
        """The faces of a picture; None if it is not known."""
        if digest not in self._known:
            return None
        rows = self._known[digest]
        return [DetectedFace(row[:-1].reshape(-1, 2), float(row[-1])) for row in rows]

    def keep(self, digest: str, faces: list[DetectedFace]) -> None:
        """Remembers the faces of a picture."""
        rows = [np.append(face.landmarks.ravel(), face.score) for face in faces]
        self._known[digest] = np.array(rows, np.float32).reshape(len(rows), -1 if rows else 957)
        self._unsaved += 1
        if self._unsaved >= SAVED_EVERY:
            self.save()

    def save(self) -> None:
        """Writes the file, if there is something new."""
        if not self._unsaved:
            return
        content = io.BytesIO()
        np.savez(
            content,
            version=self._version,
            digests=np.array(list(self._known)),
            counts=np.array([len(rows) for rows in self._known.values()]),
            faces=np.concatenate(list(self._known.values())),
        )
        write_bytes(self._path, content.getvalue())
        self._unsaved = 0


def _detector_version() -> str:
    source = file_digest(detector_module.__file__)
    return f"mediapipe {importlib.metadata.version('mediapipe')} {source}"


def detect_each(
    folder: pathlib.Path, pictures: dict[str, pathlib.Path], truths: dict[str, np.ndarray]
) -> Iterator[Detection]:
    """Finds the face of each picture.

    Args:
      folder: where detections are remembered.
      pictures: by name.
      truths: name -> true landmarks [478, 2] px.
    """
    cache = DetectionCache(folder / CACHE)
    detector = None
    try:
        for name, path in pictures.items():
            digest, image = hashlib.sha256(path.read_bytes()).hexdigest(), read_photo(path)
            faces = cache.faces(digest)
            if faces is None:
                with without_notices():
                    detector = detector or FaceDetector()
                    faces = detector.detect(image)
                cache.keep(digest, faces)
            yield Detection(name, image, _nearest(faces, truths[name]))
    finally:
        cache.save()
        if detector:
            detector.close()


def _nearest(faces: list[DetectedFace], truth: np.ndarray) -> DetectedFace | None:
    """The face that is where the true one is."""
    inner = list(INNER_51)
    size = float((truth.max(0) - truth.min(0)).max())
    errors = [np.linalg.norm((f.landmarks - truth)[inner], axis=1).mean() / size for f in faces]
    best = int(np.argmin(errors)) if errors else -1
    return faces[best] if errors and errors[best] < FARTHEST else None
