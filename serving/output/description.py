"""The .json file of a reconstructed face: what it says, and reading it again."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

import facemodel
from facemodel.morphable.landmarks import IBUG_68

if TYPE_CHECKING:
    from serving.output.textured_mesh import TexturedMesh
    from serving.reconstructor import Reconstruction

FORMAT_NAME = "facerelief-face/1"
MODEL_FACTS = (
    "model_name",
    "model_version",
    "model_sha256",
    "weights_sha256",
    "iterations",
    "step_decay",
    "start",
)


def describes_face(path: pathlib.Path) -> bool:
    """Whether a file is the description of a face that write_face wrote."""
    return read_description(path) is not None


def read_description(path: pathlib.Path) -> dict | None:
    """A face's description; None if the file is none or is missing."""
    try:
        description = json.loads(path.read_bytes())
        known = description["format"] == FORMAT_NAME and "name" in description["photo"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return description if known else None


def model_facts(facts: Mapping[str, object]) -> dict[str, object]:
    """What a description says about the model, of what a SavedModel says about itself."""
    return {key: facts[key] for key in MODEL_FACTS if key in facts}


def describe(
    face: Reconstruction,
    *,
    photo_facts: Mapping[str, object],
    photo_size: tuple[int, ...],
    mesh: TexturedMesh,
    options: Mapping[str, object],
) -> dict:
    """What the .json file says; docs/conventions.md explains frames, units and pose."""
    facts, quality = face.model.facts, face.quality
    height, width = photo_size
    detected = face.detection.landmarks[list(IBUG_68)]
    return {
        "format": FORMAT_NAME,
        "photo": {**photo_facts, "width": int(width), "height": int(height)},
        "facerelief_version": facemodel.__version__,
        "model": model_facts(facts),
        "units": {
            "vertices": "mm of an average head: one photo does not show absolute size",
            "files": {"obj": "mm", "ply": "mm", "glb": "m"},
            "image": "px, origin at the top-left corner, y down, pixel centres at +0.5",
        },
        "options": dict(options),
        "mesh": {
            "vertices": len(mesh.vertices),
            "face_vertices": len(face.vertices),
            "triangles": len(mesh.triangles),
            "texture_px": 0 if mesh.plain_colour else len(mesh.texture),
            "normal_map": mesh.normal_map is not None,
            "morph_targets": list(mesh.targets),
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
