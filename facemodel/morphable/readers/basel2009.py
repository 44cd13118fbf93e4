"""Basel face model of 2009 (.mat), and two files that others made of it.

Told apart by their contents: the original `01_MorphableModel.mat` (with FaceWarehouse expressions
from `Exp_Pca.bin`, `std_exp.txt` and `BFM_exp_idx.mat` if these lie beside it), face3d's `BFM.mat`,
and `BFM_model_front.mat` of Deep3DFaceReconstruction.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any

import numpy as np
import scipy.io

from facemodel.morphable.mesh import ModelError
from facemodel.morphable.readers.foreign import (
    LANDMARK_COUNT,
    SD_PER_WEIGHT,
    ForeignModel,
    corners_as_rows,
    foreign_model,
    naming,
    no_landmarks,
    per_vertex,
    scaled_basis,
)

TERMS = "Basel Face Model licence: non-commercial research, not to be passed on"
_KIND = "a Basel face model of 2009"
_MARKS = ("shapeMU", "model", "idBase")
"""Variables that tell the kinds apart: the original, face3d's, Deep3DFaceReconstruction's."""
_MICROMETRE_MM, _DECIMETRE_MM = 1e-3, 100.0
_EXPRESSIONS = ("Exp_Pca.bin", "std_exp.txt", "BFM_exp_idx.mat")


def read(path: str | os.PathLike[str]) -> ForeignModel:
    """Reads any of the three kinds.

    Raises:
      ModelError: naming the file and what is wrong with it.
    """
    path = pathlib.Path(path)
    with naming(path, _KIND):
        content = _variables(path)
        if "model" in content:
            return _face3d(_struct(content["model"]))
        if "idBase" in content:
            return _deep3d(content)
        return _original(content, path.parent)


def _variables(path: pathlib.Path) -> dict[str, Any]:
    """The variables of a MATLAB file that has those of one of the kinds."""
    expected = f"expected a MATLAB file with {', '.join(_MARKS[:-1])} or {_MARKS[-1]}"
    try:
        content = scipy.io.loadmat(path, squeeze_me=False, struct_as_record=True)
    except (FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # whatever other bytes make it raise
        found = f"{path.stat().st_size} bytes that cannot be read as one ({error})"
        raise ModelError(f"not {_KIND}: {expected}, found {found}") from error
    if not any(name in content for name in _MARKS):
        found = ", ".join(name for name in content if not name.startswith("__")) or "no variables"
        raise ModelError(f"not {_KIND}: {expected}, found {found}")
    return content


def _colours(content: Any) -> dict[str, Any]:
    """Mean and basis of colours in 0..255, as sRGB in [0, 1]."""
    return {
        "albedo_mean": np.asarray(content["texMU"], np.float64).reshape(-1, 3) / 255.0,
        "albedo": scaled_basis(content["texPC"], content["texEV"], 1 / 255.0),
    }


def _original(content: Any, folder: pathlib.Path) -> ForeignModel:
    arrays: dict[str, Any] = {
        "mean": np.asarray(content["shapeMU"], np.float64).reshape(-1, 3) * _MICROMETRE_MM,
        "identity": scaled_basis(content["shapePC"], content["shapeEV"], _MICROMETRE_MM),
        **_colours(content),
    }
    triangles = corners_as_rows(content["tl"]).astype(np.int64) - 1
    there = [(folder / name).is_file() for name in _EXPRESSIONS]
    if any(there) and not all(there):
        lacking = ", ".join(name for name, found in zip(_EXPRESSIONS, there) if not found)
        raise ModelError(f"{folder}: has some of the files of its expressions, but not {lacking}")
    if all(there):
        expression, vertices = _warehouse(folder)
        if vertices.min() < 0 or vertices.max() >= len(arrays["mean"]):
            raise ModelError(f"{folder / _EXPRESSIONS[2]}: trimIndex lies outside of the model")
        triangles = _renumbered(triangles, vertices, len(arrays["mean"]))
        arrays = {name: values[..., vertices, :] for name, values in arrays.items()}
        arrays["expression"] = expression
    return foreign_model(name="Basel 2009", terms=TERMS, triangles=triangles, **arrays)


def _warehouse(folder: pathlib.Path) -> tuple[np.ndarray, np.ndarray]:
    """Expressions [E, N, 3] mm at weight 1 of a subset of vertices, and [N] which these are.

    The mean of the expressions is left out, so that weight 0 is the neutral face.
    """
    basis, deviations, subset = (folder / name for name in _EXPRESSIONS)
    with naming(subset, "a list of vertices"):
        vertices = scipy.io.loadmat(subset)["trimIndex"].astype(np.int64).reshape(-1) - 1
    with naming(deviations, "a list of standard deviations"):
        spread = np.loadtxt(deviations).reshape(-1)
    with naming(basis, "an expression basis"):
        content = basis.read_bytes()
        count, size = int(np.frombuffer(content, "<i4", 1)[0]), 3 * len(vertices)
        if len(content) != 4 + 4 * size * (1 + count):
            raise ModelError(
                f"should hold {count} vectors of {len(vertices)} vertices, has {len(content)} bytes"
            )
        vectors = np.frombuffer(content, "<f4", count * size, 4 + 4 * size)
        columns = vectors.reshape(count, size).T
        scaled = scaled_basis(columns, spread[:count], SD_PER_WEIGHT * _MICROMETRE_MM)
    return scaled, vertices


def _renumbered(triangles: np.ndarray, vertices: np.ndarray, count: int) -> np.ndarray:
    """The triangles that have all their corners among some vertices, by the places of these."""
    place = np.full(count, -1)
    place[vertices] = np.arange(len(vertices))
    moved = place[triangles]
    return moved[(moved >= 0).all(1)]


def _face3d(content: Any) -> ForeignModel:
    mean = np.asarray(content["shapeMU"], np.float64) + content["expMU"]
    faces = [corners_as_rows(content["tri"])]
    if "tri_mouth" in content:
        faces.append(corners_as_rows(content["tri_mouth"]))
    return foreign_model(
        name="Basel 2009 (face3d)",
        terms=TERMS,
        mean=mean.reshape(-1, 3) * _MICROMETRE_MM,
        identity=scaled_basis(content["shapePC"], content["shapeEV"], _MICROMETRE_MM),
        expression=scaled_basis(content["expPC"], content["expEV"], SD_PER_WEIGHT * _MICROMETRE_MM),
        triangles=np.concatenate(faces).astype(np.int64) - 1,
        landmarks=_from_one(content["kpt_ind"]) if "kpt_ind" in content else None,
        **_colours(content),
    )


def _deep3d(content: Any) -> ForeignModel:
    return foreign_model(
        name="Basel 2009 (Deep3DFaceReconstruction)",
        terms=TERMS,
        mean=np.asarray(content["meanshape"], np.float64).reshape(-1, 3) * _DECIMETRE_MM,
        identity=per_vertex(content["idBase"]) * _DECIMETRE_MM,
        expression=per_vertex(content["exBase"]) * (SD_PER_WEIGHT * _DECIMETRE_MM),
        triangles=corners_as_rows(content["tri"]).astype(np.int64) - 1,
        landmarks=_from_one(content["keypoints"]) if "keypoints" in content else None,
        albedo_mean=np.asarray(content["meantex"], np.float64).reshape(-1, 3) / 255.0,
        albedo=per_vertex(content["texBase"]) / 255.0,
    )


def _from_one(numbers: np.ndarray) -> np.ndarray:
    """[68] vertices, counted from 0; none if the list is of another length."""
    numbers = np.asarray(numbers).astype(np.int64).reshape(-1)
    return numbers - 1 if len(numbers) == LANDMARK_COUNT else no_landmarks()


def _struct(value: np.ndarray) -> dict[str, np.ndarray]:
    """The fields of a MATLAB structure."""
    if value.dtype.names is None:
        raise ModelError("its `model` is no structure")
    return {name: value[name].reshape(-1)[0] for name in value.dtype.names}
