"""ICT-FaceKit: a folder of .obj files with a neutral face, identities and named expressions."""

from __future__ import annotations

import json
import os
import pathlib
import re
from typing import Any

import numpy as np

from facemodel.morphable.mesh import ModelError
from facemodel.morphable.readers.foreign import ForeignModel, foreign_model, naming

TERMS = "MIT licence (the light model)"
NEUTRAL, INDICES = "generic_neutral_mesh.obj", "vertex_indices.json"
REGIONS = ("skin", "mouth", "tongue", "teeth", "eye_l", "eye_r")
VERTEX_COUNT = 26719
_PARTS = (
    (11248, 13294, "mouth"),
    (14062, 17039, "tongue"),
    (17039, 21451, "teeth"),
    (21451, 23021, "eye_l"),
    (23021, 24591, "eye_r"),
)
"""Vertices of the parts inside the face, as the toolkit's readme lists them."""
_TRANSPARENT = 24591
"""From here on: tears, shells around the eyes, lashes. They would hide the eyes."""
_CENTIMETRE_MM = 10.0


def read(path: str | os.PathLike[str]) -> ForeignModel:
    """Reads the folder `FaceXModel`, or the one that holds it.

    Raises:
      ModelError: naming the file and what is wrong with it.
    """
    folder = pathlib.Path(path)
    if not (folder / NEUTRAL).is_file() and (folder / "FaceXModel" / NEUTRAL).is_file():
        folder = folder / "FaceXModel"
    lacking = [name for name in (NEUTRAL, INDICES) if not (folder / name).is_file()]
    if lacking:
        raise ModelError(f"{folder}: not ICT-FaceKit's folder: lacks {', '.join(lacking)}")
    with naming(folder / INDICES, "ICT-FaceKit's list of vertices"):
        lists = json.loads((folder / INDICES).read_text())
        names, landmarks = lists["expressions"], lists["idx_to_landmark_verts"]
    vertices, polygons = read_obj(folder / NEUTRAL)
    identities = sorted(folder.glob("identity*.obj"))
    with naming(folder, "ICT-FaceKit's folder"):
        identity = [_offset(file, vertices) for file in identities]
        expression = [_offset(folder / f"{name}.obj", vertices) for name in names]
        return _model(vertices, polygons, identity, expression, names, landmarks)


def _model(
    vertices: np.ndarray,
    polygons: np.ndarray,
    identity: list[np.ndarray],
    expression: list[np.ndarray],
    names: list[str],
    landmarks: list[int],
) -> ForeignModel:
    whole = len(vertices) == VERTEX_COUNT
    triangles = polygons[(polygons < _TRANSPARENT).all(1)] if whole else polygons
    regions = np.zeros(len(vertices), np.uint8)
    for start, stop, region in _PARTS if whole else ():
        regions[start:stop] = REGIONS.index(region)
    shape = (-1, len(vertices), 3)
    return foreign_model(
        name="ICT-FaceKit",
        terms=TERMS,
        mean=vertices * _CENTIMETRE_MM,
        identity=np.reshape(identity, shape) * _CENTIMETRE_MM,
        expression=np.reshape(expression, shape) * _CENTIMETRE_MM,
        expression_names=tuple(arkit_name(name) for name in names),
        triangles=triangles,
        landmarks=np.asarray(landmarks),
        regions=regions,
        region_names=REGIONS,
    )


def arkit_name(name: str) -> str:
    """mouthSmile_L -> arkit/mouthSmileLeft."""
    return "arkit/" + re.sub("_L$", "Left", re.sub("_R$", "Right", name))


def _offset(path: pathlib.Path, neutral: np.ndarray) -> np.ndarray:
    vertices, _ = read_obj(path, polygons=False)
    if vertices.shape != neutral.shape:
        raise ModelError(f"{path}: has {len(vertices)} vertices, {NEUTRAL} {len(neutral)}")
    return vertices - neutral


def read_obj(path: pathlib.Path, *, polygons: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Vertices [V, 3] of an .obj and its polygons as triangles [T, 3], counted from 0.

    The polygons' order and the vertices' are those of the file, which trimesh does not keep where
    texture coordinates have seams.

    Args:
      path: The file.
      polygons: read them, too; none are returned otherwise.

    Raises:
      ModelError: naming the file and the line.
    """
    vertices: list[list[float]] = []
    triangles: list[tuple[int, int, int]] = []
    with naming(path, "an .obj file"), open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            kind, _, rest = line.partition(" ")
            try:
                if kind == "v":
                    x, y, z, *_ = rest.split()
                    vertices.append([float(x), float(y), float(z)])
                elif kind == "f" and polygons:
                    triangles += _fan(rest.split(), len(vertices))
            except (ValueError, IndexError):
                raise ModelError(f"line {number} is damaged: {line.strip()[:60]!r}") from None
        if not vertices:
            raise ModelError("holds no vertices")
    return np.array(vertices), np.array(triangles, np.int64).reshape(-1, 3)


def _fan(words: list[str], count: int) -> list[Any]:
    corners = [int(word.split("/")[0]) for word in words]
    corners = [corner - 1 if corner > 0 else count + corner for corner in corners]
    if len(corners) < 3:
        raise ValueError
    return [(corners[0], *corners[k : k + 2]) for k in range(1, len(corners) - 1)]
