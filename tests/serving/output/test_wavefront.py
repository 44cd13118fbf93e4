"""Heads as .obj with texture, and the colours of vertices for .ply."""

import dataclasses
import io

import numpy as np
import trimesh
from textured_meshes import tiny_head

from serving.output.ply import encode_ply
from serving.output.vertex_colours import coloured_by_vertex
from serving.output.wavefront import NORMAL_MAP, TEXTURE, encode_obj


def numbers(text, word):
    """The lines of an .obj that begin with a word, as they stand."""
    return np.array([line.split()[1:] for line in text.splitlines() if line.split()[:1] == [word]])


def test_an_obj_holds_the_mesh_in_its_order():
    mesh = tiny_head()
    text = encode_obj(mesh)["obj"].decode()
    np.testing.assert_allclose(numbers(text, "v").astype(float), mesh.vertices, atol=1e-5)
    np.testing.assert_allclose(numbers(text, "vt").astype(float), mesh.uv, atol=1e-6)
    np.testing.assert_allclose(numbers(text, "vn").astype(float), mesh.normals, atol=1e-4)
    faces = np.array([[corner.split("/") for corner in row] for row in numbers(text, "f")]).astype(
        int
    )
    np.testing.assert_array_equal(faces[..., 0] - 1, mesh.triangles)
    np.testing.assert_array_equal(faces[..., 1] - 1, mesh.uv_triangles)
    np.testing.assert_array_equal(faces[..., 2] - 1, mesh.triangles)


def test_trimesh_opens_it_with_its_texture(tmp_path):
    mesh = tiny_head(normal_map=True)
    files = encode_obj(mesh, stem="photo.old_0")
    for suffix, content in files.items():
        (tmp_path / f"photo.old_0.{suffix}").write_bytes(content)
    assert files == encode_obj(mesh, stem="photo.old_0", texture=files[TEXTURE])
    assert set(files) == {"obj", "mtl", TEXTURE, NORMAL_MAP}
    loaded = trimesh.load(tmp_path / "photo.old_0.obj", process=False)
    image = np.asarray(loaded.visual.material.image.convert("RGB")).astype(int)
    assert np.abs(image - mesh.texture).mean() < 2
    corners = np.column_stack([loaded.vertices, loaded.visual.uv])[loaded.faces]
    expected = np.concatenate([mesh.vertices[mesh.triangles], mesh.uv[mesh.uv_triangles]], axis=-1)
    np.testing.assert_allclose(corners, expected, atol=1e-4)


def test_one_colour_needs_no_image_and_no_images_no_material():
    mesh = dataclasses.replace(tiny_head(), texture=np.full((8, 8, 3), 200, np.uint8))
    files = encode_obj(mesh)
    assert set(files) == {"obj"}
    assert b"mtllib" not in files["obj"] and b"usemtl" not in files["obj"]
    bumpy = dataclasses.replace(mesh, normal_map=tiny_head(normal_map=True).normal_map)
    files = encode_obj(bumpy)
    assert set(files) == {"obj", "mtl", NORMAL_MAP}
    lines = files["mtl"].decode().splitlines()
    assert "Kd 0.784 0.784 0.784" in lines and not [line for line in lines if "map_Kd" in line]


def test_a_ply_has_the_textures_colours():
    mesh = tiny_head()
    content = encode_ply(coloured_by_vertex(mesh))
    loaded = trimesh.load(io.BytesIO(content), file_type="ply", process=False)
    np.testing.assert_allclose(loaded.vertices, mesh.vertices, atol=1e-4)
    places = mesh.corners.uv[: len(mesh.vertices)]
    expected = 60 + 150 * np.stack([places[:, 0], 1 - places[:, 1]], -1)
    # The two sides of the seam have nothing in common in this texture.
    used = np.setdiff1d(mesh.triangles, mesh.corners.vertex[len(mesh.vertices) :])
    colours = loaded.visual.vertex_colors[used, :2].astype(float)
    np.testing.assert_allclose(colours, expected[used], atol=6)
