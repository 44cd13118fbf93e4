"""A foreign face model as the arrays of this project's model file."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
from scipy import sparse

from facemodel.files import write_arrays
from facemodel.morphable import npz
from facemodel.morphable.conversion import coarser, outline, places, transfer
from facemodel.morphable.conversion.alignment import Alignment, align_to_default, moved
from facemodel.morphable.model import MorphableModel
from facemodel.morphable.readers.foreign import ForeignModel

SCORE_COUNT, SCORE_SEED = 500, 0
"""Stored textures of a model with colours of its own: samples of its normal distribution."""


@dataclasses.dataclass(frozen=True, eq=False)
class Converted:
    """A converted model and what was found out about it.

    Attributes:
      arrays: of the model file.
      alignment: to the default model.
      borrowed: what it took from the default model, such as "colours".
    """

    arrays: dict[str, np.ndarray]
    alignment: Alignment
    borrowed: tuple[str, ...]


def convert(
    foreign: ForeignModel,
    points: np.ndarray,
    default: MorphableModel,
    *,
    version: str,
    whole: bool = False,
) -> Converted:
    """Aligns a model, cuts its face out and makes its levels; lacks are filled from the default.

    Args:
      foreign: as a reader returns it.
      points: [478, 3] mm on its mean face, NaN where unknown; its own list counts where it has one.
      default: the default model at level 1.
      version: of the data.
      whole: keep what lies outside of the face.

    Raises:
      ModelError: if units, axes or landmarks are wrong.
    """
    alignment = align_to_default(points, transfer.landmark_points(default))
    aligned_points = alignment.points(points)
    model, _ = outline.cut(moved(foreign, alignment), whole=whole)
    model, borrowed = _filled(model, aligned_points, default)
    meshes = coarser.levels(model.mean, model.triangles)
    arrays = {**_basis_arrays(model, default, version, borrowed), **_level_arrays(model, meshes)}
    closed = transfer.completed_landmarks(aligned_points, default)
    arrays |= _placeholders(meshes)
    models = places.at_levels(arrays)
    at = places.landmark_arrays(models, closed)
    arrays |= places.pinned(at, models, [mesh.vertices for mesh in meshes], model.landmarks)
    return Converted(arrays, alignment, borrowed)


def realigned(
    arrays: dict[str, np.ndarray], points: np.ndarray, default: MorphableModel
) -> tuple[dict[str, np.ndarray], Alignment]:
    """Aligns a model once more, by better landmarks.

    Args:
      arrays: of the model file.
      points: [478, 3] mm on its mean face.
      default: the default model.
    """
    found = align_to_default(points, transfer.landmark_points(default))
    turned = {name: found.vectors(arrays[name]) for name in ("identity", "expression")}
    changed = {"mean": found.points(arrays["mean"]), **turned}
    single = {name: values.astype(np.float32) for name, values in changed.items()}
    return {**arrays, **single}, found


def _filled(
    model: ForeignModel, points: np.ndarray, default: MorphableModel
) -> tuple[ForeignModel, tuple[str, ...]]:
    """The model with the default model's colours and expressions where it has none."""
    lacks = {
        "colours": model.albedo_mean is None,
        "expressions": not len(model.expression),
    }
    borrowed = tuple(name for name, lacking in lacks.items() if lacking)
    if not borrowed:
        return model, ()
    regions = transfer.default_regions(model.regions, model.region_names, default)
    operator = transfer.colour_operator(default, points, model.mean, model.triangles, regions)
    changes: dict = {}
    if lacks["colours"]:
        changes["albedo_mean"] = transfer.carried(operator, default.albedo_mean)
        changes["albedo"] = transfer.carried(operator, default.albedo)
    if lacks["expressions"]:
        changes["expression"] = transfer.carried(operator, default.expression)
        changes["expression_names"] = default.expression_names
    return dataclasses.replace(model, **changes), borrowed


def _basis_arrays(
    model: ForeignModel, default: MorphableModel, version: str, borrowed: tuple[str, ...]
) -> dict[str, np.ndarray]:
    assert model.albedo_mean is not None and model.albedo is not None
    if "colours" in borrowed:
        scores = default.albedo_scores
    else:
        rng = np.random.default_rng(SCORE_SEED)
        scores = rng.normal(size=(SCORE_COUNT, len(model.albedo))).astype(np.float32)
    return {
        "name": np.array(model.name),
        "version": np.array(version),
        "terms": np.array(model.terms),
        "borrowed": np.array(borrowed, dtype=str),
        "mean": model.mean,
        "identity": model.identity,
        "expression": model.expression,
        "expression_names": np.array(model.expression_names, dtype=str),
        "region_names": np.array(model.region_names, dtype=str),
        "albedo_mean": np.clip(model.albedo_mean, 0.0, 1.0),
        "albedo": model.albedo.astype(np.float16),
        "albedo_scores": scores,
    }


def _level_arrays(model: ForeignModel, meshes: list[coarser.Submesh]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    uv = outline.cylinder_uv(model.mean)
    inner = outline.inner_face(model.mean, model.regions)
    for level, mesh in enumerate(meshes):
        chosen = mesh.vertices
        operator = sparse.identity(len(model.mean), np.float32, format="csr")[chosen]
        for name in ("operator", "albedo_operator"):
            for part in ("data", "indices", "indptr"):
                arrays[f"level{level}_{name}_{part}"] = getattr(operator, part)
        arrays |= {
            f"level{level}_triangles": mesh.triangles,
            f"level{level}_regions": model.regions[chosen],
            f"level{level}_uv": uv[chosen],
            f"level{level}_inner_face": inner[chosen],
        }
    return arrays


def _placeholders(meshes: list[coarser.Submesh]) -> dict[str, np.ndarray]:
    """Landmarks at the first corner of the first triangle, until they are known."""
    triangle, corner = np.zeros(478, np.int32), np.tile(np.array([1, 0, 0], np.float32), (478, 1))
    arrays: dict[str, np.ndarray] = {}
    for level in range(len(meshes)):
        arrays[f"level{level}_landmark_triangles"] = triangle
        arrays[f"level{level}_landmark_barycentric"] = corner
    return arrays


def read_arrays(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """All arrays of a model file.

    Raises:
      ModelError: if it is none.
    """
    npz.fields(path, level=1)  # says what is wrong
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files}


def write(path: str | os.PathLike[str], arrays: dict[str, np.ndarray]) -> None:
    """Writes a model file, whole or not at all, after a check at every level.

    Raises:
      ModelError: if the arrays do not fit together.
    """
    for level in npz.LEVELS:
        MorphableModel(**npz.at_level(arrays, level)).check()
    write_arrays(path, arrays)
