"""The overview: which panels there are, and what is marked in them."""

import dataclasses
import types

import numpy as np
import pytest
from textured_meshes import tiny_head

from facemodel.morphable.model import MorphableModel
from serving.output import overview, panels
from serving.output.frontal_texture import frontal_texture
from serving.output.ply import FaceMesh
from serving.output.views import fetch
from serving.reconstructor import project

ROTATION = np.eye(3)
SHAPE = (panels.PANEL_HEIGHT, panels.PANEL_WIDTH, 3)


@pytest.fixture(scope="module")
def photo():
    return np.random.default_rng(0).integers(0, 256, (300, 240, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def face():
    """What of a reconstruction the overview reads."""
    scale, translation = 1.2, np.array([120.0, 150.0])
    quality = types.SimpleNamespace(yaw_deg=3.0, pitch_deg=-2.0, roll_deg=0.0, flags=())
    return types.SimpleNamespace(
        rotation=ROTATION,
        scale=scale,
        translation=translation,
        crop=np.zeros((200, 200), np.uint8),
        crop_from_image=np.array([[1.0, 0.0, -20.0], [0.0, 1.0, -40.0]]),
        quality=quality,
        flags=quality.flags,
        model=types.SimpleNamespace(facts={"model_name": "tiny", "model_version": "1"}),
        to_photo=lambda points: project(points, ROTATION, scale, translation),
    )


def panel(sheet, number):
    """The pixels of a panel of a sheet."""
    row, column = divmod(number, overview.COLUMNS)
    left = overview.GAP + column * (panels.PANEL_WIDTH + overview.GAP)
    top = overview.TITLE + row * (panels.PANEL_HEIGHT + overview.CAPTION)
    return sheet[top : top + panels.PANEL_HEIGHT, left : left + panels.PANEL_WIDTH].astype(int)


@pytest.fixture(scope="module")
def whole(photo, face):
    return overview.render_overview(photo, face, tiny_head(normal_map=True))


def test_all_panels_and_those_without_detail(photo, face, whole):
    assert whole.shape[0] > 2 * panels.PANEL_HEIGHT and whole.shape[1] > 5 * panels.PANEL_WIDTH
    coarse, fine = panel(whole, 2), panel(whole, 3)
    assert np.abs(coarse - fine).max() > 8
    plain = overview.render_overview(photo, face, tiny_head())
    np.testing.assert_array_equal(panel(plain, 2), coarse)
    np.testing.assert_array_equal(panel(plain, 3), panel(whole, 4))
    np.testing.assert_array_equal(panel(plain, 9), np.broadcast_to(overview.PAPER, SHAPE))


def test_without_a_texture_there_is_no_map(photo, face, whole):
    clay = dataclasses.replace(tiny_head(), texture=np.full((8, 8, 3), 200, np.uint8))
    sheet = overview.render_overview(photo, face, clay)
    for number in range(3):
        np.testing.assert_array_equal(panel(sheet, number), panel(whole, number))
    grey = panel(sheet, 4)  # from the front
    assert np.ptp(grey, axis=-1).max() < 8 and np.ptp(panel(whole, 6), axis=-1).max() > 50
    np.testing.assert_array_equal(panel(sheet, 8), np.broadcast_to(overview.PAPER, SHAPE))


def test_a_detailed_mesh_is_shown_in_its_panel_only_and_the_rest_is_the_same(photo, face, whole):
    mesh = tiny_head(normal_map=True)
    detailed = mesh.with_vertices(mesh.vertices + 2 * np.sin(mesh.vertices))
    with_it = overview.render_overview(photo, face, mesh, detailed=detailed)
    assert np.abs(panel(with_it, 3) - panel(whole, 3)).max() > 50
    for number in (0, 1, 2, 4, 5, 6, 7, 8, 9):
        np.testing.assert_array_equal(panel(with_it, number), panel(whole, number))


def test_stripes_lie_where_the_photo_gave_nothing():
    mesh = tiny_head()
    share = np.zeros((64, 64), np.float32)
    share[:, :32] = 1.0
    plain, marked = (panels.texture_panel(mesh, given) for given in (None, share))
    changed = np.abs(marked - plain).max(-1) > 0.02
    assert not changed[:, : panels.PANEL_WIDTH // 2 - 8].any()
    assert changed[:, panels.PANEL_WIDTH // 2 + 8 :].mean() > 0.1


def test_lamps_on_both_sides_light_the_sides_they_are_named_for(whole):
    left, right = panel(whole, 8).sum(-1), panel(whole, 9).sum(-1)
    middle = panels.PANEL_WIDTH // 2
    assert (left - right)[:, :middle].sum() > 0 > (left - right)[:, middle:].sum()


def test_a_face_without_atlas_keeps_its_colours_in_front():
    model = MorphableModel.tiny()
    colours = np.uint8(np.clip(128 + 1.5 * model.mean, 0, 255))
    textured = frontal_texture(FaceMesh(model.mean, model.triangles, colours))
    textured.check()
    found = fetch(textured.texture, textured.uv.T).T.astype(int)
    front = (textured.normals[:, 2] > 0.5) & (np.abs(model.mean[:, :2]).max(1) < 40)
    assert np.abs(found - colours)[front].max() < 12
