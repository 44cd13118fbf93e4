"""Writes a face as .obj, .ply or .glb, with a colour at each vertex."""

from __future__ import annotations

import dataclasses
import os
import pathlib

import numpy as np
import trimesh

from facemodel.files import write_bytes

FORMATS = ("obj", "ply", "glb")
METRES_PER_MM = 0.001


@dataclasses.dataclass(frozen=True, eq=False)
class FaceMesh:
    """A coloured surface in model space.

    Attributes:
      vertices: [V, 3] mm (x subject's left, y up, z to the viewer).
      triangles: [T, 3] counter-clockwise from outside.
      colours: uint8 [V, 3] sRGB.
      name: Name of the object in the file.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    colours: np.ndarray
    name: str = "face"


def encode_mesh(mesh: FaceMesh, file_format: str) -> bytes:
    """Gives the bytes of a mesh file; the same mesh always gives the same bytes.

    .obj and .ply hold millimetres and sRGB colours. .glb holds metres and linear colours, as glTF
    demands.

    Args:
      mesh: the surface.
      file_format: one of FORMATS.

    Raises:
      ValueError: if the format is unknown.
    """
    if file_format not in FORMATS:
        raise ValueError(f"format should be one of {', '.join(FORMATS)}, got {file_format!r}")
    if file_format == "glb":
        return _encode_glb(mesh)
    surface = _surface(mesh, mesh.vertices, mesh.colours)
    if file_format == "ply":
        return surface.export(file_type="ply", vertex_normal=True)
    text = trimesh.exchange.obj.export_obj(
        surface,
        include_normals=True,
        include_color=True,
        header=f"{mesh.name}, millimetres, sRGB",
        digits=5,
    )
    return text.encode()


def write_mesh(mesh: FaceMesh, path: str | os.PathLike[str]) -> None:
    """Writes a mesh in the format of the path's suffix, atomically."""
    write_bytes(path, encode_mesh(mesh, pathlib.Path(path).suffix.lstrip(".").lower()))


def _surface(mesh: FaceMesh, vertices: np.ndarray, colours: np.ndarray) -> trimesh.Trimesh:
    opaque = np.concatenate([colours, np.full((len(colours), 1), 255, np.uint8)], 1)
    surface = trimesh.Trimesh(vertices, mesh.triangles, vertex_colors=opaque, process=False)
    surface.metadata["name"] = mesh.name
    return surface


def _encode_glb(mesh: FaceMesh) -> bytes:
    surface = _surface(mesh, mesh.vertices * METRES_PER_MM, linear_from_srgb(mesh.colours))
    scene = trimesh.Scene()
    scene.add_geometry(surface, node_name=mesh.name, geom_name=mesh.name)
    return trimesh.exchange.gltf.export_glb(
        scene, include_normals=True, tree_postprocessor=_add_material
    )


def _add_material(tree: dict) -> None:
    """Gives the glTF mesh a skin-like surface; without a material viewers take it for metal."""
    tree["materials"] = [
        {"name": "skin", "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 0.7}}
    ]
    for mesh in tree["meshes"]:
        for primitive in mesh["primitives"]:
            primitive["material"] = 0


def linear_from_srgb(colours: np.ndarray) -> np.ndarray:
    """sRGB uint8 -> linear light uint8 (IEC 61966-2-1)."""
    values = colours / 255.0
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return np.round(linear * 255.0).astype(np.uint8)
