"""The z-buffer against tensorflow-graphics' compiled one, a slow one, and another backend."""

import ctypes
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from facemodel import camera
from facemodel.rendering import rasterizer
from facemodel.rendering import shading as renderer

WRAPPER = """
#include "rasterize_triangles_impl.cc"
#include "rasterize_triangles_impl.h"
extern "C" void draw(const float* vertices, const int32_t* triangles, int32_t count, int32_t width,
                     int32_t height, int32_t* ids, float* depths, float* weights) {
  RasterizeTrianglesImpl(vertices, triangles, count, width, height, 1, FaceCullingMode::kBack, ids,
                         depths, weights);
}
"""
DEPTH_RANGE = 1000.0
SIZE_PX = 200
GOLDEN_IDS = pathlib.Path(__file__).parents[2] / "golden" / "triangle_ids.npz"
"""[10, 200, 200] triangle of each pixel of ten faces, -1 = background."""


@pytest.fixture(scope="module")
def compiled_rasterizer(tmp_path_factory):
    """tensorflow-graphics' C++ rasterizer, from the source that its wheel carries."""
    compiler = shutil.which("g++")
    assert compiler, "g++ is not installed: this test compiles tensorflow-graphics' rasterizer"
    package = pathlib.Path(importlib.util.find_spec("tensorflow_graphics").origin).parent
    folder = tmp_path_factory.mktemp("rasterizer")
    (folder / "wrapper.cc").write_text(WRAPPER)
    subprocess.run(
        [
            *(compiler, "-O2", "-shared", "-fPIC", "-I", package / "rendering" / "kernels"),
            *(folder / "wrapper.cc", "-o", folder / "rasterizer.so"),
        ],
        check=True,
    )
    return ctypes.CDLL(str(folder / "rasterizer.so")).draw


def draw_compiled(draw, screen, triangles, height, width):
    """Triangle ids [H, W] for screen [V, 3]; its picture is bottom-up and its z grows away."""
    x, y, depth = screen.T
    clip = [2 * x / width - 1, 1 - 2 * y / height, -depth / DEPTH_RANGE, np.ones_like(x)]
    clip = np.ascontiguousarray(np.stack(clip, -1), np.float32)
    triangles = np.ascontiguousarray(triangles, np.int32)
    ids = np.zeros((height, width), np.int32)
    depths = np.ones((height, width), np.float32)
    weights = np.zeros((height, width, 3), np.float32)
    pointers = [
        array.ctypes.data_as(ctypes.c_void_p) for array in (clip, triangles, ids, depths, weights)
    ]
    draw(*pointers[:2], len(triangles), width, height, *pointers[2:])
    return np.where(weights.any(-1), ids, rasterizer.BACKGROUND)[::-1]


def faces_on_screen(model, random_faces, seed):
    """Ten random faces of a seed in pictures of SIZE_PX: [10, V, 3] px and mm."""
    vertices, pose = random_faces(model, 10, seed=seed, size=SIZE_PX)
    return np.asarray(camera.project(vertices, pose))


def rasterize(screen, triangles):
    """Triangle ids [B, SIZE_PX, SIZE_PX] by the code under test."""
    return np.asarray(rasterizer.rasterize(screen, triangles, height=SIZE_PX, width=SIZE_PX))


@pytest.mark.slow
def test_golden_ids_are_those_of_the_compiled_rasterizer(
    compiled_rasterizer, default_model, random_faces
):
    screen = faces_on_screen(default_model, random_faces, seed=0)
    ids = [
        draw_compiled(compiled_rasterizer, points, default_model.triangles, SIZE_PX, SIZE_PX)
        for points in screen
    ]
    if os.environ.get("UPDATE_GOLDEN"):
        np.savez_compressed(GOLDEN_IDS, ids=np.asarray(ids, np.int16))
    np.testing.assert_array_equal(ids, np.load(GOLDEN_IDS)["ids"])


@pytest.mark.slow
def test_triangle_ids_equal_those_of_the_compiled_rasterizer(
    compiled_rasterizer, default_model, random_faces
):
    same, total = 0, 0
    for seed in range(1, 5):
        screen = faces_on_screen(default_model, random_faces, seed=seed)
        for ours, points in zip(rasterize(screen, default_model.triangles), screen):
            theirs = draw_compiled(
                compiled_rasterizer, points, default_model.triangles, SIZE_PX, SIZE_PX
            )
            assert (theirs >= 0).mean() > 0.2
            same, total = same + (ours == theirs).sum(), total + ours.size
    assert same / total >= 0.999


def test_triangle_ids_equal_the_golden_ones_of_tensorflow_graphics(default_model, random_faces):
    """They come from its C++ rasterizer, which `make golden` compiles and asks again."""
    expected = np.load(GOLDEN_IDS)["ids"]
    screen = faces_on_screen(default_model, random_faces, seed=0)
    assert (expected >= 0).mean() > 0.2
    assert (rasterize(screen, default_model.triangles) == expected).mean() >= 0.999


def edge_functions(corners, x, y):
    """Twice the signed areas (px^2) opposite each corner, positive inside a front face."""
    areas = []
    for k in range(3):
        a, b = corners[(k + 1) % 3, :2], corners[(k + 2) % 3, :2]
        areas.append(-((b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0])))
    return np.array(areas)


def draw_slowly(screen, triangles, height, width):
    """[H, W] triangle ids by the definition, in float64; and what is needed to judge others.

    Returns:
      ids [H, W]; distances [T, H, W] px from each pixel centre to the nearest edge, positive
      inside, -inf for back faces; depths [T, H, W].
    """
    y, x = np.mgrid[:height, :width] + 0.5
    distances = np.full((len(triangles), height, width), -np.inf)
    depths = np.full((len(triangles), height, width), -np.inf)
    for t, triangle in enumerate(triangles):
        corners = screen[triangle].astype(np.float64)
        areas = edge_functions(corners, x, y)
        area = areas[:, 0, 0].sum()
        if area > 0:
            lengths = [np.linalg.norm(corners[k - 1, :2] - corners[k - 2, :2]) for k in range(3)]
            distances[t] = (areas / np.maximum(np.array(lengths)[:, None, None], 1e-12)).min(0)
            depths[t] = np.einsum("khw,k->hw", areas, corners[:, 2]) / area
    visible = np.where(distances >= 0, depths, -np.inf)
    latest = len(triangles) - 1 - visible[::-1].argmax(0)
    return np.where(visible.max(0) > -np.inf, latest, rasterizer.BACKGROUND), distances, depths


def random_soup(rng, *, count, size, spread):
    """Triangles of all kinds around a picture: both windings, slivers, points, far outside."""
    corners = rng.uniform(-0.5, 1.5, (count, 1, 2)) * size + rng.normal(size=(count, 3, 2)) * spread
    sliver = rng.random(count) < 0.15
    corners[sliver, 2] = corners[sliver, 0] + (corners[sliver, 1] - corners[sliver, 0]) * 0.7 + 0.01
    point = rng.random(count) < 0.05
    corners[point] = corners[point, :1]
    screen = np.concatenate([corners, rng.uniform(-50, 50, (count, 3, 1))], -1).reshape(-1, 3)
    return screen.astype(np.float32), np.arange(count * 3, dtype=np.int32).reshape(-1, 3)


@pytest.mark.parametrize("spread", [1.0, 4.0, 30.0, 400.0])
@pytest.mark.parametrize("shape", [(24, 24), (17, 31)])
def test_triangle_soups_equal_a_slow_reference(spread, shape):
    """Where they differ, both answers are right to a thousandth of a pixel and of a millimetre."""
    height, width = shape
    for seed in range(3):
        screen, triangles = random_soup(
            np.random.default_rng(seed), count=60, size=24, spread=spread
        )
        ids = np.asarray(rasterizer.rasterize(screen[None], triangles, height=height, width=width))[
            0
        ]
        expected, distances, depths = draw_slowly(screen, triangles, height, width)
        assert (ids == expected).mean() >= 0.99
        rows, columns = np.nonzero(ids != expected)
        for row, column in zip(rows, columns):
            at = (slice(None), row, column)
            clear = np.where(distances[at] > 1e-3, depths[at], -np.inf).max()
            chosen = ids[row, column]
            if chosen == rasterizer.BACKGROUND:
                assert clear == -np.inf
            else:
                assert distances[at][chosen] > -1e-3
                assert depths[at][chosen] > clear - 1e-3 * max(1.0, spread)


def wrinkled_grid(rng, cells, size):
    """A square from the picture's corner to corner, cut into triangles at random points."""
    line = np.linspace(-2, size + 2, cells + 1)
    x, y = np.meshgrid(line, line)
    inner = (slice(1, -1), slice(1, -1))
    step = (size + 4) / cells
    x[inner] += rng.uniform(-0.4, 0.4, x[inner].shape) * step
    y[inner] += rng.uniform(-0.4, 0.4, y[inner].shape) * step
    screen = np.stack([x.ravel(), y.ravel(), rng.normal(size=x.size)], -1).astype(np.float32)
    corner = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    right, down, both = corner + 1, corner + cells + 1, corner + cells + 2
    triangles = np.concatenate(
        [np.stack([corner, down, both], -1), np.stack([corner, both, right], -1)]
    )
    return screen, triangles.astype(np.int32)


@pytest.mark.parametrize("cells", [1, 3, 40, 150])
def test_triangles_that_share_edges_leave_no_holes(cells):
    screen, triangles = wrinkled_grid(np.random.default_rng(cells), cells, 96)
    ids = np.asarray(rasterizer.rasterize(screen[None], triangles, height=96, width=96))
    assert (ids >= 0).all()


def test_pixel_centres_on_edges_and_corners_belong_to_a_triangle():
    """A grid whose edges run exactly through the centres: no hole, and ties go to the later one."""
    x, y = np.meshgrid(np.arange(5) + 0.5, np.arange(5) + 0.5)
    screen = np.stack([x.ravel(), y.ravel(), np.zeros(25)], -1).astype(np.float32)
    corner = (np.arange(4)[:, None] * 5 + np.arange(4)).ravel()
    lower = np.stack([corner, corner + 5, corner + 6], -1)
    upper = np.stack([corner, corner + 6, corner + 1], -1)
    triangles = np.concatenate([lower, upper]).astype(np.int32)
    ids = np.asarray(rasterizer.rasterize(screen[None], triangles, height=6, width=6))[0]
    expected, _, _ = draw_slowly(screen, triangles, 6, 6)
    np.testing.assert_array_equal(ids, expected)
    assert (ids[:5, :5] >= 0).all() and (ids[5] == -1).all() and (ids[:, 5] == -1).all()


def test_the_nearest_front_face_wins_whatever_the_order():
    square = np.array([[1, 1], [1, 9], [9, 9], [9, 1]], np.float32)
    screen = np.concatenate(
        [np.column_stack([square, np.full(4, depth, np.float32)]) for depth in (-5.0, 7.0, 30.0)]
    )
    front = np.array([[0, 1, 2], [0, 2, 3]])
    triangles = np.concatenate([front + 4, front, front[:, ::-1] + 8]).astype(np.int32)
    ids = np.asarray(rasterizer.rasterize(screen[None], triangles, height=10, width=10))[0]
    assert set(np.unique(ids[1:9, 1:9])) == {0, 1}
    assert (ids[0] == -1).all() and (ids[:, 9] == -1).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_vertices_that_are_not_finite_are_not_drawn(value):
    screen = np.float32([[1, 1, 0], [1, 9, 0], [9, 9, 0], [value, value, 0]])
    triangles = np.int32([[0, 1, 2], [0, 2, 3]])
    ids = np.asarray(rasterizer.rasterize(screen[None], triangles, height=10, width=10))[0]
    assert ids[7, 3] == 0
    assert set(np.unique(ids)) <= {-1, 0, 1}


def test_nothing_in_the_picture_gives_background():
    screen = np.float32([[-9, -9, 0], [-9, -1, 0], [-1, -1, 0], [20, 0, 0], [20, 9, 0], [29, 9, 0]])
    triangles = np.arange(6, dtype=np.int32).reshape(2, 3)
    for drawn in (triangles, triangles[:, ::-1]):
        ids = np.asarray(rasterizer.rasterize(screen[None], drawn, height=10, width=10))
        assert (ids == rasterizer.BACKGROUND).all()


def test_weights_reproduce_linear_functions_of_the_picture():
    rng = np.random.default_rng(4)
    screen, triangles = wrinkled_grid(rng, 5, 40)
    screen = np.stack([screen, screen[:, [1, 0, 2]] * [1, 1, 2]]).astype(np.float32)
    ids = rasterizer.rasterize(screen, triangles, height=40, width=40)
    weights = rasterizer.barycentric(screen, triangles, ids)
    found = np.asarray(rasterizer.interpolate(screen[..., :2], triangles, ids, weights))
    seen = np.asarray(ids) >= 0
    np.testing.assert_allclose(np.asarray(weights).sum(-1), seen, atol=1e-4)
    row, column = np.nonzero(seen[0])
    np.testing.assert_allclose(found[0, row, column], np.stack([column, row], -1) + 0.5, atol=1e-3)
    assert not found[~seen].any()


def test_samples_give_what_the_dense_functions_give(tiny_model, random_faces):
    vertices, pose = random_faces(tiny_model, 3, seed=1, size=60)
    screen = np.asarray(camera.project(vertices, pose))
    ids = rasterizer.rasterize(screen, tiny_model.triangles, height=60, width=60)
    weights = rasterizer.barycentric(screen, tiny_model.triangles, ids)
    dense = rasterizer.interpolate(vertices, tiny_model.triangles, ids, weights)
    pixel, values = rasterizer.sample(screen, vertices, tiny_model.triangles, ids)
    image = rasterizer.to_image(tf.transpose(values), pixel, (3, 60, 60))
    np.testing.assert_allclose(image, dense, atol=1e-4)


def test_one_graph_draws_batches_of_any_size(tiny_model, random_faces):
    @tf.function(input_signature=[tf.TensorSpec([None, None, 3]), tf.TensorSpec([], tf.int32)])
    def draw(screen, size):
        return rasterizer.rasterize(screen, tiny_model.triangles, height=size, width=size)

    for count, size in ((1, 40), (3, 57)):
        vertices, pose = random_faces(tiny_model, count, seed=count, size=size)
        screen = camera.project(vertices, pose)
        eager = rasterizer.rasterize(screen, tiny_model.triangles, height=size, width=size)
        np.testing.assert_array_equal(draw(screen, size), eager)


ON_JAX = """
import sys
import jax
import keras
import numpy as np
from facemodel import camera
from facemodel.rendering import rasterizer
from facemodel.rendering import shading as renderer
from facemodel.morphable.geometry import FaceGeometry
from facemodel.morphable.model import MorphableModel

assert keras.backend.backend() == "jax"
given = np.load(sys.argv[1])
found = {}
for name in given["scenes"]:
    triangles, (height, width) = given[name + "_triangles"], given[name + "_shape"].tolist()
    draw = lambda screen: rasterizer.rasterize(screen, triangles, height=height, width=width)
    found[name] = np.asarray(jax.jit(draw)(given[name + "_screen"]))
face = FaceGeometry.create(MorphableModel.tiny())
pose = camera.Pose(given["rotation"], given["scale"], given["translation"])
shading = lambda vertices: renderer.render_shading(face.fine, vertices, pose, size=50)
found["shading"], found["mask"] = jax.jit(shading)(given["vertices"])
slope = jax.jit(jax.grad(lambda vertices: shading(vertices)[0].sum()))(given["vertices"])
assert np.isfinite(slope).all() and np.abs(slope).max() > 0
np.savez(sys.argv[2], **found)
"""


def scenes_for_both(default_model, random_faces):
    """Screen points, triangles and picture shapes by name; "exact" is exact in float32."""
    rng = np.random.default_rng(9)
    scenes = {}
    for spread in (6.0, 500.0):
        screen, triangles = random_soup(rng, count=300, size=64, spread=spread)
        scenes[f"soup_{spread:.0f}"] = screen[None], triangles, (40, 64)
    level = np.repeat(rng.permutation(300), 3).astype(np.float32)
    steps = np.concatenate([screen[:, :2].round() + 0.5, level[:, None]], -1)
    scenes["exact"] = steps[None], triangles, (40, 64)
    vertices, pose = random_faces(default_model, 2, seed=3, size=100)
    screen = np.asarray(camera.project(vertices, pose))
    return scenes | {"faces": (screen, default_model.triangles, (100, 100))}


@pytest.mark.slow
def test_jax_draws_the_same(tmp_path, default_model, tiny_model, tiny_geometry, random_faces):
    """Compiled by JAX, in a process of its own. Where coordinates are exact, so is the answer."""
    scenes = scenes_for_both(default_model, random_faces)
    vertices, pose = random_faces(tiny_model, 2, seed=3, size=50)
    given = {"vertices": vertices, "scenes": np.array(list(scenes)), **pose._asdict()}
    for name, scene in scenes.items():
        parts = zip(("screen", "triangles", "shape"), scene)
        given |= {f"{name}_{part}": np.asarray(value) for part, value in parts}
    np.savez(tmp_path / "given.npz", **given)
    command = [sys.executable, "-c", ON_JAX, tmp_path / "given.npz", tmp_path / "found.npz"]
    subprocess.run(command, check=True, env={**os.environ, "KERAS_BACKEND": "jax"})
    found = np.load(tmp_path / "found.npz")
    for name, (screen, triangles, (height, width)) in scenes.items():
        ids = np.asarray(rasterizer.rasterize(screen, triangles, height=height, width=width))
        assert (ids >= 0).mean() > 0.05
        assert (ids == found[name]).mean() >= (1 if name == "exact" else 0.9995), name
    shading, mask = renderer.render_shading(tiny_geometry.fine, vertices, pose, size=50)
    np.testing.assert_array_equal(mask, found["mask"])
    np.testing.assert_allclose(shading, found["shading"], atol=1e-4)
