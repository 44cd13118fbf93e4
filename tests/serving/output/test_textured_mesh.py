"""Textured meshes: seams, checks, tangents, and how expressions turn normals."""

import dataclasses

import numpy as np
import pytest
from textured_meshes import sheet, tiny_head

from facemodel.morphable.mesh import vertex_normals
from serving.output.tangents import corner_tangents
from serving.output.textured_mesh import MeshError
from serving.output.turned_normals import turned_normals


@pytest.fixture(scope="module")
def mesh():
    return tiny_head()


def test_corners_are_the_same_triangles(mesh):
    corners = mesh.corners
    np.testing.assert_array_equal(corners.vertex[corners.triangles], mesh.triangles)
    np.testing.assert_array_equal(corners.uv[corners.triangles], mesh.uv[mesh.uv_triangles])


def test_vertices_keep_their_numbers_and_only_the_seam_is_copied(mesh):
    corners, count = mesh.corners, len(mesh.vertices)
    np.testing.assert_array_equal(corners.vertex[:count], np.arange(count))
    sides = (mesh.uv_triangles >= count).any(1)
    seam = np.intersect1d(mesh.triangles[sides], mesh.triangles[~sides])
    np.testing.assert_array_equal(np.sort(corners.vertex[count:]), seam)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("normals", np.zeros((3, 3))),
        ("uv_triangles", np.full((760, 3), 10**6)),
        ("texture", np.zeros((8, 8, 3), np.float32)),
        ("texture", np.zeros((8, 4, 3), np.uint8)),
        ("normal_map", np.zeros((8, 8), np.uint8)),
        ("vertices", np.full((551, 3), np.nan)),
        ("targets", {"jawOpen": np.zeros((2, 3))}),
    ],
)
def test_arrays_that_do_not_fit_are_named(mesh, field, value):
    broken = dataclasses.replace(mesh, **{field: value})
    with pytest.raises(MeshError, match=field):
        broken.check()


def test_targets_move_the_mesh_and_its_normals(mesh):
    moved = mesh.moved({"jawOpen": 0.5, "browInnerUp": 1.0})
    expected = mesh.vertices + 0.5 * mesh.targets["jawOpen"] + mesh.targets["browInnerUp"]
    np.testing.assert_allclose(moved, expected, atol=1e-5)
    other = mesh.with_vertices(moved)
    np.testing.assert_array_equal(other.normals, vertex_normals(moved, mesh.triangles))
    np.testing.assert_array_equal(other.corners.vertex, mesh.corners.vertex)
    with pytest.raises(MeshError, match="'grin'"):
        mesh.moved({"grin": 1.0})


def test_turned_normals_are_those_of_the_moved_mesh(mesh):
    moves = list(mesh.targets.values())
    for move, turn in zip(moves, turned_normals(mesh.vertices, mesh.triangles, moves), strict=True):
        whole = vertex_normals(mesh.vertices + move, mesh.triangles)
        np.testing.assert_allclose(turn, whole - mesh.normals, atol=1e-5)


def slope_of_u(mesh):
    """Directions of growing u at the middles of triangles, by solving for the map's gradient."""
    places, uv = mesh.vertices[mesh.triangles], mesh.uv[mesh.uv_triangles]
    edges, steps = places[:, 1:] - places[:, :1], uv[:, 1:] - uv[:, :1]
    return np.linalg.solve(steps.astype(float), edges.astype(float))[:, 0]


def test_tangents_point_where_u_grows(mesh):
    tangents = mesh.tangents
    normals = mesh.normals[mesh.corners.vertex]
    np.testing.assert_allclose(np.linalg.norm(tangents[:, :3], axis=1), 1, atol=1e-6)
    np.testing.assert_allclose((tangents[:, :3] * normals).sum(1), 0, atol=1e-6)
    slopes = slope_of_u(mesh)
    slopes /= np.linalg.norm(slopes, axis=1, keepdims=True)
    around = tangents[mesh.corners.triangles, :3].mean(1)
    assert np.median((slopes * around).sum(1)) > 0.98


@pytest.mark.parametrize(("flip", "side"), [((1, 1), 1.0), ((-1, 1), -1.0), ((1, -1), -1.0)])
def test_the_fourth_number_says_whether_the_texture_is_mirrored(flip, side):
    flat = sheet(np.zeros((4, 4)))
    tangents = corner_tangents(flat.vertices, flat.normals, flat.uv * flip, flat.triangles)
    np.testing.assert_allclose(tangents, np.tile([flip[0], 0, 0, side], (16, 1)), atol=1e-6)
    along_v = tangents[:, 3:] * np.cross(flat.normals, tangents[:, :3])
    np.testing.assert_allclose(along_v, np.tile([0, flip[1], 0], (16, 1)), atol=1e-6)
