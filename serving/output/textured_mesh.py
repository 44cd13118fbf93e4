"""A head with a texture, as files and pictures of it need it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from facemodel.morphable.mesh import vertex_normals
from serving.output.tangents import corner_tangents


class MeshError(ValueError):
    """A mesh whose arrays do not fit together."""


class Corners(NamedTuple):
    """A mesh without separate texture coordinates, as GPUs want it: one vertex for each pair.

    The first V corners are the vertices in their order, each with its first texture coordinate;
    copies of those that lie on a seam of the texture follow. Vertices of no triangle have the
    texture coordinate (0, 0).

    Attributes:
      vertex: [N] int32, which vertex each corner is.
      uv: [N, 2] texture coordinates, v up.
      triangles: [T, 3] int32 into the corners.
    """

    vertex: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class TexturedMesh:
    """A surface in model space with a texture and what moves it.

    Attributes:
      name: Name of the object in files.
      vertices: [V, 3] mm (x subject's left, y up, z to the viewer).
      triangles: [T, 3] counter-clockwise from outside.
      normals: [V, 3] unit, outwards, smooth also where the texture has a seam.
      uv: [U, 2] texture coordinates in [0, 1], u right and v up.
      uv_triangles: [T, 3] into uv.
      regions: [V] uint8, as in MorphableModel.
      texture: uint8 [S, S, 3] sRGB; the middle of row r is at v = 1 - (r + 0.5) / S.
      normal_map: uint8 [S, S, 3] of unit vectors in tangent space, 255 (n + 1) / 2, with +y along
        growing v (as glTF and OpenGL); None for a surface as smooth as its normals.
      targets: What moves the surface: name -> [V, 3] mm at weight 1.
    """

    name: str
    vertices: np.ndarray
    triangles: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    regions: np.ndarray
    texture: np.ndarray
    normal_map: np.ndarray | None = None
    targets: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def check(self) -> None:
        """Raises MeshError, naming the field, unless all arrays fit together and are finite."""
        count, triangles = len(self.vertices), len(self.triangles)
        shapes: dict[str, tuple[np.ndarray, tuple[int, ...]]] = {
            "vertices": (self.vertices, (count, 3)),
            "triangles": (self.triangles, (triangles, 3)),
            "normals": (self.normals, (count, 3)),
            "uv": (self.uv, (len(self.uv), 2)),
            "uv_triangles": (self.uv_triangles, (triangles, 3)),
            "regions": (self.regions, (count,)),
            "texture": (self.texture, (*self.texture.shape[:1] * 2, 3)),
            **{f"targets[{name!r}]": (move, (count, 3)) for name, move in self.targets.items()},
        }
        if self.normal_map is not None:
            shapes["normal_map"] = (self.normal_map, (*self.normal_map.shape[:1] * 2, 3))
        for field, (value, shape) in shapes.items():
            _check_array(self.name, field, value, shape)
        for field, limit in (("triangles", count), ("uv_triangles", len(self.uv))):
            indices = getattr(self, field)
            if triangles == 0 or indices.min() < 0 or indices.max() >= limit:
                raise MeshError(f"{self.name}: {field} should lie in [0, {limit})")

    @functools.cached_property
    def plain_colour(self) -> tuple[int, ...] | None:
        """The texture's one colour (sRGB, 0 to 255), which needs no image; None if it has more."""
        first = self.texture[0, 0]
        return tuple(map(int, first)) if (self.texture == first).all() else None

    @functools.cached_property
    def corners(self) -> Corners:
        """The mesh with one vertex for each pair of vertex and texture coordinate."""
        return _corners(self)

    @functools.cached_property
    def tangents(self) -> np.ndarray:
        """[N, 4] of the corners; see corner_tangents."""
        vertex, uv, triangles = self.corners
        return corner_tangents(self.vertices[vertex], self.normals[vertex], uv, triangles)

    def moved(self, weights: Mapping[str, float]) -> np.ndarray:
        """The vertices [V, 3] mm under weights of the targets (1 = the full expression).

        Raises:
          MeshError: if a name is not one of the targets.
        """
        unknown = sorted(set(weights) - set(self.targets))
        if unknown:
            raise MeshError(f"{self.name}: has no target {unknown[0]!r}")
        moves = (np.float32(weight) * self.targets[name] for name, weight in weights.items())
        return sum(moves, np.asarray(self.vertices, np.float32))

    def with_vertices(self, vertices: np.ndarray) -> TexturedMesh:
        """The same mesh in another shape [V, 3] mm, with the normals of that shape."""
        normals = vertex_normals(vertices, self.triangles)
        moved = dataclasses.replace(self, vertices=vertices, normals=normals)
        moved.__dict__["corners"] = self.corners  # the cached property, which is the same
        return moved


def _check_array(name: str, field: str, value: np.ndarray, shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise MeshError(f"{name}: {field} should be {shape}, got {value.shape}")
    if field in ("texture", "normal_map") and value.dtype != np.uint8:
        raise MeshError(f"{name}: {field} should be uint8, got {value.dtype}")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise MeshError(f"{name}: {field} holds values that are not finite")


def _corners(mesh: TexturedMesh) -> Corners:
    count = len(mesh.vertices)
    pairs = mesh.triangles.ravel().astype(np.int64) * len(mesh.uv) + mesh.uv_triangles.ravel()
    found, place = np.unique(pairs, return_inverse=True)
    vertex, coordinate = found // len(mesh.uv), found % len(mesh.uv)
    copies = np.flatnonzero(np.r_[False, vertex[1:] == vertex[:-1]])
    first = np.setdiff1d(np.arange(len(found)), copies)
    corner = np.empty(len(found), np.int32)
    corner[first] = vertex[first]
    corner[copies] = count + np.arange(len(copies))
    uv = np.zeros((count + len(copies), 2), np.float32)
    uv[corner] = mesh.uv[coordinate]
    return Corners(
        vertex=np.r_[np.arange(count), vertex[copies]].astype(np.int32),
        uv=uv,
        triangles=corner[place].reshape(-1, 3),
    )
