"""Reads the .glb of a head that serving.output.gltf wrote."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pygltflib as gltf

from serving.output.gltf import IMAGE_NAMES, METRES_PER_MM, ROUGHNESS
from serving.output.image_files import decode_image
from serving.output.textured_mesh import MeshError, TexturedMesh
from serving.output.textured_views import srgb_from_linear
from serving.output.views import fetch

_NUMBERS = {
    gltf.FLOAT: "<f4",
    gltf.UNSIGNED_BYTE: "u1",
    gltf.UNSIGNED_SHORT: "<u2",
    gltf.UNSIGNED_INT: "<u4",
}
_WIDTHS = {gltf.SCALAR: 1, gltf.VEC2: 2, gltf.VEC3: 3, gltf.VEC4: 4}
_HEADER = b"glTF\x02\0\0\0"
_Result = TypeVar("_Result")


def read_glb(path: str | os.PathLike[str]) -> TexturedMesh:
    """Reads a head with its texture, normal map and morph targets.

    Args:
      path: a .glb written by encode_glb.

    Returns:
      The mesh in millimetres. Regions are those that the roughness map tells apart, and normals of
      targets are left out: both follow from the rest.

    Raises:
      OSError: if the file cannot be read.
      MeshError: if it is no .glb or holds no such head; the message begins with the path.
    """
    content = pathlib.Path(path).read_bytes()
    if content[: len(_HEADER)] != _HEADER:
        raise MeshError(f"{path}: is no .glb file of glTF 2")
    document = _or_error(path, "is no .glb file", lambda: gltf.GLTF2.load_from_bytes(content))
    if document is None or not document.meshes or not document.binary_blob():
        raise MeshError(f"{path}: holds no mesh")
    mesh = _or_error(path, "is no head that facerelief wrote", lambda: _mesh(document))
    mesh.check()
    return mesh


def _or_error(path, message: str, read: Callable[[], _Result]) -> _Result:
    """What read gives; whatever is wrong with the bytes becomes one error."""
    try:
        return read()
    except Exception as error:  # of struct, json, dataclasses_json, numpy and lists
        raise MeshError(f"{path}: {message} ({type(error).__name__}: {error})") from error


def _mesh(document: gltf.GLTF2) -> TexturedMesh:
    """The document's first mesh, without the copies of vertices at seams."""
    (mesh, *_), facts = document.meshes, document.meshes[0].extras
    primitive = mesh.primitives[0]
    attributes = primitive.attributes
    places = _array(document, attributes.POSITION) / np.float32(METRES_PER_MM)
    count = facts.get("vertexCount", len(places))
    vertex = np.r_[np.arange(count), facts.get("seamVertices", [])].astype(np.int32)
    corners = _array(document, primitive.indices).reshape(-1, 3).astype(np.int32)
    uv = _array(document, attributes.TEXCOORD_0) * np.array([1, -1], np.float32) + np.array(
        [0, 1], np.float32
    )
    images, surface = _images(document), document.materials[0].pbrMetallicRoughness
    moves = [_array(document, target["POSITION"])[:count] for target in primitive.targets]
    return TexturedMesh(
        name=mesh.name or "head",
        vertices=places[:count],
        triangles=vertex[corners],
        normals=_array(document, attributes.NORMAL)[:count],
        uv=uv,
        uv_triangles=corners,
        regions=_regions(images.get("roughness"), uv[:count]),
        texture=_plain(surface) if surface.baseColorTexture is None else images["colour"],
        normal_map=images.get("normals"),
        targets={
            name: move / np.float32(METRES_PER_MM)
            for name, move in zip(facts.get("targetNames", []), moves, strict=True)
        },
    )


def _array(document: gltf.GLTF2, number: int) -> np.ndarray:
    """[N, C] of an accessor, [N] if C is 1."""
    accessor = document.accessors[number]
    width = _WIDTHS[accessor.type]
    kind = _NUMBERS[accessor.componentType]
    if accessor.bufferView is None:
        values = np.zeros((accessor.count, width), kind)
    else:
        values = _part(document, accessor, kind, accessor.count * width).reshape(-1, width).copy()
    if accessor.sparse:
        sparse = accessor.sparse
        index_kind = _NUMBERS[sparse.indices.componentType]
        index = _part(document, sparse.indices, index_kind, sparse.count)
        values[index] = _part(document, sparse.values, kind, sparse.count * width).reshape(
            -1, width
        )
    return values[:, 0] if width == 1 else values


def _part(document: gltf.GLTF2, place, kind: str, count: int) -> np.ndarray:
    """Some numbers of a buffer view, of which place says where they begin."""
    view = document.bufferViews[place.bufferView]
    begin = (view.byteOffset or 0) + (place.byteOffset or 0)
    return np.frombuffer(document.binary_blob(), kind, count, begin)


def _images(document: gltf.GLTF2) -> dict[str, np.ndarray]:
    """The images by name."""
    found = {}
    for image in document.images:
        view = document.bufferViews[image.bufferView]
        begin = view.byteOffset or 0
        if image.name in IMAGE_NAMES:
            content = document.binary_blob()[begin : begin + view.byteLength]
            found[image.name] = decode_image(content)
    return found


def _plain(surface: gltf.PbrMetallicRoughness) -> np.ndarray:
    """uint8 [8, 8, 3] of one colour."""
    colour = srgb_from_linear(np.array(surface.baseColorFactor[:3]))
    return np.full((8, 8, 3), np.rint(255 * colour), np.uint8)


def _regions(roughness: np.ndarray | None, uv: np.ndarray) -> np.ndarray:
    """The first region of that roughness, for each vertex; skin where nothing is known."""
    if roughness is None:
        return np.zeros(len(uv), np.uint8)
    found = fetch(roughness, uv.T)[1] / 255.0
    return np.abs(found[:, None] - np.array(ROUGHNESS)).argmin(1).astype(np.uint8)
