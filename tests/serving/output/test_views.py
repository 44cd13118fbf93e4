"""Views of meshes: what is interpolated, looked up in textures, lit and shaded."""

import dataclasses

import numpy as np
import pytest
from textured_meshes import SIZE, sheet, smooth_texture, tiny_head

from serving.output import pictures
from serving.output.lights import lamp, light_reach
from serving.output.textured_mesh import TexturedMesh
from serving.output.textured_views import (
    _linear_table,
    photographed,
    relit,
    srgb_from_linear,
    surface_normals,
)
from serving.output.views import fetch, look, look_centred, reduced

FRONT = np.eye(3)


def seen(mesh, *, size=96, rotation=FRONT, **options):
    return look_centred(
        mesh.vertices, mesh.triangles, rotation=rotation, height=size, width=size, **options
    )


def test_places_are_interpolated_to_the_samples_own_places():
    mesh = tiny_head()
    pose = {"rotation": FRONT, "scale": 0.4, "translation": np.array([30.0, 28.0])}
    view = look(mesh.vertices, mesh.triangles, height=56, width=60, samples=3, **pose)
    places = view.interpolate(mesh.vertices, mesh.triangles)
    row, column = np.divmod(view.pixel, 60 * 3)
    np.testing.assert_allclose(0.4 * places[0] + 30, (column + 0.5) / 3, atol=1e-3)
    np.testing.assert_allclose(-0.4 * places[1] + 28, (row + 0.5) / 3, atol=1e-3)
    np.testing.assert_allclose(view.weights.sum(0), 1, atol=1e-5)


def test_a_picture_is_the_mean_over_what_is_covered():
    view = dataclasses.replace(
        seen(sheet(np.zeros((2, 2))), size=2),
        height=1,
        width=2,
        pixel=np.array([0, 1, 4, 6, 7]),
        triangle=np.zeros(5, int),
    )
    image, cover = view.picture(np.array([[1.0, 2.0, 6.0, 4.0, 6.0]]))
    np.testing.assert_allclose(cover, [[0.75, 0.5]])
    np.testing.assert_allclose(image[..., 0], [[3.0, 5.0]])


def test_five_channels_are_as_good_as_one():
    mesh = tiny_head()
    view = seen(mesh)
    values = view.interpolate(
        np.random.default_rng(0).random((len(mesh.vertices), 5)), mesh.triangles
    )
    image, cover = view.picture(values)
    for k in range(5):
        one, same = view.picture(values[k : k + 1])
        np.testing.assert_allclose(image[..., k], one[..., 0], rtol=1e-6)
        np.testing.assert_array_equal(cover, same)


def test_texels_are_found_at_their_middles_and_between_them():
    texture = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    middles = (np.arange(8) + 0.5) / 8
    u, v = (grid.ravel() for grid in np.meshgrid(middles, 1 - middles))
    np.testing.assert_array_equal(fetch(texture, np.stack([u, v])).T, texture.reshape(-1, 3))
    between = fetch(texture.astype(np.float32), np.array([[2.0 / 8], [1 - 3.0 / 8]]))
    np.testing.assert_allclose(between[:, 0], texture[2:4, 1:3].mean((0, 1)), rtol=1e-6)


def test_a_texture_is_reduced_to_the_views_samples():
    mesh = sheet(np.zeros((3, 3)))
    texture = np.zeros((512, 512, 3), np.uint8)
    near, far = seen(mesh, size=320, fill=1.0), seen(mesh, size=20, fill=1.0)
    assert reduced(texture, near, mesh).shape[0] == 512
    assert reduced(texture, far, mesh).shape[0] == 64


def waves(count):
    """A wavy sheet, the same shape as a flat sheet's normal map, and its height in mm."""
    place = np.linspace(0, 1, count)
    slope = 0.5 * np.sin(2 * np.pi * 3 * place)
    heights = -100 / (6 * np.pi) * 0.5 * np.cos(2 * np.pi * 3 * place)
    normals = np.stack([-slope, np.zeros(count), np.ones(count)], -1)
    return np.tile(heights, (count, 1)), normals / np.linalg.norm(normals, axis=1, keepdims=True)


@pytest.mark.parametrize("turn", [0.0, 0.4])
def test_a_normal_map_looks_like_the_geometry_it_stands_for(turn):
    rotation = np.array(
        [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
    )
    heights, normals = waves(257)
    geometry = sheet(heights, np.tile(normals, (257, 1)))
    flat = sheet(np.zeros((9, 9)))
    _, middles = waves(513)
    encoded = np.round(127.5 * (middles[1::2] + 1)).astype(np.uint8)
    flat = dataclasses.replace(flat, normal_map=np.tile(encoded, (256, 1, 1)))
    shade = {}
    for name, mesh in (("geometry", geometry), ("map", flat)):
        view = seen(mesh, size=64, rotation=FRONT, fill=1.0)
        shade[name] = surface_normals(view, mesh, rotation)
    np.testing.assert_allclose(shade["map"], shade["geometry"], atol=0.03)


def test_detail_can_be_left_out():
    mesh = tiny_head(normal_map=True)
    view = seen(mesh)
    plain = dataclasses.replace(mesh, normal_map=None)
    smooth = surface_normals(view, mesh, FRONT, detail=False)
    np.testing.assert_array_equal(smooth, surface_normals(view, plain, FRONT))
    assert np.abs(surface_normals(view, mesh, FRONT) - smooth).max() > 0.05


def test_a_sheet_shows_its_texture_upright():
    texture = smooth_texture()
    mesh = dataclasses.replace(sheet(np.zeros((5, 5))), texture=texture)
    colours, cover = photographed(seen(mesh, size=SIZE, fill=1.0), mesh, FRONT)
    assert cover.min() > 0.99
    np.testing.assert_allclose(255 * colours[2:-2, 2:-2], texture[2:-2, 2:-2], atol=2)


def test_srgb_and_back():
    values = srgb_from_linear(_linear_table())
    np.testing.assert_allclose(255 * values, np.arange(256), atol=0.3)


def test_a_lamp_from_the_right_lights_the_right():
    mesh = tiny_head()
    rights = []
    for azimuth in (-60, 60):
        lights = [lamp(azimuth, 0, (1, 1, 1))]
        colours, cover = relit(seen(mesh, size=64), mesh, FRONT, lights)
        shown = colours.mean(-1) * cover
        rights.append(shown[:, 32:].sum() / shown.sum())
    assert rights[0] < 0.4 < 0.6 < rights[1]


def ball_over_a_sheet():
    """A ball of 15 mm, 40 mm above a square of 200 mm; the sheet's vertices first."""
    floor = sheet(np.zeros((81, 81)), side=200.0)
    rings, sides = 24, 48
    polar, around = np.meshgrid(
        np.linspace(0.01, np.pi - 0.01, rings), np.arange(sides), indexing="ij"
    )
    around = 2 * np.pi * around / sides
    ball = np.stack(
        [np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around), np.cos(polar)], -1
    ).reshape(-1, 3)
    row, side = (grid.ravel() for grid in np.mgrid[: rings - 1, :sides])
    first, following = row * sides + side, row * sides + (side + 1) % sides
    quads = np.stack([first, first + sides, following + sides, following], -1) + len(floor.vertices)
    return TexturedMesh(
        **{
            **{field.name: getattr(floor, field.name) for field in dataclasses.fields(floor)},
            "vertices": np.concatenate([floor.vertices, 15 * ball + (0, 0, 40)]),
            "normals": np.concatenate([floor.normals, ball]),
            "triangles": np.concatenate([floor.triangles, quads[:, :3], quads[:, [0, 2, 3]]]),
        }
    ), len(floor.vertices)


def test_a_ball_throws_its_shadow_where_rays_say():
    mesh, count = ball_over_a_sheet()
    direction = np.array(lamp(35, 20, (1, 1, 1)).direction)
    reach = light_reach(mesh.vertices, mesh.triangles, mesh.normals, direction)[:count]
    to_ball = np.array([0, 0, 40]) - mesh.vertices[:count]
    distance = np.linalg.norm(np.cross(to_ball, direction), axis=1)
    assert reach[distance < 7].max() < 0.01
    assert reach[distance > 23].min() > 0.99
    assert 0.2 < reach[np.abs(distance - 15) < 1].mean() < 0.8


def test_attributes_look_as_before():
    mesh = tiny_head()
    pose = {"rotation": FRONT, "scale": 0.3, "translation": np.array([24.0, 24.0])}
    picture, cover = pictures.render_attributes(
        mesh.vertices, mesh.triangles, mesh.vertices, height=48, width=48, **pose
    )
    whole = cover > 0.999
    rows, columns = np.nonzero(whole)
    np.testing.assert_allclose(0.3 * picture[whole][:, 0] + 24, columns + 0.5, atol=1e-3)
    np.testing.assert_allclose(-0.3 * picture[whole][:, 1] + 24, rows + 0.5, atol=1e-3)


@pytest.mark.parametrize("yaw_deg", [0, 40])
def test_a_thinned_view_shows_the_same_with_fewer_samples(yaw_deg):
    mesh = tiny_head()
    angle = np.radians(yaw_deg)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    whole, thin = (seen(mesh, size=200, rotation=turn, thin=thin) for thin in (False, True))
    assert len(thin.pixel) < 0.5 * len(whole.pixel)
    (full, cover), (few, same) = (
        view.picture(view.interpolate(mesh.normals @ turn.T, mesh.triangles))
        for view in (whole, thin)
    )
    np.testing.assert_allclose(same, cover, atol=1e-6)
    difference = np.abs(full - few).max(-1)[cover > 0]
    assert difference.mean() < 0.02 and np.quantile(difference, 0.99) < 0.15
