"""Recovery of textures on the tiny face model and the default one, from photos made here."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from head_photos import photograph, turned

from facemodel.texture import blending, completion, light, projection, rejection
from facemodel.texture.recover import is_grey, recover_texture
from facemodel.texture.skin_model import SKIN

SIZE = 128


@pytest.fixture(scope="module")
def lit(skin, coefficients):
    """A head at yaw 40 under light from one side: photo, pose, its albedo and its colours."""
    pose = turned(40)
    albedo = completion.albedo_of(skin, coefficients)
    _, view = photograph(skin, albedo, pose)
    shading = np.maximum(0.75 + view.normals @ np.array([0.45, 0.1, 0.1]), 0.1)
    colours = albedo * shading[:, None]
    photo, view = photograph(skin, colours, pose)
    return photo, pose, albedo, colours


@pytest.fixture(scope="module")
def texture(skin, lit):
    photo, pose, _, _ = lit
    return recover_texture(photo, skin.positions, skin, pose, size=SIZE)


def face_texels(skin, *, margin=0.9):
    values = skin.core * (np.arange(len(skin.positions)) < skin.face_count)
    atlas = skin.atlas(SIZE)
    return atlas.from_vertices @ values > margin


def at_texels(skin, image):
    return image.reshape(SIZE * SIZE, -1)[skin.atlas(SIZE).texel]


def test_visible_texels_show_the_photo(skin, lit, texture):
    _, _, _, colours = lit
    shown = at_texels(skin, texture.from_photo)[:, 0] > 0.95
    wanted = 255 * (skin.atlas(SIZE).from_vertices @ colours)
    chosen = shown & face_texels(skin)
    assert chosen.sum() > 200
    assert np.abs(at_texels(skin, texture.image)[chosen] - wanted[chosen]).mean() < 4


def test_hidden_texels_are_completed_better_than_by_the_mean(skin, lit, texture):
    _, _, _, colours = lit
    atlas = skin.atlas(SIZE)
    hidden = (at_texels(skin, texture.from_photo)[:, 0] < 0.02) & face_texels(skin, margin=0.5)
    hidden &= atlas.from_vertices @ (skin.regions == SKIN) > 0.99
    wanted = 255 * (atlas.from_vertices @ colours)[hidden]
    found = at_texels(skin, texture.image)[hidden].astype(float)
    mean = 255 * (atlas.from_vertices @ skin.albedo_mean)[hidden]
    mean *= wanted.mean(0) / mean.mean(0)  # even with its tone told
    assert hidden.sum() > 100
    assert np.sqrt(((found - wanted) ** 2).mean()) < 0.7 * np.sqrt(((mean - wanted) ** 2).mean())


def test_light_is_divided_out_on_request(skin, lit, texture):
    photo, pose, albedo, _ = lit
    bare = recover_texture(photo, skin.positions, skin, pose, size=SIZE, albedo=True)
    chosen = (at_texels(skin, bare.from_photo)[:, 0] > 0.9) & face_texels(skin)
    wanted = 255 * (skin.atlas(SIZE).from_vertices @ albedo)[chosen]

    def unevenness(image):
        return np.log((at_texels(skin, image)[chosen] + 1.0) / (wanted + 1)).std()

    assert unevenness(bare.image) < 0.6 * unevenness(texture.image)


def test_background_inside_the_outline_stays_out(skin, lit):
    """A mesh 6 mm too far to one side reaches over the background, which is bright green."""
    photo, pose, _, colours = lit
    photo, _ = photograph(skin, colours, pose, background=(0, 255, 0))
    moved = SimpleNamespace(
        **{**vars(pose), "translation": pose.translation + np.array([6.0, 0.0])}
    )
    texture = recover_texture(photo, skin.positions, skin, moved, size=SIZE)
    chosen = skin.atlas(SIZE).from_vertices @ (skin.regions == SKIN) > 0.99
    red, green, _ = at_texels(skin, texture.image)[chosen].astype(float).T
    assert (green > red + 20).mean() < 0.002


def test_a_fringe_is_no_skin(skin, lit):
    photo, pose, _, _ = lit
    brow = int(pose.translation[1] - 35)
    covered = photo.copy()
    covered[:brow] = (40, 28, 20)
    texture = recover_texture(covered, skin.positions, skin, pose, size=SIZE)
    forehead = (skin.positions[:, 1] > 42) & (skin.positions[:, 2] > 0)
    forehead = skin.atlas(SIZE).from_vertices @ forehead.astype(float) > 0.9
    assert at_texels(skin, texture.from_photo)[forehead].max() < 0.2
    assert at_texels(skin, texture.image)[forehead].min() > 45


def test_grey_photos_give_grey_textures(skin, lit):
    photo, pose, _, _ = lit
    grey = np.repeat(photo.mean(-1, keepdims=True).astype(np.uint8), 3, -1)
    texture = recover_texture(grey, skin.positions, skin, pose, size=SIZE)
    assert texture.flags == ("grey_photo",)
    assert np.ptp(texture.image.astype(int), axis=-1).max() == 0
    assert is_grey(grey / 255.0) and not is_grey(photo / 255.0)


def test_dark_glasses_are_left_out(skin, lit):
    photo, pose, _, colours = lit
    worn = np.where(skin.behind_glasses[:, None], 0.05, colours)
    photo, _ = photograph(skin, worn, pose)
    texture = recover_texture(photo, skin.positions, skin, pose, size=SIZE)
    assert "dark_glasses" in texture.flags
    behind = skin.atlas(SIZE).from_vertices @ (skin.below_eyes).astype(float) > 0.9
    assert np.quantile(at_texels(skin, texture.image)[behind].mean(-1), 0.1) > 45


def test_a_photo_that_shows_nothing_gives_a_texture(skin):
    blank = np.full((40, 40, 3), 255, np.uint8)
    pose = SimpleNamespace(rotation=np.eye(3), scale=0.2, translation=np.array([900.0, 20.0]))
    texture = recover_texture(blank, skin.positions, skin, pose, size=SIZE)
    assert "little_skin" in texture.flags
    assert texture.from_photo.max() == 0
    assert 60 < texture.image.mean() < 200


def test_the_same_photo_gives_the_same_texture(skin, lit, texture):
    photo, pose, _, _ = lit
    again = recover_texture(photo, skin.positions, skin, pose, size=SIZE)
    assert (again.image == texture.image).all()


@pytest.mark.parametrize(("correlated", "limit"), [(completion.CORRELATED, 0.25), (0.1, 0.1)])
def test_known_albedo_and_light_are_found(skin, coefficients, monkeypatch, correlated, limit):
    """Of what the mean albedo leaves little remains, and the less, the weaker the prior is."""
    monkeypatch.setattr(completion, "CORRELATED", correlated)
    albedo = completion.albedo_of(skin, coefficients)
    normals = skin.positions / np.linalg.norm(skin.positions, axis=1, keepdims=True)
    shading = 0.9 + 0.2 * normals[:, :1]
    seen = (np.arange(len(albedo)) < skin.face_count).astype(float)
    fit = completion.fit_skin(skin, albedo * shading, normals, seen)
    found = completion.albedo_of(skin, fit.coefficients) * (light.harmonics(normals) @ fit.light)
    left, without = (
        np.abs(colours - albedo * shading)[skin.fit_vertices].mean()
        for colours in (found, skin.albedo_mean * shading)
    )
    assert left < limit * without


def test_the_membrane_keeps_what_is_seen_and_the_guides_gradients(skin):
    rng = np.random.default_rng(0)
    guide = rng.normal(size=(len(skin.positions), 2))
    seen = (skin.positions[:, 0] > 0).astype(float)
    result = blending.membrane(
        skin, guide + np.array([0.5, -1.0]), seen, guide, guide, decay_mm=60.0
    )
    inside = skin.regions == SKIN
    np.testing.assert_allclose((result - guide)[inside], np.tile((0.5, -1.0), (inside.sum(), 1)),
                               atol=1e-6)  # fmt: skip
    own = guide + np.sin(skin.positions[:, :1] / 10.0)
    result = blending.membrane(skin, own, seen, guide, guide, decay_mm=60.0)
    kept = inside & (skin.positions[:, 0] > 8)
    assert np.abs(result - own)[kept].max() < 0.05


def test_partners_lie_on_the_other_side(skin):
    other = skin.positions[skin.mirror] * (-1, 1, 1)
    away = np.linalg.norm(other - skin.positions, axis=1)
    assert np.median(away) < 0.5 and away.max() < 4.0


def test_smoothing_keeps_edges_of_the_guide():
    step = np.repeat([[0.0] * 20 + [1.0] * 20], 40, axis=0).astype(np.float32)
    noisy = step + np.random.default_rng(0).normal(size=step.shape).astype(np.float32) * 0.3
    result = rejection.guided(noisy, step, radius=4)
    assert np.abs(result - step).mean() < 0.08


def test_nearer_parts_hide_farther_ones(skin):
    """A copy of the head 200 mm behind is not seen."""
    count = len(skin.positions)
    both = np.concatenate([skin.positions, skin.positions - (0, 0, 200)]).astype(np.float32)
    triangles = np.concatenate([skin.triangles, skin.triangles + count])
    doubled = dataclasses.replace(skin, positions=both, triangles=triangles)
    view = projection.view_of(
        np.zeros((330, 300, 3), np.uint8), doubled.positions, triangles, turned(0), px_per_mm=1.0
    )
    covered = projection.footprint(view, triangles)
    seen = projection.visible(view, covered, (view.pixels, view.depth, view.normals[:, 2]))
    assert (seen[:count] > 0).mean() > 0.15
    assert (seen[count:] > 0).mean() < 0.01
