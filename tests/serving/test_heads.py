"""Heads of faces: whose they are, what the options change, and detail as a normal map."""

import dataclasses
import pathlib
from types import SimpleNamespace

import numpy as np
import pytest

from facemodel.detail.relief import Relief
from facemodel.detail.surface import CameraPose, CoarseSurface, render_buffers
from serving.head_options import HeadOptions
from serving.heads import CLAY, HeadMaker
from serving.images import read_photo
from serving.output.normal_map import STRAIGHT, bake_normal_map
from serving.output.textured_views import surface_normals
from serving.output.views import look

DEMO = pathlib.Path("docs/images/demo.jpg")
SIZE = 420
POSE = CameraPose(np.eye(3), 1.7, np.array([SIZE / 2, SIZE / 2 - 40.0]))


@pytest.fixture(scope="module")
def maker():
    return HeadMaker.load()


@pytest.fixture(scope="module")
def face(maker):
    """A face of the default model where a photo of it would be."""
    coefficients = np.random.default_rng(3).normal(size=284).astype(np.float32)
    coefficients[200:] = 0
    mesh = maker.head.mesh(1)
    vertices = maker.head.vertices(coefficients)[: mesh.face_count]
    inside = (mesh.triangles < mesh.face_count).all(1)
    return SimpleNamespace(
        coefficients=coefficients, vertices=vertices, triangles=mesh.triangles[inside],
        rotation=POSE.rotation, scale=POSE.scale, translation=POSE.translation,
    )  # fmt: skip


@pytest.fixture(scope="module")
def photo():
    """Of somebody else, who takes the same place."""
    return np.ascontiguousarray(read_photo(DEMO)[:SIZE, :SIZE])


@pytest.fixture(scope="module")
def coarse(maker, face, photo):
    return maker.make(photo, face, options=HeadOptions(texture=False, detail="none")).mesh


def test_a_head_fits_the_faces_of_its_model_only(maker, face):
    assert maker.fits(face)
    assert not maker.fits(SimpleNamespace(**{**vars(face), "vertices": 1.001 * face.vertices}))
    assert not maker.fits(SimpleNamespace(**{**vars(face), "vertices": face.vertices[:100]}))
    assert not maker.fits(SimpleNamespace(**{**vars(face), "coefficients": face.coefficients[:9]}))


def test_the_face_of_a_head_is_the_face(coarse, face):
    moved = np.linalg.norm(coarse.vertices[: len(face.vertices)] - face.vertices, axis=1)
    assert moved.max() == 0
    assert np.ptp(coarse.vertices, axis=0).min() > 150  # a whole head is as deep as it is wide
    assert len(coarse.targets) == 52
    assert not np.abs(coarse.targets["tongueOut"]).any()
    assert np.abs(coarse.targets["jawOpen"]).max() > 10


def test_without_a_texture_a_head_is_clay(coarse):
    assert coarse.normal_map is None
    np.testing.assert_array_equal(coarse.texture, CLAY)


def wavy_relief(face, maker):
    """Detail whose normals are tilted by known waves, 20 px long."""
    surface = maker._surface(face)
    assert isinstance(surface, CoarseSurface)
    buffers = render_buffers(surface, POSE, height=SIZE, width=SIZE)
    row, column = np.indices((SIZE, SIZE))
    waves = 0.3 * np.stack([np.sin(column * np.pi / 10), np.cos(row * np.pi / 10)], -1)
    facing = buffers.mask & (buffers.normals[..., 2] > 0.5)
    tilted = buffers.normals + np.where(facing[..., None], np.dstack([waves, 0 * row]), 0)
    tilted /= np.linalg.norm(tilted, axis=-1, keepdims=True)
    return Relief(
        displacement=facing.astype(np.float32), normals=tilted, coarse_normals=buffers.normals,
        confidence=facing.astype(np.float32), depth=buffers.depth, pose=POSE,
        corner=np.zeros(2), zoom=np.ones(2), light=None, flags=(),
    )  # fmt: skip


def test_a_normal_map_shows_the_normals_of_the_relief(maker, face, coarse):
    """Rendered with its normal map, the coarse mesh has the refined normals."""
    relief = wavy_relief(face, maker)
    normal_map = bake_normal_map(coarse, maker.skin.atlas(1024), relief, POSE.rotation)
    mapped = dataclasses.replace(coarse, normal_map=normal_map)
    view = look(
        coarse.vertices, coarse.triangles, rotation=POSE.rotation, scale=POSE.scale,
        translation=POSE.translation, height=SIZE, width=SIZE, samples=1,
    )  # fmt: skip
    drawn = surface_normals(view, mapped, POSE.rotation).T
    wanted = relief.normals.reshape(-1, 3)[view.pixel]
    plain = relief.coarse_normals.reshape(-1, 3)[view.pixel]
    clear = (wanted[:, 2] > 0.6) & (np.abs(wanted - plain).max(1) > 0.02)
    clear &= relief.confidence.ravel()[view.pixel] > 0
    assert clear.sum() > 5000
    angle = np.degrees(np.arccos(np.clip((drawn * wanted).sum(1), -1, 1)))[clear]
    before = np.degrees(np.arccos(np.clip((plain * wanted).sum(1), -1, 1)))[clear]
    assert np.median(before) > 10
    assert np.median(angle) < 2.0
    assert np.quantile(angle, 0.95) < 6.0


def test_a_normal_map_is_straight_where_the_photo_shows_nothing(maker, face, coarse):
    relief = wavy_relief(face, maker)
    atlas = maker.skin.atlas(1024)
    normal_map = bake_normal_map(coarse, atlas, relief, POSE.rotation).reshape(-1, 3)[atlas.texel]
    behind = (coarse.normals[coarse.triangles[atlas.triangle]][..., 2] < -0.2).all(1)
    assert behind.mean() > 0.1
    np.testing.assert_array_equal(np.unique(normal_map[behind], axis=0), [STRAIGHT])


def test_detail_fades_where_the_texture_is_not_the_photos(maker, face, coarse):
    """There is no skin: hair, hands and glasses have shades, too."""
    relief, atlas = wavy_relief(face, maker), maker.skin.atlas(1024)
    share = np.zeros((1024, 1024), np.float32)
    share[:, :512] = 1.0
    whole, half = (
        bake_normal_map(coarse, atlas, relief, POSE.rotation, share=given)
        for given in (None, share)
    )
    np.testing.assert_array_equal(half[:, :508], whole[:, :508])
    inside = np.zeros(1024 * 1024, bool)
    inside[atlas.texel] = True
    right = half.reshape(-1, 3)[inside & (np.arange(inside.size) % 1024 >= 512)]
    np.testing.assert_array_equal(np.unique(right, axis=0), [STRAIGHT])


def test_detail_as_geometry_moves_a_finer_mesh(maker, face, photo, monkeypatch):
    """By the relief's displacement, along the normals, where the photo shows the surface."""
    relief = wavy_relief(face, maker)
    monkeypatch.setattr("serving.heads.recover_relief", lambda *_: relief)
    options = HeadOptions(texture=False, detail="geometry")
    head = maker.make(photo, face, options=options)
    fine = maker.head.vertices(face.coefficients, 2)
    moved = np.linalg.norm(head.mesh.vertices - fine, axis=1)
    assert len(fine) > 3 * len(head.coarse.vertices)
    assert np.quantile(moved[moved > 0.5], [0.1, 0.9]) == pytest.approx([1, 1], abs=0.05)
    assert 0.1 < (moved > 0.9).mean() < 0.6
    assert moved[fine[:, 2] < -60].max() == 0


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="detail: should be one of map, geometry, none, got 'x'"):
        HeadOptions(detail="x")
    with pytest.raises(ValueError, match="albedo: there is no texture"):
        HeadOptions(albedo=True, texture=False)
