"""Finds the SavedModel to use: the one that is named, or the default one, exported at first use."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import zipfile

import numpy as np

from facemodel.files import cache_dir, file_digest, files_digest
from facemodel.morphable.landmarks import IBUG_68
from facemodel.saved_model.metadata import ARRAY_FIELDS, ARRAYS, ExportError, read_facts
from facemodel.saved_model.versions import newest_model


class ModelStoreError(ValueError):
    """A SavedModel that is missing, is not one of this project, or cannot be made."""


@dataclasses.dataclass(frozen=True, eq=False)
class SavedFaceModel:
    """What is known about a SavedModel, from its assets.extra/ or from a server that has it.

    Attributes:
      path: Folder of the version; None if a server has it.
      facts: metadata.json.
      arrays: mean [V, 3] mm, triangles [T, 3], albedo_mean [V, 3], regions [V] and the iBUG points
        landmark_triangles [68], landmark_barycentric [68, 3]; from a folder also uv [V, 2],
        region_names and inner_face [V].
    """

    path: pathlib.Path | None
    facts: dict
    arrays: dict[str, np.ndarray]


def read_saved_model(path: str | os.PathLike[str]) -> SavedFaceModel:
    """Opens a SavedModel that facemodel.saved_model.export wrote.

    Args:
      path: Folder of a version, or of numbered versions, of which the newest counts.

    Raises:
      ModelStoreError: if it is missing or not of this project.
    """
    if not os.path.isdir(path):
        raise ModelStoreError(f"{pathlib.Path(path)}: no such folder")
    folder = newest_model(path)
    if folder is None:
        raise ModelStoreError(f"{pathlib.Path(path)}: no SavedModel in this folder")
    try:
        facts = read_facts(folder)
        with np.load(folder / ARRAYS) as archive:
            arrays = {name: archive[name] for name in (*ARRAY_FIELDS, "region_names")}
        for name in ("landmark_triangles", "landmark_barycentric"):
            arrays[name] = arrays[name][list(IBUG_68)]
    except (OSError, LookupError, ValueError, zipfile.BadZipFile) as error:
        raise ModelStoreError(f"{folder}: not a SavedModel of facerelief ({error})") from error
    return SavedFaceModel(folder, facts, arrays)


def default_model_dir() -> pathlib.Path:
    """The default SavedModel, in the user's cache; exported there first if it is not yet.

    Two processes may ask at once: both export, one result stays.

    Raises:
      ModelStoreError: if the cache cannot be written.
    """
    folder = cache_dir() / "models" / default_digest()[:16]
    version = folder / "1"
    try:
        if not version.is_dir():
            _export_default(folder)
    except OSError as error:
        raise ModelStoreError(
            f"{folder}: cannot be written ({error.strerror or error}); "
            "set XDG_CACHE_HOME to a folder that can"
        ) from error
    return version


def _export_default(folder: pathlib.Path) -> None:
    from facemodel.morphable.model import DEFAULT_MODEL, MorphableModel
    from facemodel.network.pretrained import load_pretrained
    from facemodel.network.weights import DEFAULT_WEIGHTS
    from facemodel.saved_model import export

    facts = {
        "model_sha256": file_digest(DEFAULT_MODEL),
        "weights_sha256": file_digest(DEFAULT_WEIGHTS),
    }
    model = MorphableModel.load()
    try:
        export.export_saved_model(model, load_pretrained(model), folder, facts=facts)
    except ExportError:
        if not (folder / "1").is_dir():  # otherwise another process was faster
            raise


@functools.cache
def default_digest() -> str:
    """SHA-256 of what the default SavedModel is made from: face model, weights and code."""
    import facemodel

    return folder_digest(pathlib.Path(facemodel.__file__).parent)


def folder_digest(root: pathlib.Path) -> str:
    """SHA-256 of a package's modules and of the files in its data folder, with their places."""
    files = sorted([*root.rglob("*.py"), *root.glob("data/*")])
    return files_digest((file.relative_to(root).as_posix(), file) for file in files)
