"""Mesh files: what is read back is what was written, in the right units, always the same bytes."""

import io

import numpy as np
import pytest
import trimesh

from facemodel.morphable.model import MorphableModel
from serving.output.mesh_io import FORMATS, FaceMesh, encode_mesh, linear_from_srgb, write_mesh

TINY = MorphableModel.tiny()


@pytest.fixture
def mesh():
    colours = np.random.default_rng(0).integers(0, 256, TINY.mean.shape).astype(np.uint8)
    return FaceMesh(TINY.mean, TINY.triangles, colours, "anna_0")


def read_back(content, file_format):
    loaded = trimesh.load(io.BytesIO(content), file_type=file_format, process=False)
    return loaded if isinstance(loaded, trimesh.Trimesh) else loaded.geometry["anna_0"]


def vertex_colours(loaded):
    """A mesh with a material keeps its colours beside it."""
    if loaded.visual.kind == "vertex":
        return loaded.visual.vertex_colors[:, :3]
    return loaded.visual.vertex_attributes["color"][:, :3]


@pytest.mark.parametrize("file_format", FORMATS)
def test_round_trip(file_format, mesh):
    loaded = read_back(encode_mesh(mesh, file_format), file_format)
    to_mm = 1000.0 if file_format == "glb" else 1.0
    np.testing.assert_allclose(loaded.vertices * to_mm, mesh.vertices, atol=1e-4)
    np.testing.assert_array_equal(loaded.faces, mesh.triangles)
    expected = linear_from_srgb(mesh.colours) if file_format == "glb" else mesh.colours
    np.testing.assert_array_equal(vertex_colours(loaded), expected)


@pytest.mark.parametrize("file_format", FORMATS)
def test_normals_point_outwards(file_format, mesh):
    content = encode_mesh(mesh, file_format)
    normals = read_back(content, file_format).vertex_normals
    assert {"obj": b"\nvn ", "ply": b"property float nz", "glb": b"NORMAL"}[file_format] in content
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-3)
    middle = np.abs(mesh.vertices[:, :2]).max(1) < 40
    assert (normals[middle, 2] > 0).mean() > 0.9


@pytest.mark.parametrize("file_format", FORMATS)
def test_same_mesh_same_bytes(file_format, mesh):
    assert encode_mesh(mesh, file_format) == encode_mesh(mesh, file_format)


def test_glb_says_metres_and_has_a_dull_material(mesh):
    scene = trimesh.load(io.BytesIO(encode_mesh(mesh, "glb")), file_type="glb", process=False)
    assert scene.units == "meters"
    assert scene.extents.max() < 0.5
    assert b'"metallicFactor":0.0' in encode_mesh(mesh, "glb")


def test_obj_names_the_face(mesh):
    assert b"\no anna_0\n" in encode_mesh(mesh, "obj")


def test_linear_light_at_known_values():
    srgb = np.uint8([0, 10, 128, 188, 255])
    np.testing.assert_array_equal(linear_from_srgb(srgb), [0, 1, 55, 128, 255])


def test_writing_goes_by_the_suffix(mesh, tmp_path):
    write_mesh(mesh, tmp_path / "face.PLY")
    assert (tmp_path / "face.PLY").read_bytes().startswith(b"ply")
    with pytest.raises(ValueError, match="format should be one of"):
        write_mesh(mesh, tmp_path / "face.stl")
    assert [path.name for path in tmp_path.iterdir()] == ["face.PLY"]
