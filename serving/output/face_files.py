"""The files that a reconstructed face becomes."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from facemodel.files import write_bytes
from facemodel.texture.visible import photo_colours
from serving.head_options import HeadOptions
from serving.heads import CLAY, Head
from serving.output import wavefront
from serving.output.description import describe
from serving.output.file_names import FORMATS
from serving.output.frontal_texture import frontal_texture
from serving.output.gltf import encode_glb
from serving.output.image_files import encode_jpeg, encode_png
from serving.output.overview import render_overview
from serving.output.ply import FaceMesh, encode_ply
from serving.output.textured_mesh import TexturedMesh
from serving.output.vertex_colours import coloured_by_vertex
from serving.reconstructor import Reconstruction
from serving.stopwatch import Stage, unmeasured


def encode_face(
    photo: np.ndarray,
    face: Reconstruction,
    *,
    name: str,
    photo_facts: Mapping[str, object],
    head: Head | None = None,
    options: HeadOptions | None = None,
    formats: Sequence[str] = FORMATS,
    stage: Stage = unmeasured,
) -> dict[str, bytes]:
    """Gives the contents of all files of one face.

    Args:
      photo: uint8 [H, W, 3] sRGB.
      face: reconstructed from it.
      name: Name of the face, in titles and inside the mesh files.
      photo_facts: What the description says about the photo besides its size: its name at least.
      head: made for the face; None for the face alone, with colours as seen from in front.
      options: With which the head was made, for the description.
      formats: Mesh formats, from FORMATS.
      stage: measures each format, "json" and "overview".

    Returns:
      Bytes by suffix (without dot): those of the formats, "json" and "png" (the overview). Equal
      inputs, equal bytes.
    """
    mesh = head.mesh if head else face_alone(photo, face, name, options)
    if head:
        flags = (*face.flags, *head.flags)
        face = dataclasses.replace(face, quality=dataclasses.replace(face.quality, flags=flags))
    with ThreadPoolExecutor(1) as beside:
        overview = beside.submit(_overview, photo, face, mesh, head, stage)
        files = _meshes(mesh, formats, stage)
        with stage("json"):
            description = describe(
                face,
                photo_facts=photo_facts,
                photo_size=photo.shape[:2],
                mesh=mesh,
                options=dataclasses.asdict(options or HeadOptions()),
            )
            files["json"] = (json.dumps(description, indent=1) + "\n").encode()
        return files | {"png": overview.result()}


def face_alone(
    photo: np.ndarray, face: Reconstruction, name: str, options: HeadOptions | None = None
) -> TexturedMesh:
    """The face without a head around it, for face models that have none."""
    colours, _ = photo_colours(photo, face)
    mesh = FaceMesh(face.vertices, face.triangles, colours, name)
    textured = frontal_texture(mesh, regions=face.model.arrays["regions"])
    plain = options is not None and not options.texture
    return dataclasses.replace(textured, texture=CLAY) if plain else textured


def _meshes(mesh: TexturedMesh, formats: Sequence[str], stage: Stage) -> dict[str, bytes]:
    with stage("texture image"):
        texture = None if mesh.plain_colour else encode_jpeg(mesh.texture)
    encoders: dict[str, Callable[[], dict[str, bytes]]] = {
        "obj": lambda: wavefront.encode_obj(mesh, texture=texture),
        "ply": lambda: {"ply": encode_ply(coloured_by_vertex(mesh))},
        "glb": lambda: {"glb": encode_glb(mesh, texture=texture)},
    }
    files: dict[str, bytes] = {}
    for name in formats:
        with stage(name):
            files |= encoders[name]()
    return files


def _overview(photo, face, mesh: TexturedMesh, head: Head | None, stage: Stage) -> bytes:
    with stage("overview"):
        return encode_png(_overview_picture(photo, face, mesh, head))


def _overview_picture(photo, face, mesh: TexturedMesh, head: Head | None) -> np.ndarray:
    if head is None:
        return render_overview(photo, face, mesh)
    from_photo = None if head.texture is None else head.texture.from_photo
    detailed = None if mesh.normal_map is not None or mesh is head.coarse else mesh
    coarse = mesh if detailed is None else head.coarse
    return render_overview(
        photo, face, coarse, detailed=detailed, from_photo=from_photo, albedo=head.albedo
    )


def write_face(folder: pathlib.Path, name: str, files: dict[str, bytes]) -> None:
    """Writes folder/name.suffix for each, atomically."""
    for suffix, content in files.items():
        write_bytes(folder / f"{name}.{suffix}", content)
