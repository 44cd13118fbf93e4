"""The builder's geometry on small meshes: subdivision, z-buffer, landmarks, colours."""

import subprocess
import sys

import numpy as np
import pytest

from facemodel.default_model import (
    colour,
    landmarks,
    levels,
    portrait,
    regions,
    zbuffer,
)
from facemodel.morphable import subdivision
from facemodel.morphable.landmarks import MEDIAPIPE_COUNT

CUBE = np.array(
    [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
)
CUBE_VERTICES = np.array(
    [
        [-1, -1, -1],
        [1, -1, -1],
        [1, 1, -1],
        [-1, 1, -1],
        [-1, -1, 1],
        [1, -1, 1],
        [1, 1, 1],
        [-1, 1, 1],
    ],
    float,
)


def grid_quads(columns: int, rows: int) -> np.ndarray:
    corner = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
    return np.stack([corner, corner + 1, corner + columns + 2, corner + columns + 1], axis=1)


def grid_points(columns: int, rows: int) -> np.ndarray:
    x, y = np.meshgrid(np.arange(columns + 1.0), np.arange(rows + 1.0))
    return np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)


def sphere() -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors [V, 3] and quads of a cube subdivided four times and blown up."""
    points, quads = CUBE_VERTICES, CUBE
    for _ in range(4):
        topology = subdivision.Topology.of(len(points), quads)
        points, quads = subdivision.catmull_clark(topology) @ points, topology.refined_quads
    return points / np.linalg.norm(points, axis=1, keepdims=True), quads


class TestSubdivision:
    def test_closed_cube(self):
        topology = subdivision.Topology.of(8, CUBE)
        operator = subdivision.catmull_clark(topology)
        assert len(topology.edges) == 12
        assert operator.shape == (8 + 6 + 12, 8)
        assert topology.refined_quads.shape == (24, 4)
        refined = subdivision.Topology.of(operator.shape[0], topology.refined_quads)
        assert operator.shape[0] - len(refined.edges) + len(refined.quads) == 2

    def test_cube_corner_by_hand(self):
        # n = 3: (F + 2 R + (n - 3) P) / n with F = (1/3, 1/3, 1/3), R = (2/3, 2/3, 2/3).
        points = subdivision.catmull_clark(subdivision.Topology.of(8, CUBE)) @ CUBE_VERTICES
        np.testing.assert_allclose(points[6], [5 / 9] * 3, atol=1e-12)

    @pytest.mark.parametrize("step", [subdivision.catmull_clark, subdivision.linear])
    @pytest.mark.parametrize(("count", "quads"), [(8, CUBE), (20, grid_quads(4, 3))])
    def test_rows_sum_to_one(self, step, count, quads):
        operator = step(subdivision.Topology.of(count, quads))
        np.testing.assert_allclose(np.asarray(operator.sum(1)).ravel(), 1, atol=1e-12)

    def test_linear_functions_survive_on_a_grid(self):
        points = grid_points(6, 5)
        topology = subdivision.Topology.of(len(points), grid_quads(6, 5))
        values = points @ np.array([2.0, -3.0, 0.0]) + 1
        refined = subdivision.catmull_clark(topology) @ points
        height = subdivision.catmull_clark(topology) @ values
        np.testing.assert_allclose(height, refined @ np.array([2.0, -3.0, 0.0]) + 1, atol=1e-12)
        inner = (np.abs(points - [3, 2.5, 0]) < [2.5, 2, 1]).all(1)
        np.testing.assert_allclose(refined[: len(points)][inner], points[inner], atol=1e-12)

    def test_border_is_a_cubic_spline(self):
        topology = subdivision.Topology.of(len(grid_points(4, 1)), grid_quads(4, 1))
        rows = subdivision.catmull_clark(topology).toarray()
        np.testing.assert_allclose(rows[2, [1, 2, 3]], [0.125, 0.75, 0.125])
        np.testing.assert_allclose(rows[0, 0], 0.75)

    def test_refined_corner_uvs_fit_refined_points(self):
        points, quads = grid_points(3, 2), grid_quads(3, 2)
        topology = subdivision.Topology.of(len(points), quads)
        refined = subdivision.linear(topology) @ points
        uvs = subdivision.refine_corner_uvs(points[quads][..., :2])
        np.testing.assert_allclose(refined[topology.refined_quads][..., :2], uvs)

    def test_triangles_keep_winding_and_area(self):
        points = grid_points(3, 2)
        a, b, c = (points[corner] for corner in subdivision.triangulate(grid_quads(3, 2)).T)
        np.testing.assert_allclose(np.cross(b - a, c - a)[:, 2], 1)


class TestZBuffer:
    @pytest.mark.parametrize("seed", range(3))
    def test_equals_a_slow_loop(self, seed):
        rng = np.random.default_rng(seed)
        screen = rng.uniform(-5, 37, size=(30, 3))
        triangles = rng.integers(0, 30, size=(25, 3))
        expected = np.full((32, 28), -1)
        for y, x in np.ndindex(expected.shape):
            depth = -np.inf
            for index, (a, b, c) in enumerate(screen[triangles]):
                area = np.cross(b[:2] - a[:2], c[:2] - a[:2])
                if abs(area) < 1e-9:
                    continue
                point = np.array([x + 0.5, y + 0.5])
                second = np.cross(point - a[:2], c[:2] - a[:2]) / area
                third = np.cross(b[:2] - a[:2], point - a[:2]) / area
                weights = np.array([1 - second - third, second, third])
                z = weights @ [a[2], b[2], c[2]]
                if (weights >= 0).all() and z > depth:
                    depth, expected[y, x] = z, index
        ids = zbuffer.triangle_ids(screen, triangles, height=32, width=28)
        np.testing.assert_array_equal(ids, expected)

    def test_first_of_equal_triangles_wins(self):
        screen = np.array([[0.0, 0, 1], [9, 0, 1], [0, 9, 1]])
        ids = zbuffer.triangle_ids(screen, np.array([[0, 1, 2], [2, 1, 0]]), height=9, width=9)
        assert set(np.unique(ids)) == {-1, 0}


class TestLandmarks:
    def test_closest_point_equals_a_fine_search(self):
        rng = np.random.default_rng(4)
        corners = rng.normal(size=(40, 3, 3))
        points = rng.normal(size=(40, 3)) * 1.5
        weights = landmarks.closest_barycentric(points, corners)
        found = np.linalg.norm((corners * weights[..., None]).sum(1) - points, axis=1)
        steps = np.linspace(0, 1, 101)
        u, v = (grid.ravel() for grid in np.meshgrid(steps, steps))
        inside = u + v <= 1 + 1e-9
        options = np.stack([1 - u - v, u, v], axis=1)[inside].clip(0, 1)
        distance = np.linalg.norm(options @ corners - points[:, None], axis=2).min(1)
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(1), 1)
        assert (found <= distance + 1e-9).all()
        np.testing.assert_allclose(found, distance, atol=0.03)

    def test_embed_returns_known_places(self):
        rng = np.random.default_rng(5)
        vertices = grid_points(6, 5) + np.array([0, 0, 1])
        triangles = subdivision.triangulate(grid_quads(6, 5))
        chosen = rng.integers(0, len(triangles), 20)
        weights = rng.dirichlet([2, 2, 2], 20)
        points = (vertices[triangles[chosen]] * weights[..., None]).sum(1)
        allowed = np.ones(len(triangles), bool)
        index, places = landmarks.embed(points, vertices, triangles, allowed)
        np.testing.assert_array_equal(index, chosen)
        np.testing.assert_allclose(places, weights, atol=1e-6)
        allowed[chosen[0]] = False
        assert landmarks.embed(points, vertices, triangles, allowed)[0][0] != chosen[0]

    def test_locate_finds_points_that_the_detector_sees(self):
        """A detector that knows the truth, with some noise, leads back to it from all views."""
        operator, topology = sphere()
        vertices = operator * 90 + [0, -28, -30]
        triangles = subdivision.triangulate(topology)
        rng = np.random.default_rng(6)
        front = np.flatnonzero(operator[:, 2] > 0.75)
        truth = vertices[rng.choice(front, MEDIAPIPE_COUNT)]
        views = [(yaw, pitch) for yaw in (-20, 0, 20) for pitch in (-10, 0, 10)]
        turns = iter(views)

        def detect(image):
            turned = (truth - [0, -28, -30]) @ zbuffer.rotation_deg(*next(turns)).T
            pixels = zbuffer.to_screen(turned, mm_per_px=0.55, size=len(image))[:, :2]
            return pixels + rng.normal(0, 0.5, pixels.shape)

        located = landmarks.locate(
            vertices,
            triangles,
            np.ones(len(triangles), bool),
            lambda: np.full((len(vertices), 3), 0.7),
            detect,
            views_deg=views,
        )
        assert np.linalg.norm(located.points - truth, axis=1).max() < 1.0
        assert 0.1 < np.median(located.spread_mm) < 0.6

    def test_blind_detector(self):
        operator, quads = sphere()
        triangles = subdivision.triangulate(quads)
        with pytest.raises(landmarks.LandmarkError, match="in 0 pictures only"):
            landmarks.locate(
                operator * 90,
                triangles,
                np.ones(len(triangles), bool),
                lambda: np.ones((len(operator), 3)),
                lambda image: None,
                views_deg=[(0, 0)],
            )


class TestColoursAndLevels:
    def test_srgb_from_lab(self):
        known = {(100, 0, 0): (1, 1, 1), (0, 0, 0): (0, 0, 0), (53.24, 80.09, 67.2): (1, 0, 0)}
        for lab, rgb in known.items():
            np.testing.assert_allclose(colour.srgb_from_lab(np.array(lab)), rgb, atol=2e-3)

    def test_sample_reads_pixel_centres(self):
        image = np.arange(12.0).reshape(3, 4, 1)
        uv = np.array([[0.5 / 4, 1 - 0.5 / 3], [3.5 / 4, 1 - 2.5 / 3]])
        np.testing.assert_allclose(colour.sample(image, uv)[:, 0], [0, 11], atol=1e-6)

    def test_portrait_shows_front_faces_lit(self):
        operator, quads = sphere()
        picture = portrait.render_portrait(
            operator * 80 + [0, -28, -30],
            subdivision.triangulate(quads),
            np.ones((len(operator), 3)),
            size=64,
            frame=portrait.Frame(mm_per_px=4.0),
        )
        assert picture.image[0, 0].tolist() == [128, 128, 128]
        assert picture.image[24, 32].min() > 240

    def test_colour_operators_on_a_grid(self):
        """Constants stay, and up followed by down changes a linear ramp nowhere inside."""
        columns, rows = 22, 20
        points = grid_points(columns, rows) * 9.0 - [99, 110, 0]
        quads = grid_quads(columns, rows)
        control = regions.ControlMesh(
            positions=points,
            origin=np.zeros(3),
            quads=quads,
            corner_uvs=points[quads][..., :2],
            regions=np.full(len(quads), regions.SKIN),
        )
        (_, coarse, fine), used = levels.face_levels(control)
        up = levels.finer_colours(coarse, fine)
        down = levels.coarser_colours(coarse, fine)
        for operator in (up, down):
            np.testing.assert_allclose(np.asarray(operator.sum(1)).ravel(), 1, atol=1e-6)
        x = (coarse.operator @ points[used])[:, 0]
        inside = np.abs(x) < 40
        np.testing.assert_allclose((down @ (up @ x))[inside], x[inside], atol=2.0)


def test_importing_the_builder_needs_no_detector():
    code = (
        "import sys, facemodel.default_model; "
        "bad = {'mediapipe', 'tensorflow', 'keras', 'serving'} & set(sys.modules); "
        "sys.exit(str(bad) if bad else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
