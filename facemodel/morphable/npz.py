"""Face model files: .npz with a control mesh and an operator that subdivides it for each level."""

from __future__ import annotations

import os
import pathlib
import zipfile

import numpy as np
from scipy import sparse

from facemodel.morphable.mesh import CoarseMesh, ModelError

FORMAT = 1
"""A file that does not name its `format` is of this first one."""
_GEOMETRY = ("mean", "identity", "expression")


def fields(path: str | os.PathLike[str], *, level: int) -> dict:
    """Reads the arguments of MorphableModel at one subdivision level.

    Args:
      path: an .npz written by facemodel.default_model.
      level: one of LEVELS.

    Raises:
      ModelError: if the file is missing, or is no model or one of another format.
    """
    path = pathlib.Path(path)
    if level not in LEVELS:
        raise ModelError(f"{path}: level must be one of {LEVELS}, got {level!r}")
    try:
        with np.load(path) as archive:
            _check_format(path, archive)
            return at_level(archive, level)
    except FileNotFoundError:
        raise ModelError(
            f"{path}: no such face model; `make model` builds the default one"
        ) from None
    except ModelError:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
        if not zipfile.is_zipfile(path):  # numpy would speak of pickles
            raise ModelError(
                f"{path}: not a face model file of this project (no .npz archive, or a damaged "
                "one); `facerelief model convert` reads models of others"
            ) from error
        raise ModelError(f"{path}: not a face model file ({error})") from error
    except KeyError as error:
        raise ModelError(f"{path}: not a face model file, it lacks {error}") from error


def _check_format(path: pathlib.Path, archive) -> None:
    found = int(archive["format"]) if "format" in archive else FORMAT
    if found != FORMAT:
        raise ModelError(
            f"{path}: a face model file of format {found}, this version reads {FORMAT}"
        )


def read_operator(archive, name: str, columns: int) -> sparse.csr_matrix:
    """A sparse operator [N, columns] of an archive, stored as three arrays."""
    data, indices, indptr = (archive[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, columns))


def _apply(operator: sparse.csr_matrix, values: np.ndarray) -> np.ndarray:
    """[N, C] operator on values [..., C, 3] -> [..., N, 3] float32."""
    columns = np.moveaxis(values.astype(np.float32), -2, 0)
    result = operator @ columns.reshape(len(columns), -1)
    return np.ascontiguousarray(
        np.moveaxis(result.reshape(-1, *columns.shape[1:]), 0, -2), np.float32
    )


def _coarse(archive, control: dict[str, np.ndarray]) -> CoarseMesh:
    """Evaluates mean and basis at level 0."""
    points = read_operator(archive, "level0_operator", len(control["mean"]))
    mean, *bases = (_apply(points, control[name]) for name in _GEOMETRY)
    triangles = archive["level0_triangles"].astype(np.int32)
    return CoarseMesh(mean, np.concatenate(bases), triangles)


def at_level(archive, level: int) -> dict:
    """Evaluates the control-mesh bases at one subdivision level.

    Args:
      archive: name -> array, as in a file.
      level: one of LEVELS.

    Returns:
      The arguments of MorphableModel.
    """
    prefix = f"level{level}_"
    control = {name: archive[name] for name in _GEOMETRY}  # each access unpacks
    geometry = read_operator(archive, prefix + "operator", len(control["mean"]))
    albedo_mean, albedo = archive["albedo_mean"], archive["albedo"]
    if prefix + "albedo_operator_data" in archive:
        colours = read_operator(archive, prefix + "albedo_operator", len(albedo_mean))
        albedo_mean, albedo = _apply(colours, albedo_mean), _apply(colours, albedo)
    return {
        "name": str(archive["name"]),
        "version": str(archive["version"]),
        **{name: _apply(geometry, control[name]) for name in _GEOMETRY},
        "albedo_mean": albedo_mean.astype(np.float32),
        "albedo": albedo.astype(np.float32),
        "albedo_scores": archive["albedo_scores"].astype(np.float32),
        "triangles": archive[prefix + "triangles"].astype(np.int32),
        "coarse": _coarse(archive, control),
        "regions": archive[prefix + "regions"].astype(np.uint8),
        "region_names": tuple(str(name) for name in archive["region_names"]),
        "landmark_triangles": archive[prefix + "landmark_triangles"].astype(np.int32),
        "landmark_barycentric": archive[prefix + "landmark_barycentric"].astype(np.float32),
        "inner_face": archive[prefix + "inner_face"].astype(bool),
        "uv": archive[prefix + "uv"].astype(np.float32),
        "expression_names": tuple(str(name) for name in archive["expression_names"]),
    }


LEVELS = (0, 1, 2)
