"""The .ply: what is read back is what was written, always the same bytes."""

import io

import numpy as np
import pytest
import trimesh

from facemodel.morphable.model import MorphableModel
from serving.output.ply import FaceMesh, encode_ply

TINY = MorphableModel.tiny()


@pytest.fixture
def mesh():
    colours = np.random.default_rng(0).integers(0, 256, TINY.mean.shape).astype(np.uint8)
    return FaceMesh(TINY.mean, TINY.triangles, colours, "anna_0")


def test_round_trip(mesh):
    content = encode_ply(mesh)
    loaded = trimesh.load(io.BytesIO(content), file_type="ply", process=False)
    np.testing.assert_allclose(loaded.vertices, mesh.vertices, atol=1e-4)
    np.testing.assert_array_equal(loaded.faces, mesh.triangles)
    np.testing.assert_array_equal(loaded.visual.vertex_colors[:, :3], mesh.colours)
    assert content == encode_ply(mesh)


def test_normals_point_outwards(mesh):
    content = encode_ply(mesh)
    normals = trimesh.load(io.BytesIO(content), file_type="ply", process=False).vertex_normals
    assert b"property float nz" in content
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, atol=1e-3)
    middle = np.abs(mesh.vertices[:, :2]).max(1) < 40
    assert (normals[middle, 2] > 0).mean() > 0.9
