"""From a photo to 3D faces, as a library.

with Reconstructor() as reconstructor:
    faces = reconstructor.reconstruct(image)
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import os
import time
from typing import Protocol

import numpy as np
from typing_extensions import Self

from facemodel.morphable.landmarks import INNER_51, embedded_points
from serving.detection.detector import DetectedFace, FaceDetector
from serving.detection.window import cut_window
from serving.local_model import LocalModel
from serving.model_store import SavedFaceModel
from serving.quality import Quality, assess

JAW_POINTS = 17
"""Of the 68 iBUG points, the first; the other 51 are the inner ones."""


class Predictor(Protocol):
    """A SavedModel in this process (LocalModel) or behind a server (client.RemoteModel)."""

    @property
    def model(self) -> SavedFaceModel:
        """What is known of it."""

    def run(
        self, image: np.ndarray, landmarks: np.ndarray
    ) -> tuple[dict[str, np.ndarray], SavedFaceModel]:
        """Calls the signature mesh, or what gives the same.

        Args:
          image: uint8 [B, H, W, 3].
          landmarks: float32 [B, 478, 2] px.

        Returns:
          The outputs [B, ...], and what is known of the model that made them.
        """


def project(
    points: np.ndarray, rotation: np.ndarray, scale: float, translation: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """As facemodel.camera without Keras: points [N, 3] mm -> [N, 2] px, [N] mm to the viewer."""
    camera = points @ rotation.T
    return camera[:, :2] * (scale, -scale) + translation, camera[:, 2]


@dataclasses.dataclass(frozen=True, eq=False)
class Reconstruction:
    """One 3D face and where it is in the photo.

    A point X mm of the mesh lands at scale * diag(1, -1) R[:2] X + translation px of the photo.
    Under weak perspective millimetres are those of an average head, not measured.

    Attributes:
      coefficients: [n] identity (standard deviations), then expression (natural units).
      vertices: [V, 3] mm, model space (x subject's left, y up, z to the viewer).
      triangles: [T, 3] counter-clockwise from outside.
      rotation: [3, 3] camera_from_model.
      scale: px/mm.
      translation: [2] px, where the model's origin lands.
      landmarks_68_mm: [68, 3] the iBUG points on the mesh.
      landmarks_68_px: [68, 2] those points in the photo.
      detection: the 478 detected landmarks, and how certain the detector was.
      quality: measures and flags.
      iterations: [K + 1, n] all estimates of the loop, the start first.
      crop_from_image: [2, 3] from photo px to px of the crop that the network saw.
      model: the SavedModel that was used.
      milliseconds: Time that the SavedModel took for this face.
    """

    coefficients: np.ndarray
    vertices: np.ndarray
    triangles: np.ndarray
    rotation: np.ndarray
    scale: float
    translation: np.ndarray
    landmarks_68_mm: np.ndarray
    landmarks_68_px: np.ndarray
    detection: DetectedFace
    quality: Quality
    iterations: np.ndarray
    crop_from_image: np.ndarray
    model: SavedFaceModel
    milliseconds: float

    @property
    def flags(self) -> tuple[str, ...]:
        """What makes the result less trustworthy; see serving.quality."""
        return self.quality.flags

    @property
    def coefficient_names(self) -> tuple[str, ...]:
        """A name for each coefficient."""
        return tuple(self.model.facts["coefficient_names"])

    def to_photo(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where points [N, 3] mm of the mesh land: [N, 2] px, and depth [N] mm to the viewer."""
        return project(points, self.rotation, self.scale, self.translation)


class Reconstructor:
    """Turns photos into 3D faces with a SavedModel; loads once, then takes any number of photos.

    Threads may share one: they take turns where native libraries run. Processes forked after it was
    made may not (native.ForkError).

    Args:
      model_dir: SavedModel of this project, or a folder of numbered versions; the default model,
        exported into the user's cache at first use, if None.
      face_model: Predictor to use in place of a model_dir.
      detector: Face detector; one of its own if None, which it closes.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike[str] | None = None,
        *,
        face_model: Predictor | None = None,
        detector: FaceDetector | None = None,
    ):
        self._stack = contextlib.ExitStack()
        self._face_model = face_model or LocalModel(model_dir)
        self._stack.callback(delattr, self, "_face_model")
        self.detector = detector or self._stack.enter_context(FaceDetector())

    @property
    def model(self) -> SavedFaceModel:
        """What is known of the model; a server may have a newer one for the next face."""
        return self._face_model.model

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Frees the model, and the detector's models unless the detector was given."""
        self._stack.close()
        # TensorFlow's objects refer to each other in circles, and complain if they are still there
        # when the interpreter ends.
        gc.collect()

    def reconstruct(
        self, image: np.ndarray, *, max_faces: int | None = None
    ) -> list[Reconstruction]:
        """Reconstructs all faces of a photo.

        Args:
          image: uint8 [H, W, 3] sRGB, upright.
          max_faces: Largest number of faces, the largest ones; None for all.

        Returns:
          One for each face, largest first; none is an empty list.

        Raises:
          ValueError: if image is not uint8 [H, W, 3].
        """
        faces = self.detector.detect(image)[:max_faces]
        return [self.reconstruct_face(image, face) for face in faces]

    def follow(self, image: np.ndarray, before: Reconstruction) -> Reconstruction | None:
        """Reconstructs a face in the next picture of a film, looking only around where it was.

        Args:
          image: As in reconstruct.
          before: The face in the picture before.

        Returns:
          None if the face is not there any more. Its detection has the score that it had before.

        Raises:
          ForkError: if this process was forked after the detector was made.
        """
        face = self.detector.follow(image, before.detection)
        return None if face is None else self.reconstruct_face(image, face)

    def reconstruct_face(self, image: np.ndarray, face: DetectedFace) -> Reconstruction:
        """Reconstructs a face whose landmarks are known; image as in reconstruct."""
        window, zoom, corner = cut_window(image, face)
        began = time.perf_counter()
        landmarks = ((face.landmarks - corner) * zoom).astype(np.float32)
        outputs, model = self._face_model.run(window[None], landmarks[None])
        outputs = {name: value[0] for name, value in outputs.items()}
        took = time.perf_counter() - began
        return self._result(image, face, outputs, model, float(zoom.mean()), corner, 1e3 * took)

    def _result(self, image, face, outputs, model, zoom, corner, milliseconds) -> Reconstruction:
        """Moves the SavedModel's outputs from the window to the photo and adds what follows."""
        vertices, rotation = outputs["vertices"], outputs["rotation"]
        scale = float(outputs["scale"]) / zoom
        translation = outputs["translation"] / zoom + corner
        crop_from_image = outputs["crop_from_image"].astype(np.float64)
        crop_from_image[:, :2] *= zoom
        crop_from_image[:, 2] -= crop_from_image[:, :2] @ corner
        points = _landmarks_68(vertices, model)
        projected, _ = project(points, rotation, scale, translation)
        quality = assess(
            rotation=rotation,
            scale=scale,
            detected_478=face.landmarks,
            residual_px=face.landmarks[list(INNER_51)] - projected[JAW_POINTS:],
            score=face.score,
            photo_size=image.shape[:2],
        )
        return Reconstruction(
            coefficients=outputs["coefficients"],
            vertices=vertices,
            triangles=model.arrays["triangles"],
            rotation=rotation,
            scale=scale,
            translation=translation,
            landmarks_68_mm=points,
            landmarks_68_px=projected,
            detection=face,
            quality=quality,
            iterations=outputs["iterations"],
            crop_from_image=crop_from_image,
            model=model,
            milliseconds=milliseconds,
        )


def _landmarks_68(vertices: np.ndarray, model: SavedFaceModel) -> np.ndarray:
    """[68, 3] mm, the iBUG points on the mesh."""
    names = ("triangles", "landmark_triangles", "landmark_barycentric")
    return embedded_points(vertices, *(model.arrays[name] for name in names))
