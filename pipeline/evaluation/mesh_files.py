"""Reads meshes of others: scans, and faces that were reconstructed by any method."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np

SUFFIXES = (".obj", ".ply", ".stl", ".off")
"""Read in this order of preference where there are several of one name."""


@dataclasses.dataclass(frozen=True, eq=False)
class MeshFile:
    """What a file of a mesh holds.

    Attributes:
      vertices: float64 [V, 3] in the file's units and order.
      triangles: int64 [T, 3] into them; none for a cloud of points.
      coloured: whether the vertices of an .obj have colours beside their coordinates.
      whole: whether all vertices of the file are there, so that numbers of vertices mean what they
        mean in the file.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    coloured: bool = False
    whole: bool = True


def read_mesh(path: pathlib.Path) -> MeshFile:
    """Reads a mesh; quads become triangles, colours and textures are passed over.

    Raises:
      ValueError: if it is missing, damaged, or holds no vertices.
    """
    import trimesh

    try:
        loaded = trimesh.load(
            str(path), process=False, maintain_order=True, skip_materials=True, force="mesh"
        )
        if not len(loaded.vertices):
            loaded = trimesh.load(str(path), process=False)
        vertices = np.array(_points(loaded), np.float64).reshape(-1, 3)
        triangles = np.array(getattr(loaded, "faces", ()), np.int64).reshape(-1, 3)
    except Exception as error:  # trimesh raises whatever its parsers meet
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: cannot be read as a mesh ({reason})") from error
    if not len(vertices):
        raise ValueError(f"{path}: holds no vertices")
    if not np.isfinite(vertices).all():
        raise ValueError(f"{path}: vertices hold values that are not finite")
    coloured, count = _obj_facts(path) if path.suffix.lower() == ".obj" else (False, len(vertices))
    return MeshFile(vertices, triangles, coloured, count == len(vertices))


def _points(loaded):
    """Vertices of what trimesh returned, which is a scene for a cloud of points."""
    if hasattr(loaded, "vertices"):
        return loaded.vertices
    return np.concatenate([part.vertices for part in loaded.geometry.values()])


def _obj_facts(path: pathlib.Path) -> tuple[bool, int]:
    """Whether an .obj has colours beside coordinates, and its number of vertices."""
    with open(path, "rb") as file:
        rows = [line for line in file if line.startswith((b"v ", b"v\t"))]
    return bool(rows) and len(rows[0].split()) > 5, len(rows)


def write_obj(path: pathlib.Path, vertices: np.ndarray, triangles: np.ndarray) -> None:
    """Writes a mesh without colours, which every reader understands."""
    from facemodel.files import write_bytes

    lines = [f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in np.asarray(vertices).tolist()]
    lines += [f"f {a} {b} {c}\n" for a, b, c in (np.asarray(triangles) + 1).tolist()]
    write_bytes(path, "".join(lines).encode())


def find_meshes(folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Meshes of a folder and its subfolders by their path without the suffix, in order.

    Raises:
      ValueError: if there is no such folder, or no mesh in it.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder")
    found: dict[str, pathlib.Path] = {}
    for suffix in SUFFIXES:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() == suffix and path.is_file():
                found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
    if not found:
        raise ValueError(f"{folder}: no mesh in this folder ({', '.join(SUFFIXES)})")
    return dict(sorted(found.items()))
