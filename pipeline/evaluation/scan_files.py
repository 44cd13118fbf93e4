"""Finds scans and predictions in folders, and which prediction is of which scan."""

from __future__ import annotations

import dataclasses
import pathlib
import re

import numpy as np

from facemodel.evaluation import scan_traps
from facemodel.evaluation.scan_protocol import now_landmarks
from pipeline.evaluation.landmark_files import SPACE_SUFFIXES, find_beside, read_space_landmarks
from pipeline.evaluation.mesh_files import MeshFile, find_meshes, read_mesh
from serving.output.description import read_description


@dataclasses.dataclass(frozen=True, eq=False)
class Prediction:
    """A face that was reconstructed, by any method.

    Attributes:
      name: its path below its folder, without the suffix.
      photo: place of its photo if that is known, else the name; what the scan is looked for by,
        before the name.
      mesh: in its own frame and units.
      landmarks: [7, 3] on it.
    """

    name: str
    photo: str
    mesh: MeshFile
    landmarks: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Scan:
    """A scan of a face.

    Attributes:
      name: its path below its folder, without the suffix.
      mesh: in mm, whatever the file's unit.
      landmarks: [7, 3] mm.
      unit: of the file.
      guessed: whether that was guessed from the distance of the eyes.
    """

    name: str
    mesh: MeshFile
    landmarks: np.ndarray
    unit: str
    guessed: bool


@dataclasses.dataclass(frozen=True)
class ScanFolder:
    """Scans of a folder, read when they are needed.

    Attributes:
      folder: where they are.
      landmarks: folder of their landmarks; beside the scans if None.
      unit: of all scans; guessed for each if None.
      paths: files by name.
    """

    folder: pathlib.Path
    landmarks: pathlib.Path | None
    unit: str | None
    paths: dict[str, pathlib.Path]

    @classmethod
    def open(
        cls, folder: pathlib.Path, *, landmarks: pathlib.Path | None = None, unit: str | None = None
    ) -> ScanFolder:
        """Lists the scans; ValueError if there are none, or the unit is not known."""
        if unit is not None and unit not in scan_traps.UNITS_MM:
            known = ", ".join(scan_traps.UNITS_MM)
            raise ValueError(f"--unit: should be one of {known}, got {unit!r}")
        return cls(folder, landmarks, unit, find_meshes(folder))

    def name_for(self, photo: str) -> str | None:
        """Which scan a prediction or photo is of, by the place of its photo; None if none is.

        It has the same path, also without facerelief's number of the face at its end, or it is the
        only scan in the folder of the same subject (the first part of the path), or that folder's
        name is the scan's.
        """
        without_number = re.sub(r"_\d+$", "", photo)
        for candidate in (photo, without_number):
            if candidate in self.paths:
                return candidate
        subject = photo.split("/")[0]
        if subject in self.paths:
            return subject
        inside = [name for name in self.paths if name.startswith(f"{subject}/")]
        return inside[0] if "/" in photo and len(inside) == 1 else None

    def read(self, name: str) -> Scan:
        """Reads a scan and its landmarks, in mm.

        Raises:
          ValueError: if a file is missing or damaged, or the unit cannot be guessed.
        """
        path = self.paths[name]
        mesh = read_mesh(path)
        base = self.landmarks / path.relative_to(self.folder) if self.landmarks else path
        landmarks = now_landmarks_of(base, path)
        unit = self.unit or scan_traps.guess_unit(landmarks)
        if unit is None:
            apart = np.linalg.norm(landmarks[0] - landmarks[3])
            raise ValueError(
                f"{path}: the eyes' outer corners are {apart:g} apart, which is a face's width in "
                "no unit; are the landmarks in order? --unit says the unit"
            )
        factor = scan_traps.UNITS_MM[unit]
        scaled = dataclasses.replace(mesh, vertices=factor * mesh.vertices)
        return Scan(name, scaled, factor * landmarks, unit, self.unit is None)


def now_landmarks_of(base: pathlib.Path, mesh_path: pathlib.Path) -> np.ndarray:
    """The seven landmarks [7, 3] in the file beside a path, of a mesh that errors name."""
    path = find_beside(base, SPACE_SUFFIXES)
    if path is None:
        ends = ", ".join(SPACE_SUFFIXES)
        raise ValueError(f"{mesh_path}: no landmarks beside {base.with_suffix('')} ({ends})")
    try:
        return now_landmarks(read_space_landmarks(path))
    except ValueError as error:
        text = str(error)
        raise ValueError(text if text.startswith(str(path)) else f"{path}: {text}") from None


def read_prediction(name: str, path: pathlib.Path) -> Prediction:
    """Reads a prediction with its landmarks; ValueError if it cannot be used."""
    mesh = read_mesh(path)
    if not len(mesh.triangles):
        raise ValueError(f"{path}: holds no triangles, so distances to its surface have no meaning")
    description = read_description(path.with_suffix(".json"))
    place = description["photo"].get("path", name) if description else name
    photo = pathlib.PurePosixPath(place).with_suffix("").as_posix() if description else name
    return Prediction(name, photo, mesh, now_landmarks_of(path, path))
