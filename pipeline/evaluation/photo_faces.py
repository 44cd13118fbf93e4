"""One face of each photo of a folder, for the benchmarks that start from photos."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from facemodel.morphable.head import HeadModel, head_path
from facemodel.morphable.landmarks import IBUG_68, embedded_points
from facemodel.morphable.model import MorphableModel
from pipeline.inference.photo_files import Photo, find_photos
from serving.images import read_photo
from serving.quiet import without_notices

SAME_MODEL_MM = 0.1
"""Median distance of a face from what the face model makes of its coefficients."""


class PhotoFace(NamedTuple):
    """What became of a photo.

    Attributes:
      photo: the photo.
      face: serving.reconstructor.Reconstruction of the chosen face; None if there is none.
      reason: why there is none; empty if there is one.
    """

    photo: Photo
    face: object | None
    reason: str = ""


def photos_in(folder: pathlib.Path) -> list[Photo]:
    """The photos of a folder and its subfolders; ValueError if there are none."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    found = find_photos([folder])
    if not found:
        raise ValueError(f"{folder}: no photo in this folder")
    return found


def reconstruct_each(
    photos: Iterable[Photo],
    *,
    model: pathlib.Path | None = None,
    choose: Callable[[Photo, list], object] | None = None,
) -> Iterator[PhotoFace]:
    """Reconstructs one face of each photo, with a progress bar.

    Args:
      photos: the photos.
      model: a SavedModel's folder; the default model if None.
      choose: takes a photo and its detected faces, largest first (at least one), and gives the
        one to reconstruct; the largest if None.
    """
    with without_notices():
        from serving.reconstructor import Reconstructor

        reconstructor = Reconstructor(model)
    with reconstructor:
        for photo in tracked(list(photos), "Reconstructing"):
            yield _reconstruct(reconstructor, photo, choose or (lambda _, faces: faces[0]))


def tracked(items: list, text: str) -> Iterable:
    """The items, with a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(items, text, console=console, transient=True, disable=not console.is_interactive)


def _reconstruct(reconstructor, photo: Photo, choose) -> PhotoFace:
    try:
        image = read_photo(photo.path)
    except (ValueError, OSError) as error:
        text = " ".join(str(error).split())
        return PhotoFace(photo, None, text.removeprefix(f"{photo.path}: "))
    faces = reconstructor.detector.detect(image)
    if not faces:
        return PhotoFace(photo, None, "no face found")
    return PhotoFace(photo, reconstructor.reconstruct_face(image, choose(photo, faces)))


@dataclasses.dataclass(frozen=True, eq=False)
class NeutralFaces:
    """Makes the neutral faces of reconstructions: their identity without their expression.

    Attributes:
      model: face model.
      head: the head that goes with it; None if it has none.
    """

    model: MorphableModel
    head: HeadModel | None

    @classmethod
    def load(cls, path: pathlib.Path | None = None) -> NeutralFaces:
        """For a face model file, the default model if None."""
        model = MorphableModel.load(path)
        head = HeadModel.load(face_path=path) if head_path(path).is_file() else None
        return cls(model, head)

    def neutral(self, face) -> np.ndarray:
        """Coefficients [n] of a face with those of the expression 0.

        Raises:
          ValueError: if the face is not of this face model.
        """
        count = self.model.coefficient_count
        if len(face.coefficients) != count or len(face.vertices) != self.model.vertex_count:
            raise ValueError(
                f"--face-model: has {count} coefficients and {self.model.vertex_count} vertices, "
                f"the SavedModel {len(face.coefficients)} and {len(face.vertices)}"
            )
        apart = np.linalg.norm(self.model.vertices(face.coefficients) - face.vertices, axis=-1)
        if not np.median(apart) < SAME_MODEL_MM:
            raise ValueError(
                f"--face-model: {self.model.name} is not the face model of the SavedModel, whose "
                f"faces are {np.median(apart):.2f} mm from its own"
            )
        return np.where(np.arange(count) < self.model.identity_count, face.coefficients, 0.0)

    def mesh(self, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The head of coefficients [n], or the face alone: [V, 3] mm, [T, 3]; face first."""
        if self.head is None:
            return self.model.vertices(coefficients), self.model.triangles
        return self.head.vertices(coefficients, 1), self.head.mesh(1).triangles

    def landmarks_68(self, coefficients: np.ndarray) -> np.ndarray:
        """The iBUG points [68, 3] mm of the face with coefficients [n]."""
        model, chosen = self.model, list(IBUG_68)
        return embedded_points(
            model.vertices(coefficients),
            model.triangles,
            model.landmark_triangles[chosen],
            model.landmark_barycentric[chosen],
        )
