"""A SavedModel of this project: how its graph runs the loop, and what lies beside it, where."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

from facemodel.config import Section, setting
from facemodel.morphable.served_noise import LANDMARK_NOISE_MM

EXTRA = pathlib.Path("assets.extra")
"""The folder that a server leaves alone, below that of the version."""
METADATA = EXTRA / "metadata.json"
ARRAYS = EXTRA / "model.npz"
ARRAY_FIELDS = (
    "mean",
    "triangles",
    "uv",
    "albedo_mean",
    "regions",
    "inner_face",
    "landmark_triangles",
    "landmark_barycentric",
)
"""Fields of the face model that are its arrays there, beside region_names."""
WARMUP_REQUESTS = EXTRA / "tf_serving_warmup_requests"
"""PredictionLogs as TFRecords, where TensorFlow Serving looks for them."""

MESH_OUTPUTS = (
    "coefficients",
    "crop_from_image",
    "iterations",
    "rotation",
    "scale",
    "translation",
    "vertices",
)
"""What the signature mesh gives: all but the pictures, which take time to draw and to send."""


class ExportError(ValueError):
    """A SavedModel that cannot be written."""


class FactsError(ValueError):
    """A SavedModel that says nothing readable about itself."""


@dataclasses.dataclass(frozen=True)
class ExportConfig(Section):
    """How the exported graph runs the loop.

    Attributes:
      start: alpha_0 of the loop: "landmark_fit", which evaluation finds the more accurate one,
        or "zero" (the mean face), as in the paper.
      landmark_noise_mm: standard deviation that the landmark fit expects of the detector's
        landmarks.
      supersample: samples of the photo along each side of a crop's pixel, as of
        fitting.crop.grey_crop; one takes a third of the time.
    """

    start: str = setting("landmark_fit", choices=("landmark_fit", "zero"))
    landmark_noise_mm: float = setting(LANDMARK_NOISE_MM, low=1e-3, high=1e3)
    supersample: int = setting(2, low=1, high=4)


def read_facts(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a version's folder says about its face model, weights and origin.

    Raises:
      FactsError: if its file is broken.
    """
    file = pathlib.Path(path, METADATA)
    try:
        facts = json.loads(file.read_bytes())
    except ValueError as error:
        raise FactsError(f"{file}: is no JSON ({error})") from None
    if not isinstance(facts, dict):
        raise FactsError(f"{file}: should hold a JSON object, got {type(facts).__name__}")
    return facts
