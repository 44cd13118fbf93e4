"""Heads as .glb: what other readers and our own find in them, and what Khronos' validator says."""

import dataclasses
import io
import json
import pathlib
import shutil
import subprocess

import numpy as np
import pygltflib
import pytest
import trimesh
from textured_meshes import tiny_head

from facemodel.morphable.head import HeadModel
from facemodel.morphable.mesh import vertex_normals
from serving.output.gltf import (
    MOVE_TOLERANCE_MM,
    ROUGHNESS,
    TURN_TOLERANCE,
    encode_glb,
)
from serving.output.gltf_read import read_glb
from serving.output.image_files import encode_jpeg
from serving.output.textured_mesh import MeshError, TexturedMesh

LIMIT_BYTES = 6_000_000


@pytest.fixture(scope="module")
def mesh():
    return tiny_head(normal_map=True)


@pytest.fixture(scope="module")
def content(mesh):
    return encode_glb(mesh)


def accessor(content, number):
    """An accessor's values by the specification, with nothing of the project."""
    document = pygltflib.GLTF2.load_from_bytes(content)
    facts, blob = document.accessors[number], document.binary_blob()
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}[facts.type]
    kinds = {5126: np.float32, 5125: np.uint32, 5123: np.uint16}

    def values(view, offset, kind, count):
        begin = document.bufferViews[view].byteOffset + (offset or 0)
        return np.frombuffer(blob, kind, count, begin)

    if facts.bufferView is not None:
        size = facts.count * width
        kind = kinds[facts.componentType]
        return values(facts.bufferView, facts.byteOffset, kind, size).reshape(-1, width)
    found = np.zeros((facts.count, width), np.float32)
    if facts.sparse is not None:
        index, value = facts.sparse.indices, facts.sparse.values
        count = facts.sparse.count
        places = values(index.bufferView, index.byteOffset, kinds[index.componentType], count)
        moved = values(value.bufferView, value.byteOffset, np.float32, 3 * count)
        assert (np.diff(places.astype(int)) > 0).all()
        found[places] = moved.reshape(-1, 3)
    return found


def test_same_mesh_same_bytes(mesh, content):
    assert encode_glb(mesh) == content
    assert encode_glb(mesh, texture=encode_jpeg(mesh.texture)) == content


def test_trimesh_opens_it_with_texture_and_coordinates(mesh, content):
    scene = trimesh.load(io.BytesIO(content), file_type="glb", process=False)
    loaded, corners = scene.geometry["anna_0"], mesh.corners
    np.testing.assert_allclose(1000 * loaded.vertices, mesh.vertices[corners.vertex], atol=1e-4)
    np.testing.assert_array_equal(loaded.faces, corners.triangles)
    np.testing.assert_allclose(loaded.visual.uv, corners.uv, atol=1e-6)
    np.testing.assert_allclose(loaded.vertex_normals, mesh.normals[corners.vertex], atol=1e-4)
    image = np.asarray(loaded.visual.material.baseColorTexture.convert("RGB")).astype(int)
    assert np.abs(image - mesh.texture).mean() < 2
    assert loaded.visual.material.normalTexture.size == mesh.normal_map.shape[:2]


def test_targets_have_arkit_names_and_their_values(mesh, content):
    document = pygltflib.GLTF2.load_from_bytes(content)
    found = document.meshes[0]
    assert (
        found.extras["targetNames"] == list(mesh.targets) == ["jawOpen", "browInnerUp", "tongueOut"]
    )
    assert found.weights == [0.0] * 3
    vertex = mesh.corners.vertex
    for move, target in zip(mesh.targets.values(), found.primitives[0].targets, strict=True):
        moved = 1000 * accessor(content, target["POSITION"])
        assert np.linalg.norm(moved - move[vertex], axis=1).max() <= MOVE_TOLERANCE_MM
        turned = accessor(content, target["NORMAL"]) + mesh.normals[vertex]
        whole = vertex_normals(mesh.vertices + move, mesh.triangles)[vertex]
        assert np.linalg.norm(turned - whole, axis=1).max() <= TURN_TOLERANCE + 1e-5


def test_the_last_number_of_tangents_is_a_sign(mesh, content):
    document = pygltflib.GLTF2.load_from_bytes(content)
    tangents = accessor(content, document.meshes[0].primitives[0].attributes.TANGENT)
    np.testing.assert_array_equal(np.abs(tangents[:, 3]), 1)


def test_everything_comes_back(mesh, content, tmp_path):
    (tmp_path / "anna_0.glb").write_bytes(content)
    found = read_glb(tmp_path / "anna_0.glb")
    assert found.name == "anna_0"
    np.testing.assert_allclose(found.vertices, mesh.vertices, atol=1e-4)
    np.testing.assert_array_equal(found.triangles, mesh.triangles)
    np.testing.assert_allclose(found.normals, mesh.normals, atol=1e-6)
    np.testing.assert_allclose(found.uv[found.uv_triangles], mesh.uv[mesh.uv_triangles], atol=1e-6)
    assert np.abs(found.texture.astype(int) - mesh.texture).mean() < 2
    assert np.abs(found.normal_map.astype(int) - mesh.normal_map).mean() < 3
    assert list(found.targets) == list(mesh.targets)
    for name, move in mesh.targets.items():
        assert np.abs(found.targets[name] - move).max() <= MOVE_TOLERANCE_MM


def test_eyes_are_shinier_than_skin(mesh, tmp_path):
    (tmp_path / "a.glb").write_bytes(encode_glb(mesh))
    regions = read_glb(tmp_path / "a.glb").regions
    inside = np.array([(mesh.regions[row] == mesh.regions[row[0]]).all() for row in mesh.triangles])
    for region in np.unique(mesh.regions[mesh.triangles[inside]]):
        kept = np.unique(
            mesh.triangles[inside][mesh.regions[mesh.triangles[inside]][:, 0] == region]
        )
        roughness = np.array(ROUGHNESS)[regions[kept]]
        assert np.median(roughness) == ROUGHNESS[region]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: b"no glb at all",
        lambda content: content[: len(content) // 2],
        lambda content: content.replace(b'"colour"', b'"colors"'),
        lambda content: content.replace(b'"POSITION":0', b'"LOCATION":0'),
    ],
)
def test_what_is_no_head_is_named(content, tmp_path, damage):
    path = tmp_path / "broken.glb"
    path.write_bytes(damage(content))
    with pytest.raises(MeshError, match="broken.glb"):
        read_glb(path)


def default_head(normal_map):
    """A random head of the default model, with a texture of 1024 px in two colours."""
    model = HeadModel.load()
    surface = model.mesh(1)
    rng = np.random.default_rng(0)
    coefficients = rng.normal(size=model.coefficient_count).astype(np.float32)
    coefficients[len(model.identity) :] = 0
    vertices = model.vertices(coefficients)
    names, moves = model.arkit_targets()
    return TexturedMesh(
        name="head",
        vertices=vertices,
        triangles=surface.triangles,
        normals=vertex_normals(vertices, surface.triangles),
        uv=surface.uv,
        uv_triangles=surface.uv_triangles,
        regions=surface.regions,
        texture=np.repeat(np.uint8([150, 140]), 512 * 1024 * 3).reshape(1024, 1024, 3),
        normal_map=normal_map,
        targets={name: surface.operator @ move for name, move in zip(names, moves)},
    )


@pytest.mark.slow
def test_a_head_without_its_images_leaves_room_for_them():
    flat = np.full((1024, 1024, 3), (128, 128, 255), np.uint8)
    content = encode_glb(default_head(flat))
    assert len(content) < LIMIT_BYTES - 700_000
    document = pygltflib.GLTF2.load_from_bytes(content)
    assert len(document.meshes[0].extras["targetNames"]) == 52


VALIDATE = """
const validator = require('gltf-validator'), fs = require('fs');
validator.validateBytes(new Uint8Array(fs.readFileSync(process.argv[2])))
  .then(report => console.log(JSON.stringify(report.issues)));
"""


@pytest.fixture(scope="module")
def validator(tmp_path_factory):
    """A function that gives the issues that Khronos' validator finds in a .glb."""
    folder = tmp_path_factory.mktemp("validator")
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed")
    (folder / "package.json").write_text("{}")
    install = ["npm", "install", "--silent", "gltf-validator@2.0.0-dev.3.10"]
    if subprocess.run(install, cwd=folder, capture_output=True).returncode:
        pytest.skip("the validator cannot be installed")
    (folder / "validate.js").write_text(VALIDATE)

    def run(content):
        pathlib.Path(folder, "head.glb").write_bytes(content)
        command = ["node", "validate.js", "head.glb"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return run


@pytest.mark.slow
def test_khronos_validator_finds_nothing(validator):
    flat = np.full((1024, 1024, 3), (128, 128, 255), np.uint8)
    plain = dataclasses.replace(tiny_head(normal_map=True), texture=flat)
    for head in (default_head(None), default_head(flat), tiny_head(), plain):
        issues = validator(encode_glb(head))
        assert issues["messages"] == []
    assert validator(encode_glb(tiny_head())[:-4])["numErrors"] > 0


@pytest.mark.parametrize("normal_map", [False, True])
def test_one_colour_is_a_number_and_no_image(normal_map, tmp_path):
    colour = (200, 100, 50)
    texture = np.broadcast_to(np.uint8(colour), (8, 8, 3))
    mesh = dataclasses.replace(tiny_head(normal_map=normal_map), texture=texture)
    (tmp_path / "plain.glb").write_bytes(encode_glb(mesh))
    document = pygltflib.GLTF2.load(str(tmp_path / "plain.glb"))
    assert [image.name for image in document.images] == ["roughness", "normals"][: 1 + normal_map]
    (material,) = document.materials
    assert material.pbrMetallicRoughness.baseColorTexture is None
    assert (
        document.textures[material.pbrMetallicRoughness.metallicRoughnessTexture.index].source == 0
    )
    assert (material.normalTexture is not None) == normal_map
    read = read_glb(tmp_path / "plain.glb")
    assert read.plain_colour == colour and (read.normal_map is not None) == normal_map
    np.testing.assert_array_equal(read.regions, mesh.regions)
