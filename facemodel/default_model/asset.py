"""The file of the face model: which arrays it holds, as facemodel.morphable.model reads them."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
from scipy import sparse

from facemodel.default_model import albedo_basis, identity, landmarks, levels, regions
from facemodel.files import write_arrays
from facemodel.morphable.landmarks import MEDIAPIPE_COUNT

NAME = "facerelief-makehuman"
VERSION = "1.0"
LANDMARK_JAW_OPENING = 0.5
"""Weight of jawOpen with which the inner lips are located."""
_IRIS_START = 468


@dataclasses.dataclass(frozen=True, eq=False)
class Geometry:
    """Everything but colours and landmarks.

    Attributes:
      meshes: Meshes of the levels 0, 1 and 2.
      mean: [C, 3] mm on the control vertices.
      identity: basis of identity, whose mean has a mouth bag that is not flattened yet.
      expression_names: [E].
      expression: [E, C, 3] mm at weight 1.
    """

    meshes: list[levels.LevelMesh]
    mean: np.ndarray
    identity: identity.IdentityBasis
    expression_names: tuple[str, ...]
    expression: np.ndarray

    def means(self, *, jaw_open: float = 0.0) -> list[np.ndarray]:
        """The mean face [V, 3] mm at each level."""
        jaw = self.expression[self.expression_names.index("arkit/jawOpen")]
        return [mesh.operator @ (self.mean + jaw_open * jaw) for mesh in self.meshes]


def model_arrays(
    geometry: Geometry,
    colours: albedo_basis.AlbedoBasis,
    *,
    closed: np.ndarray,
    opened: np.ndarray,
) -> dict[str, np.ndarray]:
    """All arrays of the model.

    Args:
      geometry: Everything but colours and landmarks.
      colours: at level 1.
      closed: [478, 3] mm, landmarks on the mean face.
      opened: [478, 3] mm, landmarks on it with the jaw open.
    """
    return {
        **_basis_arrays(geometry, colours),
        **_level_arrays(geometry),
        **_landmark_arrays(geometry, closed, opened),
    }


def _basis_arrays(geometry: Geometry, colours: albedo_basis.AlbedoBasis) -> dict[str, np.ndarray]:
    return {
        "name": np.array(NAME),
        "version": np.array(VERSION),
        "mean": geometry.mean.astype(np.float32),
        "identity": geometry.identity.vectors.astype(np.float32),
        "expression": geometry.expression.astype(np.float32),
        "expression_names": np.array(geometry.expression_names),
        "region_names": np.array(regions.REGIONS),
        "albedo_mean": colours.mean.astype(np.float32),
        "albedo": colours.vectors.astype(np.float16),
        "albedo_scores": colours.scores.astype(np.float16),
    }


def _level_arrays(geometry: Geometry) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for level, (mesh, mean) in enumerate(zip(geometry.meshes, geometry.means(), strict=True)):
        arrays |= _operator_arrays(f"level{level}_operator", mesh.operator)
        arrays |= {
            f"level{level}_triangles": mesh.triangles,
            f"level{level}_regions": mesh.regions,
            f"level{level}_uv": mesh.uv.astype(np.float32),
            f"level{level}_inner_face": levels.inner_face(mesh, mean),
        }
    coarse, middle, fine = geometry.meshes
    arrays |= _operator_arrays("level0_albedo_operator", levels.coarser_colours(coarse, middle))
    arrays |= _operator_arrays("level2_albedo_operator", levels.finer_colours(middle, fine))
    return arrays


def _operator_arrays(name: str, operator: sparse.csr_matrix) -> dict[str, np.ndarray]:
    return {
        f"{name}_data": operator.data.astype(np.float32),
        f"{name}_indices": operator.indices.astype(np.int32),
        f"{name}_indptr": operator.indptr.astype(np.int32),
    }


def _landmark_arrays(
    geometry: Geometry, closed: np.ndarray, opened: np.ndarray
) -> dict[str, np.ndarray]:
    """Places of the landmarks in the triangles of each level.

    Args:
      geometry: Everything but colours and landmarks.
      closed: [478, 3] mm on the mean face.
      opened: [478, 3] mm with the jaw open, of which the inner lips are taken.
    """
    arrays: dict[str, np.ndarray] = {}
    lips, irises = list(landmarks.INNER_LIPS), np.arange(_IRIS_START, MEDIAPIPE_COUNT)
    rest = np.setdiff1d(np.arange(_IRIS_START), lips)
    means, open_means = geometry.means(), geometry.means(jaw_open=LANDMARK_JAW_OPENING)
    for level, mesh in enumerate(geometry.meshes):
        corners = mesh.regions[mesh.triangles]
        skin = (corners == regions.SKIN).all(1)
        eyes = np.isin(corners, (regions.EYE_LEFT, regions.EYE_RIGHT)).all(1)
        chosen = np.empty(MEDIAPIPE_COUNT, np.int32)
        weights = np.empty((MEDIAPIPE_COUNT, 3), np.float32)
        for group, points, surface, allowed in (
            (rest, closed, means[level], skin),
            (irises, closed, means[level], eyes),
            (lips, opened, open_means[level], skin),
        ):
            chosen[group], weights[group] = landmarks.embed(
                points[group], surface, mesh.triangles, allowed
            )
        arrays[f"level{level}_landmark_triangles"] = chosen
        arrays[f"level{level}_landmark_barycentric"] = weights
    return arrays


def write(output: pathlib.Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes the archive under another name and renames it when complete."""
    output.parent.mkdir(parents=True, exist_ok=True)
    write_arrays(output, arrays)
