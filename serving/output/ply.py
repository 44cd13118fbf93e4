"""A surface with a colour at each vertex, and its .ply file."""

from __future__ import annotations

import dataclasses

import numpy as np
import trimesh


@dataclasses.dataclass(frozen=True, eq=False)
class FaceMesh:
    """A coloured surface in model space.

    Attributes:
      vertices: [V, 3] mm (x subject's left, y up, z to the viewer).
      triangles: [T, 3] counter-clockwise from outside.
      colours: uint8 [V, 3] sRGB.
      name: Name of the object.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    colours: np.ndarray
    name: str = "face"


def encode_ply(mesh: FaceMesh) -> bytes:
    """A binary .ply: millimetres, normals, sRGB. The same mesh always gives the same bytes."""
    opaque = np.concatenate([mesh.colours, np.full((len(mesh.colours), 1), 255, np.uint8)], 1)
    surface = trimesh.Trimesh(mesh.vertices, mesh.triangles, vertex_colors=opaque, process=False)
    return surface.export(file_type="ply", vertex_normal=True)
