"""What is installed: package, face model and weights, read without starting TensorFlow."""

from __future__ import annotations

import json
import pathlib
import zipfile

import facemodel
from facemodel.files import DATA, file_digest

MODEL_FILE = DATA / "default_model.npz"
WEIGHTS_FILE = DATA / "regressor_float16.npz"


def describe() -> list[str]:
    """Three lines for people: package, face model, weights."""
    return [
        f"facerelief {facemodel.__version__}",
        f"face model {_or_missing(face_model, MODEL_FILE)}",
        f"weights {_or_missing(weights, WEIGHTS_FILE)}",
    ]


def _or_missing(describe_file, path: pathlib.Path) -> str:
    try:
        return describe_file()
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        return f"unusable: {path.name} ({error})"


def face_model() -> str:
    """Name, version and start of the digest of the shipped face model."""
    import numpy as np

    with np.load(MODEL_FILE) as archive:
        name, version = str(archive["name"]), str(archive["version"])
    return f"{name} {version} (sha256 {file_digest(MODEL_FILE)[:12]})"


def weights() -> str:
    """Start of the digest of the shipped weights, and the face model that they are for."""
    meta = weights_meta()
    trained_for = f"for {meta['model_name']} {meta['model_version']}"
    return f"sha256 {file_digest(WEIGHTS_FILE)[:12]} ({trained_for}; {meta['provenance']})"


def weights_meta() -> dict:
    """Metadata of the shipped weights."""
    import numpy as np

    with np.load(WEIGHTS_FILE) as archive:
        return json.loads(str(archive["meta"]))
