"""Distances from scans to meshes: exact closest points, alignments, regions, traps."""

import numpy as np
import pytest

from facemodel.evaluation import scan_protocol, scan_traps
from facemodel.evaluation.closest_points import Surface, closest_on_triangles
from facemodel.evaluation.face_regions import ELSEWHERE, REGIONS, mean_face_regions, regions_of
from facemodel.evaluation.scan_alignment import align
from facemodel.evaluation.similarity import Similarity, fit_similarity
from facemodel.morphable.landmarks import IBUG_68, embedded_points
from facemodel.morphable.mesh import vertex_normals


@pytest.fixture(scope="module")
def face(default_model):
    """The coarse mean face: vertices, triangles, its 68 points."""
    chosen = list(IBUG_68)
    points = embedded_points(
        default_model.mean,
        default_model.triangles,
        default_model.landmark_triangles[chosen],
        default_model.landmark_barycentric[chosen],
    )
    coarse = default_model.coarse
    return coarse.mean.astype(float), coarse.triangles, points.astype(float)


def turn(rng, size=0.3):
    matrix, _ = np.linalg.qr(np.eye(3) + size * rng.normal(size=(3, 3)))
    return matrix * np.sign(np.linalg.det(matrix))


def test_closest_points_are_those_of_trying_all_triangles():
    """Triangles of very different sizes, some without area; points near and far."""
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(60, 3)) * rng.choice([0.01, 1, 30], size=(60, 1))
    triangles = np.concatenate([rng.integers(0, 60, (80, 3)), [[5, 5, 5], [7, 7, 9]]])
    points = rng.normal(size=(300, 3)) * rng.choice([0.1, 5, 300], size=(300, 1))
    surface = Surface(vertices, triangles)
    found = surface.closest(points, hint=rng.integers(0, len(triangles), len(points)))
    corners = vertices[triangles]
    for k, point in enumerate(points):
        every = closest_on_triangles(np.tile(point, (len(triangles), 1)), corners)
        nearest = np.linalg.norm(every - point, axis=-1).min()
        assert found.distances[k] == pytest.approx(nearest, abs=1e-9)
    np.testing.assert_allclose(np.linalg.norm(found.points - points, axis=-1), found.distances)


def test_closest_point_of_a_triangle_is_the_nearest_of_a_dense_sample():
    rng = np.random.default_rng(1)
    corners, points = rng.normal(size=(2, 40, 3, 3))
    points = 2 * points[:, 0]
    weights = np.stack(np.meshgrid(*[np.linspace(0, 1, 61)] * 2), -1).reshape(-1, 2)
    weights = weights[weights.sum(-1) <= 1]
    weights = np.column_stack([1 - weights.sum(-1), weights])
    dense = np.einsum("kw,nwc->nkc", weights, corners)
    sampled = np.linalg.norm(dense - points[:, None], axis=-1).min(1)
    exact = np.linalg.norm(closest_on_triangles(points, corners) - points, axis=-1)
    assert (exact <= sampled + 1e-12).all()
    np.testing.assert_allclose(exact, sampled, atol=0.05)


def test_a_surface_without_triangles_is_refused():
    with pytest.raises(ValueError, match="at least one triangle"):
        Surface(np.zeros((3, 3)), np.empty((0, 3), int))


def test_similarities_are_found_and_undone():
    rng = np.random.default_rng(2)
    true = Similarity(np.array(1.7), turn(rng), rng.normal(size=3))
    points = rng.normal(size=(9, 3))
    found = fit_similarity(points, true.apply(points))
    np.testing.assert_allclose(found.apply(points), true.apply(points))
    np.testing.assert_allclose(found.inverse().apply(found.apply(points)), points)
    mirrored = points * (-1, 1, 1)
    flipped = fit_similarity(points, mirrored, reflected=True)
    assert np.linalg.det(flipped.rotation) < 0
    np.testing.assert_allclose(flipped.apply(points), mirrored, atol=1e-12)
    rigid = fit_similarity(points, true.apply(points), scaled=False)
    assert rigid.scale == 1


@pytest.mark.parametrize("unit", [0.001, 1.0, 25.0])
def test_a_face_that_was_moved_and_scaled_has_no_error(face, unit):
    vertices, triangles, points = face
    rng = np.random.default_rng(3)
    moved = Similarity(np.array(unit), turn(rng), unit * rng.normal(size=3) * 50)
    target = scan_protocol.now_landmarks(points)
    clicked = moved.apply(target + rng.normal(size=(7, 3)) * 2)
    counted = vertices[scan_protocol.inside_disc(vertices, target)]
    surface = Surface(moved.apply(vertices), triangles)
    aligned = align(surface, counted, fit_similarity(clicked, target))
    assert aligned.distances.max() < 1e-3
    np.testing.assert_allclose(aligned.scan_from_mesh.scale * unit, 1, atol=1e-5)


def test_other_points_of_the_same_surface_have_no_error(face):
    """A resampled scan: points within the triangles."""
    vertices, triangles, points = face
    rng = np.random.default_rng(4)
    chosen = rng.integers(0, len(triangles), 3000)
    weights = rng.dirichlet(np.ones(3), 3000)
    resampled = np.einsum("nk,nkc->nc", weights, vertices[triangles[chosen]])
    target = scan_protocol.now_landmarks(points)
    start = fit_similarity(target + rng.normal(size=(7, 3)), target)
    assert align(Surface(vertices, triangles), resampled, start).distances.max() < 1e-3


def test_size_counts_if_it_may_not_change(face):
    vertices, triangles, points = face
    target = scan_protocol.now_landmarks(points)
    surface, start = Surface(1.05 * vertices, triangles), fit_similarity(1.05 * target, target)
    rigid = fit_similarity(1.05 * target, target, scaled=False)
    counted = vertices[::2]
    assert align(surface, counted, start).distances.mean() < 1e-3
    unscaled = align(surface, counted, rigid, scaled=False)
    assert unscaled.scan_from_mesh.scale == 1
    assert unscaled.distances.mean() > 0.5


def test_a_bump_of_a_millimetre_is_found_at_its_place(face):
    vertices, triangles, points = face
    target = scan_protocol.now_landmarks(points)
    cheek = vertices[np.linalg.norm(vertices - points[[2, 36, 48]].mean(0), axis=-1).argmin()]
    away = np.linalg.norm(vertices - cheek, axis=-1)
    outward = vertex_normals(vertices, triangles)[away.argmin()]
    bumpy = vertices + np.exp(-((away / 12) ** 2))[:, None] * outward
    counted = scan_protocol.inside_disc(vertices, target)
    start = fit_similarity(target, target)
    distances = align(Surface(bumpy, triangles), vertices[counted], start).distances
    worst = vertices[counted][distances.argmax()]
    assert np.linalg.norm(worst - cheek) < 6
    assert 0.9 < distances.max() < 1.02
    assert np.median(distances[away[counted] > 40]) < 0.05


def test_the_disc_is_that_of_the_protocol():
    landmarks = np.array(
        [[-45, 0, 0], [-15, 0, 0], [15, 0, 0], [45, 0, 0], [0, -50, 0], [-25, -70, 0], [25, -70, 0]]
    )
    centre, radius = scan_protocol.face_disc(landmarks)
    np.testing.assert_allclose(centre, (0, -35, 0))
    assert radius == pytest.approx(1.4 * (90 + 50) / 2)
    with pytest.raises(ValueError, match="7, 51 or 68"):
        scan_protocol.now_landmarks(np.zeros((5, 3)))


def test_seven_landmarks_are_the_same_from_51_and_68(face):
    _, _, points = face
    seven = scan_protocol.now_landmarks(points)
    np.testing.assert_array_equal(seven, scan_protocol.now_landmarks(points[17:]))
    assert seven[0, 0] < seven[1, 0] < 0 < seven[2, 0] < seven[3, 0]
    assert seven[5, 0] < seven[4, 0] < seven[6, 0]


def test_figures_of_known_distances():
    found = scan_protocol.figures(np.arange(101) / 100)
    assert (found.mean_mm, found.median_mm, found.p90_mm) == pytest.approx((0.5, 0.5, 0.9))
    limits, shares = scan_protocol.cumulative_curve(np.array([0.0, 1.0, 100.0, 200.0]))
    assert shares[0] == 0.25
    assert shares[-1] == 0.5
    assert shares[np.searchsorted(limits, 1.0)] == 0.5


def test_regions_are_where_their_names_say(default_model, face):
    _, _, points = face
    regions = mean_face_regions(default_model.mean, points)
    expected = {30: "nose", 33: "nose", 51: "mouth", 57: "mouth", 19: "forehead", 24: "forehead"}
    expected |= {8: "cheek", 3: "cheek", 13: "cheek"}
    at = regions_of(points, default_model.mean, regions)
    assert {k: REGIONS[at[k]] for k in expected} == expected
    assert at[37] == at[44] == ELSEWHERE
    assert regions_of(np.array([[0, 0, 500.0]]), default_model.mean, regions)[0] == ELSEWHERE


@pytest.mark.parametrize(("unit", "size"), [("mm", 1), ("cm", 0.1), ("m", 0.001), ("in", 1 / 25.4)])
def test_units_are_guessed_from_the_eyes(face, unit, size):
    _, _, points = face
    assert scan_traps.guess_unit(size * scan_protocol.now_landmarks(points)) == unit


def test_no_unit_fits_landmarks_that_are_no_face(face):
    _, _, points = face
    assert scan_traps.guess_unit(1e6 * scan_protocol.now_landmarks(points)) is None


def test_mirrored_axes_are_seen_and_other_people_are_not(default_model, face):
    _, _, points = face
    rng = np.random.default_rng(5)
    mean, chosen = scan_protocol.now_landmarks(points), list(IBUG_68)
    coefficients = rng.normal(size=(40, default_model.coefficient_count))
    coefficients[:, default_model.identity_count :] = 0
    for vertices in map(default_model.vertices, coefficients):
        other = embedded_points(
            vertices,
            default_model.triangles,
            default_model.landmark_triangles[chosen],
            default_model.landmark_barycentric[chosen],
        )
        seven = scan_protocol.now_landmarks(other) + rng.normal(size=(7, 3))
        assert not scan_traps.is_mirrored(mean, seven)
        for axis in np.eye(3):
            assert scan_traps.is_mirrored(mean, seven * (1 - 2 * axis))


def test_landmarks_of_another_unit_are_off_their_mesh(face):
    vertices, triangles, points = face
    seven, surface = scan_protocol.now_landmarks(points), Surface(vertices, triangles)
    assert not scan_traps.off_mesh(seven, surface.closest(seven).distances)
    assert scan_traps.off_mesh(10 * seven, surface.closest(10 * seven).distances)
