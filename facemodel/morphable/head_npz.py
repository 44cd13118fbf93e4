"""Head files: .npz with the rest of the head for one face model file."""

from __future__ import annotations

import hashlib
import os
import pathlib
import zipfile
from collections.abc import Mapping, Sequence

import numpy as np

from facemodel.morphable import npz
from facemodel.morphable.head_mesh import LEVELS, FaceLevel, HeadSurface
from facemodel.morphable.mesh import ModelError

FORMAT = 1
_SHORT = 12


HEAD_ARRAYS = (
    "format",
    "face_digest",
    "mean",
    "identity",
    "expression",
    "quads",
    "regions",
    "uv",
    "uv_quads",
    "albedo",
    *(f"level{level}_face_{name}" for level in LEVELS for name in ("vertices", "quads")),
)
FACE_ARRAYS = (
    "mean",
    "identity",
    "expression",
    "expression_names",
    "albedo_mean",
    *(f"level2_albedo_operator_{part}" for part in ("data", "indices", "indptr")),
    *(f"level{level}_regions" for level in LEVELS),
)
"""What a head needs of its face model's file."""


def fields(path: str | os.PathLike[str], face_path: str | os.PathLike[str]) -> dict:
    """Reads the arguments of facemodel.morphable.head.HeadModel.

    Args:
      path: an .npz written by facemodel.default_model.head.
      face_path: the .npz of the face model that it was built for.

    Raises:
      ModelError: if a file is missing or none of these, or they do not belong together.
    """
    head, face = _read(path, "head", HEAD_ARRAYS), read_face(face_path)
    try:
        if int(head["format"]) != FORMAT:
            raise ModelError(
                f"{path}: a head file of format {head['format']}, this version reads {FORMAT}"
            )
        built_for, found = str(head["face_digest"]), geometry_digest(face)
        if built_for != found:
            raise ModelError(
                f"{path} was built for another face model ({built_for[:_SHORT]}) than {face_path}"
                f" ({found[:_SHORT]}); `facerelief model` builds both"
            )
        return _fields(head, face)
    except KeyError as error:
        raise ModelError(f"{path}: not a head file for {face_path}, no {error}") from error


def geometry_digest(face: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of a face model file's mean, vectors and names of expressions."""
    digest = hashlib.sha256()
    for name in ("mean", "identity", "expression"):
        digest.update(np.ascontiguousarray(face[name], "<f4").tobytes())
    digest.update("\n".join(face["expression_names"].tolist()).encode())
    return digest.hexdigest()


def read_face(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Reads what heads need of a face model file.

    Raises:
      ModelError: if the file is missing or no face model.
    """
    return _read(path, "face model", FACE_ARRAYS)


def _read(path: str | os.PathLike[str], kind: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    path = pathlib.Path(path)
    try:
        with np.load(path) as archive:
            return {name: archive[name] for name in names}
    except FileNotFoundError:
        raise ModelError(f"{path}: no such {kind}; `make model` builds the default one") from None
    except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
        raise ModelError(f"{path}: not a {kind} file ({error})") from error
    except KeyError as error:
        raise ModelError(f"{path}: not a {kind} file, it lacks {error}") from error


def _fields(head: dict[str, np.ndarray], face: dict[str, np.ndarray]) -> dict:
    return {
        **{name: _joined(face[name], head[name]) for name in ("mean", "identity", "expression")},
        "expression_names": tuple(str(name) for name in face["expression_names"]),
        "surface": HeadSurface(
            quads=head["quads"].astype(np.int64),
            regions=head["regions"],
            uv=head["uv"].astype(np.float64),
            uv_quads=head["uv_quads"].astype(np.int64),
            rest_albedo=head["albedo"].astype(np.float32),
            face_levels={level: _face_level(head, face, level) for level in LEVELS},
        ),
    }


def _joined(face: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """The face's control vertices [..., Cf, 3], then the rest's [..., R, 3]; float32."""
    return np.concatenate([face, rest], axis=-2, dtype=np.float32)


def _face_level(head: dict[str, np.ndarray], face: dict[str, np.ndarray], level: int) -> FaceLevel:
    colours = face["albedo_mean"]
    if level == 2:
        colours = npz.read_operator(face, "level2_albedo_operator", len(colours)) @ colours
    return FaceLevel(
        vertices=head[f"level{level}_face_vertices"].astype(np.int64),
        quads=head[f"level{level}_face_quads"].astype(np.int64),
        regions=face[f"level{level}_regions"].astype(np.uint8),
        albedo_mean=colours.astype(np.float32),
    )
