"""Shape from shading: light, separation and solver alone, and the whole step on a bumpy ball."""

import cv2
import numpy as np
import pytest
from scipy import fft

from facemodel.detail import light as lights
from facemodel.detail import solve
from facemodel.detail.crop import FACE_PX, cut_crop, estimate_noise, is_grey
from facemodel.detail.relief import recover_relief
from facemodel.detail.separation import Shading, high_pass, separate
from facemodel.detail.settings import Settings
from facemodel.detail.surface import (
    CameraPose,
    CoarseSurface,
    SkinStatistics,
    linear_from_srgb,
    render_buffers,
    skin_statistics,
)
from facemodel.rendering import lighting

RADIUS_MM, SCALE, SIZE = 60.0, 2.0, 272
TO_LIGHT = np.array([0.6, 0.5, 0.62]) / np.linalg.norm([0.6, 0.5, 0.62])
POSE = CameraPose(np.eye(3), SCALE, np.array([SIZE / 2, SIZE / 2]))
SKIN = np.array([0.55, 0.32, 0.22])


def ball(steps=48):
    """A front half of a ball as a coarse surface of even skin."""
    angle = np.linspace(0, np.pi / 2, steps)[:, None]
    around = np.linspace(0, 2 * np.pi, 2 * steps, endpoint=False)[None]
    rings = np.stack([np.sin(angle) * np.cos(around), np.sin(angle) * np.sin(around),
                      np.cos(angle) + 0 * around], -1)  # fmt: skip
    index = np.arange(steps * 2 * steps).reshape(steps, -1)
    a, b = index[:-1], index[1:]
    c, d = np.roll(b, -1, 1), np.roll(a, -1, 1)
    triangles = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    vertices = (RADIUS_MM * rings).reshape(-1, 3)
    count = len(vertices)
    skin = SkinStatistics(
        np.repeat(np.log(SKIN)[None], count, 0), np.zeros((count, 6)), np.zeros(count)
    )
    return CoarseSurface(vertices, triangles, np.zeros(count, np.uint8), skin)


def places():
    """x and y in mm at each pixel, and the unit normal of the ball there."""
    y, x = ((np.indices((SIZE, SIZE)) + 0.5 - SIZE / 2) / SCALE) * np.array([-1, 1])[:, None, None]
    z = np.sqrt(np.maximum(RADIUS_MM**2 - x * x - y * y, 1.0))
    normals = np.stack([x, y, z], -1)
    return x, y, normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def wrinkles(x, y):
    """mm of relief in the middle of the ball."""
    inside = np.exp(-(((x**2 + y**2) / 35.0**2) ** 4))
    return 0.12 * np.cos(2 * np.pi * (0.8 * x + 0.6 * y) / 6.0) * inside


def photo(height=0.0, albedo=1.0, noise=0.0, seed=0):
    """uint8 sRGB of the ball with relief [H, W] mm and a factor of the albedo [H, W, 3]."""
    x, y, normals = places()
    up, right = np.gradient(np.zeros_like(x) + height)
    tilt = np.stack([right, -up, 0 * up], -1) * SCALE
    normals = normals - tilt + normals * (normals * tilt).sum(-1, keepdims=True)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    shading = 0.25 + 0.9 * np.maximum(normals @ TO_LIGHT, 0)
    linear = np.clip(shading[..., None] * SKIN * albedo, 0, 1)
    srgb = 1.055 * linear ** (1 / 2.4) - 0.055
    srgb = srgb + noise * np.random.default_rng(seed).standard_normal(srgb.shape)
    inside = (x**2 + y**2 < RADIUS_MM**2)[..., None]
    return np.round(255 * np.clip(np.where(inside, srgb, 0.3), 0, 1)).astype(np.uint8)


def on_photo(relief, image):
    """An image of the crop at the photo's pixels."""
    rows, columns = np.indices((SIZE, SIZE)) + 0.5
    found = relief.at(image, np.stack([columns, rows], -1).reshape(-1, 2))
    return found.reshape(SIZE, SIZE, *image.shape[2:])


def false_tilt(relief, area):
    """RMS tilt in degrees in an area of the photo."""
    cosine = (relief.normals * relief.coarse_normals).sum(-1)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return float(np.sqrt((on_photo(relief, angle)[area] ** 2).mean()))


@pytest.fixture(scope="module")
def surface():
    return ball()


@pytest.fixture(scope="module")
def recovered(surface):
    x, y, _ = places()
    return recover_relief(photo(wrinkles(x, y), noise=0.004), surface, POSE)


def test_wrinkles_are_found_with_their_sign(recovered):
    x, y, _ = places()
    middle = x**2 + y**2 < 30**2
    wanted, found = wrinkles(x, y)[middle], on_photo(recovered, recovered.displacement)[middle]
    assert np.corrcoef(wanted, found)[0, 1] > 0.85
    assert 0.2 < (wanted * found).sum() / (wanted**2).sum() < 1.2
    assert recovered.flags == ()


def test_a_smooth_ball_stays_smooth(surface):
    x, y, _ = places()
    relief = recover_relief(photo(noise=0.01), surface, POSE)
    assert false_tilt(relief, x**2 + y**2 < 40**2) < 0.8


def strokes(kind):
    """Factor of the albedo [H, W, 3] for a mark in the middle, and where it is."""
    rng, area = np.random.default_rng(1), np.zeros((SIZE, SIZE), np.float32)
    middle = SIZE // 2
    if kind in ("brow", "beard"):
        half = (40, 6) if kind == "brow" else (40, 30)
        for _ in range(250 if kind == "brow" else 900):
            start = middle + rng.uniform(-1, 1, 2) * half
            end = start + np.array([7, -3])
            cv2.line(area, start.astype(int).tolist(), end.astype(int).tolist(), 0.8)
        colour = np.array([0.08, 0.08, 0.1])
    elif kind == "mole":
        cv2.circle(area, (middle, middle), 4, 1.0, -1, cv2.LINE_AA)
        colour = np.exp(-0.8 * np.array([0.42, 0.6, 1.0]))
    else:
        cv2.ellipse(area, (middle, middle), (45, 16), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
        colour = np.array([0.8, 0.25, 0.35])
    around = cv2.dilate((area > 0).astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    return 1 + area[..., None] * (colour - 1), around


@pytest.mark.parametrize("kind", ["brow", "beard", "mole", "lipstick"])
def test_marks_do_not_become_geometry(surface, kind):
    albedo, area = strokes(kind)
    relief = recover_relief(photo(albedo=albedo, noise=0.004), surface, POSE)
    assert false_tilt(relief, area) < 1.5


def test_vertices_take_the_relief_and_hidden_ones_nothing(surface, recovered):
    normals = surface.vertices / RADIUS_MM
    found = recovered.on_vertices(surface.vertices, normals)
    seen = normals[:, 2] > 0.95
    x, y = surface.vertices[seen, :2].T
    assert np.corrcoef(found[seen], wrinkles(x, y))[0, 1] > 0.8
    assert np.abs(recovered.on_vertices(surface.vertices, -normals)).max() == 0
    assert np.abs(recovered.on_vertices(surface.vertices - [0, 0, 10], normals)).max() == 0


def test_small_faces_and_hidden_ones_get_none(surface):
    small = cv2.resize(photo(), None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    pose = CameraPose(POSE.rotation, 0.4 * SCALE, 0.4 * POSE.translation)
    relief = recover_relief(small, surface, pose)
    assert relief.flags == ("no_detail_small_face",)
    assert not relief.displacement.any() and not relief.confidence.any()
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    relief = recover_relief(white, surface, POSE)
    assert "no_detail_hidden" in relief.flags and not relief.displacement.any()


def test_grey_photos_say_so(surface):
    grey = np.repeat(photo().mean(-1, keepdims=True).astype(np.uint8), 3, -1)
    assert is_grey(grey)
    assert recover_relief(grey, surface, POSE).flags == ("detail_without_colour",)


def test_faces_outside_the_photo_are_no_error(surface):
    away = CameraPose(POSE.rotation, SCALE, np.array([-900.0, -900.0]))
    assert not recover_relief(photo(), surface, away).displacement.any()


def test_tilted_normals_are_those_of_the_displaced_surface():
    _, _, normals = places()
    rng = np.random.default_rng(0)
    right, up = 0.02 * rng.standard_normal((2, SIZE, SIZE))
    tilted, _ = solve.tilted_normals(normals, right, up, SCALE)
    slope = normals[..., :2] / normals[..., 2:]
    zero, one = np.zeros_like(right), np.ones_like(right)
    flat = (np.stack([one, zero, -slope[..., 0]], -1), np.stack([zero, one, -slope[..., 1]], -1))
    tangents = (way / SCALE + rise[..., None] * normals for way, rise in zip(flat, (right, up)))
    cross = np.cross(*tangents)
    cross /= np.linalg.norm(cross, axis=-1, keepdims=True)
    inner = normals[..., 2] > 0.3
    np.testing.assert_allclose(tilted[inner], cross[inner], atol=1e-6)


def test_derivatives_of_shading_are_the_numerical_ones():
    _, _, normals = places()
    normals, rng = normals[100:110, 100:110], np.random.default_rng(0)
    lamp = lights.Light(np.zeros((9, 3)), 0.3, np.float32([TO_LIGHT]), np.float32([0.8]))
    right, up = 0.05 * rng.standard_normal((2, 10, 10))
    value, g_right, g_up = solve.linearise(lamp, normals, right, up, SCALE)
    for step, slope in (((1e-4, 0), g_right), ((0, 1e-4), g_up)):
        more = solve.linearise(lamp, normals, right + step[0], up + step[1], SCALE)[0]
        np.testing.assert_allclose((more - value) / 1e-4, slope, rtol=2e-2, atol=2e-3)


def test_the_gradient_and_its_transpose_agree():
    rng = np.random.default_rng(0)
    height, right, up = rng.standard_normal((3, 20, 30))
    ahead = sum(np.vdot(a, b) for a, b in zip(solve.gradient(height), (right, up)))
    assert ahead == pytest.approx(np.vdot(height, solve.gradient_transposed(right, up)))


def test_conjugate_gradients_solve_the_equations():
    rng = np.random.default_rng(0)
    prior = solve.Prior((24, 32), SCALE, Settings())
    precision = rng.uniform(0, 50, (24, 32))
    slopes, target = rng.standard_normal((2, 24, 32)), rng.standard_normal((24, 32))

    def normal_equations(height):
        pull = precision * sum(g * d for g, d in zip(slopes, solve.gradient(height)))
        smooth = np.fft.irfft2(np.fft.rfft2(height) * prior.weight, s=height.shape)
        return solve.gradient_transposed(*(slopes * pull)) + smooth

    found = solve._conjugate_gradients(prior, precision, slopes, target, 200)
    wanted = solve.gradient_transposed(*(slopes * precision * target))
    np.testing.assert_allclose(normal_equations(found), wanted, atol=1e-3 * np.abs(wanted).max())


def test_lamps_are_recovered_despite_outliers():
    _, _, normals = places()
    normals = normals[normals[..., 2] > 0.3]
    ratio = np.log(0.25 + 0.9 * np.maximum(normals @ TO_LIGHT, 0))
    ratio[::5] -= 2.0
    found = lights.fit_light(normals, np.repeat(ratio[:, None], 3, 1), np.ones(len(normals)))
    shading, _ = found.log_shading(np.float32(normals))
    away = np.delete(shading - ratio, np.s_[::5])
    assert (away - np.median(away)).std() < 0.03


def test_harmonics_are_those_of_rendering():
    _, _, normals = places()
    wanted = np.asarray(lighting.harmonics(np.float32(normals[::40, ::40])))
    np.testing.assert_allclose(lights.harmonics(normals[::40, ::40]), wanted, atol=1e-5)


def test_pigment_is_taken_out_and_shading_passes():
    rng = np.random.default_rng(0)
    shading, melanin = (cv2.GaussianBlur(rng.standard_normal((90, 90)), (0, 0), 2) for _ in "ab")
    shading, melanin = 0.03 * shading / shading.std(), 0.05 * melanin / melanin.std()
    fine = np.float32(shading[..., None] + melanin[..., None] * [0.42, 0.6, 1.0])
    even = np.ones((90, 90), np.float32)
    found = separate(fine, even, 0 * even, even, SCALE, Settings(), grey=False)
    assert isinstance(found, Shading)
    assert np.corrcoef(found.value.ravel(), shading.ravel())[0, 1] > 0.9
    assert np.corrcoef(fine.mean(-1).ravel(), shading.ravel())[0, 1] < 0.8


def test_the_high_pass_keeps_out_constants_and_slopes():
    slope = np.repeat(np.linspace(0, 1, 120, dtype=np.float32)[None], 120, 0)[..., None]
    rest, _ = high_pass(slope + 3, np.ones((120, 120), np.float32), 4.0, robust=0.1)
    assert np.abs(rest[30:-30, 30:-30]).max() < 0.01


def test_noise_is_measured():
    _, _, normals = places()
    noisy = normals[80:190, 80:190, 2] + 0.02 * np.random.default_rng(0).standard_normal((110, 110))
    assert estimate_noise(np.float32(noisy)) == pytest.approx(0.02, rel=0.1)


def test_buffers_of_a_ball(surface):
    x, y, normals = places()
    buffers = render_buffers(surface, POSE, height=SIZE, width=SIZE)
    inner = x**2 + y**2 < 50**2
    assert buffers.mask[inner].all()
    np.testing.assert_allclose(buffers.normals[inner], normals[inner], atol=0.02)
    np.testing.assert_allclose(buffers.depth[inner], RADIUS_MM * normals[inner][:, 2], atol=0.2)


def test_statistics_know_brows_from_cheeks(default_model):
    skin = skin_statistics(default_model)
    np.testing.assert_allclose(
        np.exp(skin.mean), np.maximum(linear_from_srgb(default_model.albedo_mean), 0.004), rtol=1e-4
    )
    nearest = [
        np.linalg.norm(default_model.mean - place, axis=1).argmin()
        for place in ((-40.0, 18.0, 18.0), (0.0, 40.0, 25.0))
    ]
    brow, forehead = skin.covariance[nearest, 3]
    assert brow > 5 * forehead


@pytest.mark.parametrize("high", [211, 701])
@pytest.mark.parametrize("room", [200, 5])
def test_sides_of_a_crop_suit_fourier_transforms(high, room):
    """But where the photo ends; and places of the photo are found in the crop."""
    screen = np.array([[40.0, 40.0], [340.0, 40.0 + high]])
    size = (screen[1] + room).astype(int)
    blank = np.zeros((size[1], size[0], 3), np.uint8)
    crop = cut_crop(blank, screen, CameraPose(np.eye(3), 2.0, screen[0]))
    sides = np.array(crop.noise.shape[::-1])
    if room > 100:
        assert sides.tolist() == [fft.next_fast_len(int(side), real=True) for side in sides]
    far = crop.corner + sides / crop.zoom
    assert (far <= size + 1e-6).all() and (far >= screen[1] - 1e-6).all()
    assert min(FACE_PX, high) <= sides[1] <= 1.1 * min(FACE_PX, high) + 30
    np.testing.assert_allclose(crop.zoom[0], crop.zoom[1], rtol=0.01)
