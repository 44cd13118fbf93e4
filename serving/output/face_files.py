"""The files that a reconstructed face becomes."""

from __future__ import annotations

import json
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from facemodel.files import write_bytes
from facemodel.texture.visible import photo_colours
from serving.output.description import describe
from serving.output.frontal_texture import frontal_texture
from serving.output.image_files import encode_png
from serving.output.mesh_io import FORMATS, FaceMesh, encode_mesh
from serving.output.overview import render_overview
from serving.reconstructor import Reconstruction

SUFFIXES = (*FORMATS, "json", "png")
"""What is written for each face: meshes, description, overview picture."""


def encode_face(
    photo: np.ndarray,
    face: Reconstruction,
    *,
    name: str,
    photo_facts: Mapping[str, object],
    formats: Sequence[str] = FORMATS,
) -> dict[str, bytes]:
    """Gives the contents of all files of one face.

    Args:
      photo: uint8 [H, W, 3] sRGB.
      face: reconstructed from it.
      name: Name of the face, in titles and inside the mesh files.
      photo_facts: What the description says about the photo besides its size: its name at least.
      formats: Mesh formats, from mesh_io.FORMATS.

    Returns:
      Bytes by suffix (without dot): the formats, "json" and "png". Equal inputs, equal bytes.
    """
    colours, _ = photo_colours(photo, face)
    mesh = FaceMesh(face.vertices, face.triangles, colours, name)
    files = {file_format: encode_mesh(mesh, file_format) for file_format in formats}
    description = describe(face, photo_facts=photo_facts, photo_size=photo.shape[:2])
    files["json"] = (json.dumps(description, indent=1) + "\n").encode()
    textured = frontal_texture(mesh, regions=face.model.arrays["regions"])
    files["png"] = encode_png(render_overview(photo, face, textured))
    return files


def write_face(folder: pathlib.Path, name: str, files: dict[str, bytes]) -> None:
    """Writes folder/name.suffix for each, atomically."""
    for suffix, content in files.items():
        write_bytes(folder / f"{name}.{suffix}", content)
