"""The files that a reconstructed face becomes."""

from __future__ import annotations

import io
import json
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

import facemodel
from facemodel.files import write_bytes
from facemodel.morphable.landmarks import IBUG_68
from facemodel.texture.visible import photo_colours
from serving.output.mesh_io import FORMATS, FaceMesh, encode_mesh
from serving.output.overview import render_overview
from serving.reconstructor import Reconstruction

SUFFIXES = (*FORMATS, "json", "png")
"""What is written for each face: meshes, description, overview picture."""
FORMAT_NAME = "facerelief-face/1"
MODEL_FACTS = (
    "model_name",
    "model_version",
    "model_sha256",
    "weights_sha256",
    "iterations",
    "start",
)


def encode_face(
    photo: np.ndarray,
    face: Reconstruction,
    *,
    name: str,
    photo_name: str,
    formats: Sequence[str] = FORMATS,
) -> dict[str, bytes]:
    """Gives the contents of all files of one face.

    Args:
      photo: uint8 [H, W, 3] sRGB.
      face: reconstructed from it.
      name: Name of the face, in titles and inside the mesh files.
      photo_name: the photo's file name, for the description.
      formats: Mesh formats, from mesh_io.FORMATS.

    Returns:
      Bytes by suffix (without dot): the formats, "json" and "png". Equal inputs, equal bytes.
    """
    colours, _ = photo_colours(photo, face)
    mesh = FaceMesh(face.vertices, face.triangles, colours, name)
    files = {file_format: encode_mesh(mesh, file_format) for file_format in formats}
    description = describe(face, photo_name=photo_name, photo_size=photo.shape[:2])
    files["json"] = (json.dumps(description, indent=1) + "\n").encode()
    picture = io.BytesIO()
    Image.fromarray(render_overview(photo, face, mesh)).save(picture, "PNG")
    files["png"] = picture.getvalue()
    return files


def write_face(folder: pathlib.Path, name: str, files: dict[str, bytes]) -> None:
    """Writes folder/name.suffix for each, atomically."""
    for suffix, content in files.items():
        write_bytes(folder / f"{name}.{suffix}", content)


def describe(face: Reconstruction, *, photo_name: str, photo_size: tuple[int, ...]) -> dict:
    """What the .json file says; docs/conventions.md explains frames, units and pose."""
    facts, quality = face.model.facts, face.quality
    height, width = photo_size
    detected = face.detection.landmarks[list(IBUG_68)]
    return {
        "format": FORMAT_NAME,
        "photo": {"name": photo_name, "width": int(width), "height": int(height)},
        "facerelief_version": facemodel.__version__,
        "model": {key: facts[key] for key in MODEL_FACTS if key in facts},
        "units": {
            "vertices": "mm of an average head: one photo does not show absolute size",
            "files": {"obj": "mm", "ply": "mm", "glb": "m"},
            "image": "px, origin at the top-left corner, y down, pixel centres at +0.5",
        },
        "pose": {
            "formula": "x_px = scale * diag(1, -1) * rotation[:2] * X_mm + translation",
            "rotation": _rounded(face.rotation),
            "scale_px_per_mm": _rounded(face.scale),
            "translation_px": _rounded(face.translation),
            "yaw_deg": _rounded(quality.yaw_deg),
            "pitch_deg": _rounded(quality.pitch_deg),
            "roll_deg": _rounded(quality.roll_deg),
        },
        "coefficients": dict(zip(face.coefficient_names, _rounded(face.coefficients))),
        "landmarks_68_mm": _rounded(face.landmarks_68_mm),
        "landmarks_68_px": _rounded(face.landmarks_68_px),
        "detected_landmarks_68_px": _rounded(detected),
        "crop_from_image": _rounded(face.crop_from_image),
        "quality": {
            "flags": list(quality.flags),
            "detection_score": _rounded(quality.detection_score),
            "face_px": _rounded(quality.face_px),
            "outside_fraction": _rounded(quality.outside_fraction),
            "landmark_residual_mm": _rounded(quality.landmark_residual_mm),
        },
    }


def _rounded(value):
    """Numbers as lists, to seven significant digits."""
    if np.ndim(value):
        return [_rounded(part) for part in value]
    return float(f"{float(value):.7g}")
