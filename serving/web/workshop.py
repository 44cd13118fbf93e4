"""Makes what the page shows of a photo: faces found, a head, its data and files."""

from __future__ import annotations

import dataclasses
import io
import pathlib
import zipfile
from collections.abc import Callable
from typing import Protocol

import cv2
import numpy as np
from typing_extensions import Self

from facemodel.morphable.landmarks import embedded_points
from facemodel.morphable.model import MorphableModel
from serving.detection.detector import DetectedFace
from serving.heads import Head, HeadMaker
from serving.output.face_files import encode_face, face_alone
from serving.output.file_names import FORMATS, PARTS
from serving.output.image_files import VECTOR_QUALITY, encode_jpeg
from serving.output.textured_mesh import TexturedMesh
from serving.reconstructor import Predictor, Reconstruction, Reconstructor
from serving.web.head_data import HeadPacker, pack_face

PREVIEW_PX = 1600
"""Longest side of the photo as the page shows it."""
RECONSTRUCTING, TEXTURE, PACKING = "reconstructing", "texture and detail", "packing"
STAGES = (RECONSTRUCTING, TEXTURE, PACKING)
"""Of one face, in their order."""
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclasses.dataclass(frozen=True, eq=False)
class MadeHead:
    """A face of a photo as the page shows it.

    Attributes:
      data: The viewer's arrays; see head_data.
      images: JPEG files by name: "texture"; "albedo" and "normals" if there are any.
      flags: Of the face, its texture and its detail.
      facts: Numbers for the page.
      encode: Gives its files of one format by suffix, and those that every face has; see
        face_files.encode_face. Nothing is kept of them.
    """

    data: bytes
    images: dict[str, bytes]
    flags: tuple[str, ...]
    facts: dict[str, object]
    encode: Callable[[str], dict[str, bytes]]


class Workshop(Protocol):
    """What the page's server needs; FaceWorkshop is the real one. One thread calls it at a time."""

    def find_faces(self, photo: np.ndarray) -> list[DetectedFace]: ...
    def smallest_face_px(self, photo: np.ndarray) -> float: ...
    def make(
        self, photo: np.ndarray, face: DetectedFace, *, name: str, stage: Callable[[str], None]
    ) -> MadeHead: ...


class FaceWorkshop:
    """Detector, model and maker of heads, loaded once.

    Args:
      model: Folder of a SavedModel; the default model if None.
      remote: Model on a server in its place.

    Raises:
      ModelStoreError: if there is no such model.
    """

    def __init__(self, model: pathlib.Path | None = None, *, remote: Predictor | None = None):
        self._reconstructor = Reconstructor(model, face_model=remote)
        self._maker = HeadMaker.load()
        self._packer = HeadPacker(self._maker.head)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self._reconstructor.close()

    def prepare(self) -> None:
        """Does everything once, so that the first photo does not wait for what is made once.

        Raises:
          RemoteModelError: if the model is on a server that does not answer.
        """
        photo, face = _average_photo()
        self.find_faces(photo)
        self.make(photo, face, name="average", stage=lambda _: None)

    def find_faces(self, photo: np.ndarray) -> list[DetectedFace]:
        """All faces of a photo uint8 [H, W, 3], largest first."""
        return self._reconstructor.detector.detect(photo)

    def smallest_face_px(self, photo: np.ndarray) -> float:
        """Width of the smallest face that is found in it."""
        return self._reconstructor.detector.smallest_face_px(photo)

    def make(
        self, photo: np.ndarray, face: DetectedFace, *, name: str, stage: Callable[[str], None]
    ) -> MadeHead:
        """Makes the head of a face.

        Args:
          photo: uint8 [H, W, 3] sRGB.
          face: Found in it.
          name: Of the head, in files.
          stage: Told which of STAGES begins.
        """
        stage(RECONSTRUCTING)
        result = self._reconstructor.reconstruct_face(photo, face)
        stage(TEXTURE)
        head = self._maker.make(photo, result, name=name) if self._maker.fits(result) else None
        stage(PACKING)
        mesh = head.mesh if head else face_alone(photo, result, name)
        data = self._packer.pack(mesh, result.iterations) if head else pack_face(mesh)
        flags = (*result.flags, *(head.flags if head else ()))
        return MadeHead(
            data=data,
            images=_images(mesh, head),
            flags=flags,
            facts=_facts(result, mesh),
            encode=lambda form: encode_face(
                photo,
                result,
                name=name,
                photo_facts={"name": name.rpartition("_")[0]},
                head=head,
                formats=[form] if form in FORMATS else [],
            ),
        )


def _average_photo() -> tuple[np.ndarray, DetectedFace]:
    """A photo of one colour, and the mean face's landmarks in it."""
    model = MorphableModel.load()
    points = embedded_points(
        model.mean, model.triangles, model.landmark_triangles, model.landmark_barycentric
    )
    landmarks = 2.0 * points[:, :2] * (1, -1) + 320
    photo = np.full((640, 640, 3), (200, 160, 140), np.uint8)
    return photo, DetectedFace(landmarks.astype(np.float32), 1.0)


def _images(mesh: TexturedMesh, head: Head | None) -> dict[str, bytes]:
    images = {"texture": encode_jpeg(mesh.texture)}
    if head and head.albedo is not None:
        images["albedo"] = encode_jpeg(head.albedo)
    if mesh.normal_map is not None:
        images["normals"] = encode_jpeg(mesh.normal_map, quality=VECTOR_QUALITY)
    return images


def _facts(face: Reconstruction, mesh: TexturedMesh) -> dict[str, object]:
    quality = face.quality
    return {
        "yaw_deg": round(quality.yaw_deg, 1),
        "pitch_deg": round(quality.pitch_deg, 1),
        "roll_deg": round(quality.roll_deg, 1),
        "face_px": round(quality.face_px),
        "vertices": len(mesh.vertices),
        "triangles": len(mesh.triangles),
        "targets": len(mesh.targets),
        "milliseconds": round(face.milliseconds),
    }


def preview(photo: np.ndarray) -> bytes:
    """A photo uint8 [H, W, 3] as JPEG of at most PREVIEW_PX."""
    height, width = photo.shape[:2]
    zoom = min(1.0, PREVIEW_PX / max(height, width))
    if zoom < 1.0:
        size = (max(1, round(width * zoom)), max(1, round(height * zoom)))
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    return encode_jpeg(photo)


def zip_obj(files: dict[str, bytes], name: str) -> bytes:
    """The .obj with its material and images as a .zip; equal files, equal bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for suffix in (*PARTS["obj"], "normals.jpg"):
            if suffix in files:
                archive.writestr(zipfile.ZipInfo(f"{name}.{suffix}", ZIP_DATE), files[suffix])
    return content.getvalue()
