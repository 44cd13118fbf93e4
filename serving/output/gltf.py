"""Writes a textured head as .glb (glTF 2.0) that animates by ARKit's names.

Only what glTF's core has is used, so that every reader opens it: plain floats, and sparse accessors
for what expressions move.
"""

from __future__ import annotations

import functools

import cv2
import numpy as np
import pygltflib as gltf

import facemodel
from facemodel.detail.surface import linear_from_srgb
from serving.output.gltf_buffers import Buffers
from serving.output.image_files import VECTOR_QUALITY, encode_jpeg, encode_png
from serving.output.textured_mesh import TexturedMesh
from serving.output.turned_normals import turned_normals

METRES_PER_MM = 0.001
MOVE_TOLERANCE_MM = 0.08
"""Vertices that an expression moves less stay where they are in the file."""
TURN_TOLERANCE = 0.07
"""The same for normals, as the length of their change: 4 degrees."""
ROUGHNESS = (0.55, 0.35, 0.35, 0.2, 0.08, 0.08)
"""Of each region: skin, mouth, tongue, teeth and the two eyes."""
_ROUGHNESS_SIZE = 512
IMAGE_NAMES = COLOUR_IMAGE, ROUGHNESS_IMAGE, NORMALS_IMAGE = ("colour", "roughness", "normals")
"""Of the images in the file; without a texture there is no colour."""


def encode_glb(mesh: TexturedMesh, *, texture: bytes | None = None) -> bytes:
    """Gives the bytes of a .glb; the same mesh always gives the same bytes.

    Metres, y up, z to the viewer. Vertex k of the file is vertex k of the mesh; copies of the
    vertices at seams of the texture follow, and mesh.extras.seamVertices says of which. Morph
    targets are in the mesh's order, with their names in mesh.extras.targetNames.

    Args:
      mesh: the head; checked.
      texture: The mesh's texture as JPEG or PNG, if it has been encoded already.

    Raises:
      MeshError: if the mesh's arrays do not fit together.
    """
    mesh.check()
    buffers = Buffers()
    document = gltf.GLTF2(
        asset=gltf.Asset(generator=f"facerelief {facemodel.__version__}"),
        scene=0,
        scenes=[gltf.Scene(nodes=[0])],
        nodes=[gltf.Node(name=mesh.name, mesh=0)],
        meshes=[_mesh(mesh, buffers)],
        **_material(mesh, texture, buffers),
    )
    document.accessors, document.bufferViews = buffers.accessors, buffers.views
    content = buffers.content()
    document.buffers = [gltf.Buffer(byteLength=len(content))]
    document.set_binary_blob(content)
    return b"".join(document.save_to_bytes())


def _mesh(mesh: TexturedMesh, buffers: Buffers) -> gltf.Mesh:
    vertex, uv, triangles = mesh.corners
    attributes = gltf.Attributes(
        POSITION=buffers.add_attribute(mesh.vertices[vertex] * METRES_PER_MM, bounds=True),
        NORMAL=buffers.add_attribute(_unit(mesh.normals)[vertex]),
        TEXCOORD_0=buffers.add_attribute(uv * (1, -1) + (0, 1)),
    )
    if mesh.normal_map is not None:
        # Viewers could compute them, but each in its own way.
        attributes.TANGENT = buffers.add_attribute(mesh.tangents)
    primitive = gltf.Primitive(
        attributes=attributes,
        indices=buffers.add_indices(triangles, vertex_count=len(vertex)),
        material=0,
        targets=_targets(mesh, buffers),
    )
    count = len(mesh.vertices)
    facts = {"vertexCount": count, "seamVertices": vertex[count:].tolist()}
    if not mesh.targets:
        return gltf.Mesh(name=mesh.name, primitives=[primitive], extras=facts)
    return gltf.Mesh(
        name=mesh.name,
        primitives=[primitive],
        weights=[0.0] * len(mesh.targets),
        extras={"targetNames": list(mesh.targets), **facts},
    )


def _targets(mesh: TexturedMesh, buffers: Buffers) -> list[gltf.Attributes]:
    """What expressions change of positions and normals, where that is seen."""
    vertex = mesh.corners.vertex
    turns = turned_normals(mesh.vertices, mesh.triangles, mesh.targets.values())
    moves = [move[vertex] * METRES_PER_MM for move in mesh.targets.values()]
    places = buffers.add_sparse(moves, tolerance=MOVE_TOLERANCE_MM * METRES_PER_MM, bounds=True)
    normals = buffers.add_sparse([turn[vertex] for turn in turns], tolerance=TURN_TOLERANCE)
    return [
        gltf.Attributes(POSITION=place, NORMAL=normal) for place, normal in zip(places, normals)
    ]


def _material(mesh: TexturedMesh, texture: bytes | None, buffers: Buffers) -> dict[str, list]:
    """A dull skin with wet eyes, and its images; a mesh of one colour has it as a number."""
    files = _images(mesh, texture)
    place = {name: number for number, name in enumerate(files)}
    surface = gltf.PbrMetallicRoughness(
        metallicRoughnessTexture=gltf.TextureInfo(index=place[ROUGHNESS_IMAGE]),
        metallicFactor=0.0,
        roughnessFactor=1.0,
    )
    if mesh.plain_colour is None:
        surface.baseColorTexture = gltf.TextureInfo(index=place[COLOUR_IMAGE])
    else:
        colour = linear_from_srgb(np.array(mesh.plain_colour) / 255.0)
        surface.baseColorFactor = [*(round(float(part), 6) for part in colour), 1.0]
    material = gltf.Material(name="head", pbrMetallicRoughness=surface, doubleSided=True)
    if mesh.normal_map is not None:
        material.normalTexture = gltf.NormalMaterialTexture(index=place[NORMALS_IMAGE])
    return {
        "materials": [material],
        "textures": [gltf.Texture(source=k, sampler=0) for k in range(len(files))],
        "samplers": [
            gltf.Sampler(
                magFilter=gltf.LINEAR,
                minFilter=gltf.LINEAR_MIPMAP_LINEAR,
                wrapS=gltf.CLAMP_TO_EDGE,
                wrapT=gltf.CLAMP_TO_EDGE,
            )
        ],
        "images": [_image(name, file, buffers) for name, file in files.items()],
    }


def _images(mesh: TexturedMesh, texture: bytes | None) -> dict[str, bytes]:
    """The files of its images by name."""
    files = {}
    if mesh.plain_colour is None:
        files[COLOUR_IMAGE] = texture or encode_jpeg(mesh.texture)
    files[ROUGHNESS_IMAGE] = _roughness_png(mesh)
    if mesh.normal_map is not None:
        files[NORMALS_IMAGE] = encode_jpeg(mesh.normal_map, quality=VECTOR_QUALITY)
    return files


def _image(name: str, content: bytes, buffers: Buffers) -> gltf.Image:
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    return gltf.Image(name=name, mimeType=kind, bufferView=buffers.add_bytes(content))


def _roughness_png(mesh: TexturedMesh) -> bytes:
    """The regions' roughness in green, as glTF has it."""
    corners = np.float32(mesh.uv[mesh.uv_triangles] * (1, -1) + (0, 1))
    regions = np.asarray(mesh.regions, np.uint8)[mesh.triangles].max(1)
    return _roughness_of(corners.tobytes(), regions.tobytes())


@functools.lru_cache(maxsize=2)
def _roughness_of(corners: bytes, regions: bytes) -> bytes:
    """_roughness_png of the bytes of places in the texture [T, 3, 2] and regions of triangles [T].

    Heads of one face model share them.
    """
    image = np.full((_ROUGHNESS_SIZE, _ROUGHNESS_SIZE), _eight_bit(ROUGHNESS[0]), np.uint8)
    places = np.frombuffer(corners, np.float32).reshape(-1, 3, 2) * _ROUGHNESS_SIZE - 0.5
    region_of = np.frombuffer(regions, np.uint8)
    for region, roughness in enumerate(ROUGHNESS[1:], start=1):
        if (region_of == region).any():
            inside = np.zeros_like(image)
            polygons = np.round(places[region_of == region] * 16).astype(np.int32)
            for polygon in polygons:
                cv2.fillConvexPoly(inside, polygon, (255,), shift=4)
            # One texel more, as the texture is filtered across the borders of its parts.
            image[cv2.dilate(inside, np.ones((3, 3), np.uint8)) > 0] = _eight_bit(roughness)
    empty = np.zeros_like(image)
    return encode_png(np.stack([empty, image, empty], -1), level=9)


def _eight_bit(value: float) -> int:
    return round(255 * value)


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(lengths > 1e-9, vectors / np.maximum(lengths, 1e-9), (0.0, 0.0, 1.0))
