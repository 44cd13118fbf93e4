"""Writes a textured head as .obj with its material and images."""

from __future__ import annotations

import numpy as np

from serving.output.file_names import NORMAL_MAP, TEXTURE
from serving.output.image_files import VECTOR_QUALITY, encode_jpeg
from serving.output.textured_mesh import TexturedMesh


def encode_obj(
    mesh: TexturedMesh, *, stem: str | None = None, texture: bytes | None = None
) -> dict[str, bytes]:
    """Gives the contents of the files of an .obj; the same mesh always gives the same bytes.

    Millimetres, y up, z to the viewer. Vertices are in the mesh's order. Expressions are left out,
    as the format knows none.

    Args:
      mesh: the head; checked.
      stem: What the files' names begin with, before a dot and their suffix: they name each other.
        The mesh's name if None.
      texture: The mesh's texture as JPEG, if it has been encoded already.

    Returns:
      Bytes by suffix: "obj"; TEXTURE unless the mesh is of one colour; NORMAL_MAP if it has one;
      "mtl" if there is an image.

    Raises:
      MeshError: if the mesh's arrays do not fit together.
    """
    mesh.check()
    stem = stem or mesh.name
    files = {}
    if mesh.plain_colour is None:
        files[TEXTURE] = texture or encode_jpeg(mesh.texture)
    if mesh.normal_map is not None:
        files[NORMAL_MAP] = encode_jpeg(mesh.normal_map, quality=VECTOR_QUALITY)
    if not files:
        return {"obj": _geometry(mesh, None).encode()}
    geometry = _geometry(mesh, f"{stem}.mtl").encode()
    return {"obj": geometry, "mtl": _material(mesh, stem).encode(), **files}


def _geometry(mesh: TexturedMesh, material_file: str | None) -> str:
    library, material = (
        (f"mtllib {material_file}\n", "usemtl head\n") if material_file else ("", "")
    )
    corners = np.stack([mesh.triangles, mesh.uv_triangles, mesh.triangles], -1) + 1
    return "".join(
        [
            f"# {mesh.name}, millimetres\n{library}o {mesh.name}\n",
            _lines("v %.5f %.5f %.5f\n", mesh.vertices),
            _lines("vt %.6f %.6f\n", mesh.uv),
            _lines("vn %.4f %.4f %.4f\n", mesh.normals),
            f"{material}s 1\n",
            _lines("f %d/%d/%d %d/%d/%d %d/%d/%d\n", corners.reshape(len(corners), 9)),
        ]
    )


def _lines(form: str, values: np.ndarray) -> str:
    return (form * len(values)) % tuple(values.ravel().tolist())


def _material(mesh: TexturedMesh, stem: str) -> str:
    """A dull skin; norm is what readers of the PBR extension take for a normal map."""
    colour = " ".join(f"{part / 255:.3g}" for part in mesh.plain_colour or (255, 255, 255))
    lines = [
        f"# {mesh.name}",
        "newmtl head",
        f"Ka {colour}",
        f"Kd {colour}",
        "Ks 0.04 0.04 0.04",
        "Ns 20",
        "illum 2",
    ]
    if mesh.plain_colour is None:
        lines.append(f"map_Kd {stem}.{TEXTURE}")
    if mesh.normal_map is not None:
        lines.append(f"norm {stem}.{NORMAL_MAP}")
    return "\n".join([*lines, ""])
