"""A foreign model becomes a model file: place, outline, levels, and what it lacks."""

import dataclasses

import numpy as np
import pytest

from facemodel.evaluation.metrics import vertex_error_mm
from facemodel.morphable import landmarks
from facemodel.morphable.conversion import coarser, convert, outline, places, transfer
from facemodel.morphable.conversion.alignment import align, align_to_default
from facemodel.morphable.mesh import ModelError, vertex_normals
from facemodel.morphable.model import MorphableModel
from facemodel.morphable.readers import foreign


@pytest.fixture(scope="module")
def small():
    """The default model at level 0 with a few of its vectors, the jaw's among them."""
    model = MorphableModel.load(level=0)
    jaw = model.expression_names.index("arkit/jawOpen")
    return dataclasses.replace(
        model,
        identity=model.identity[:4],
        expression=model.expression[[jaw, 0, 1]],
        expression_names=("arkit/jawOpen", "pca/000", "pca/001"),
        albedo=model.albedo[:3],
    )


@pytest.fixture(scope="module")
def turned(small):
    """The same as a foreign model elsewhere in space, and its 68 landmarks as vertices."""
    angle = 0.2
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]], np.float32)
    chosen = list(landmarks.IBUG_68)
    corner = small.landmark_barycentric[chosen].argmax(1)
    vertices = small.triangles[small.landmark_triangles[chosen], corner]
    return foreign.foreign_model(
        name="turned",
        terms="none",
        mean=small.mean @ turn.T + np.float32([5, 100, -30]),
        identity=small.identity @ turn.T,
        expression=small.expression @ turn.T,
        expression_names=small.expression_names,
        triangles=small.triangles,
        landmarks=vertices,
        regions=small.regions,
        region_names=small.region_names,
    )


def converted(model, default, **options):
    points = transfer.listed_points(model.mean, model.landmarks)
    return convert.convert(model, points, default, version="1", **options)


@pytest.fixture(scope="module")
def whole(turned, default_model):
    return converted(turned, default_model, whole=True)


def test_faces_are_the_same_after_the_move(whole, small):
    model = places.at_levels(whole.arrays)[2]
    rng = np.random.default_rng(0)
    for _ in range(3):
        coefficients = rng.normal(size=model.coefficient_count)
        same = model.vertices(coefficients), small.vertices(coefficients)
        assert vertex_error_mm(*same) < 1e-3
        # Nearest vertices stand for landmarks, so the place is only nearly the same.
        assert np.linalg.norm(same[0] - same[1], axis=1).max() < 4
    assert whole.alignment.relative_size == pytest.approx(1, abs=0.02)
    assert whole.alignment.residual_mm < 2


def test_colours_are_borrowed_where_they_belong(whole, small):
    model = places.at_levels(whole.arrays)[2]
    assert whole.borrowed == ("colours",)
    difference = np.abs(model.albedo_mean - small.albedo_mean).mean(1)
    assert np.median(difference) < 0.01 and difference.mean() < 0.03
    assert model.albedo.shape[0] == 200 and len(model.albedo_scores) == 1500


def test_landmarks_of_the_list_are_its_vertices(whole, turned):
    for model in places.at_levels(whole.arrays):
        points = transfer.landmark_points(model)[list(landmarks.IBUG_68)]
        full = places.at_levels(whole.arrays)[2].mean[turned.landmarks]
        np.testing.assert_allclose(points, full, atol=1e-3)


def test_the_other_landmarks_lie_near_the_default_models(whole, default_model):
    model = places.at_levels(whole.arrays)[1]
    points, expected = transfer.landmark_points(model), transfer.landmark_points(default_model)
    assert np.median(np.linalg.norm(points - expected, axis=1)) < 1.5


def test_a_face_without_expressions_borrows_them(turned, default_model, small):
    bare = dataclasses.replace(
        turned, expression=np.zeros((0, *turned.mean.shape), np.float32), expression_names=()
    )
    made = converted(bare, default_model, whole=True)
    assert made.borrowed == ("colours", "expressions")
    model = places.at_levels(made.arrays)[2]
    jaw = model.expression[model.expression_names.index("arkit/jawOpen")]
    missed = np.linalg.norm(jaw - small.expression[0], axis=1)[small.regions == 0]
    assert np.median(missed) < 0.5 and missed.mean() < 1.5


def test_the_file_reads_back(whole, tmp_path):
    convert.write(tmp_path / "model.npz", whole.arrays)
    for level in (0, 1, 2):
        model = MorphableModel.load(tmp_path / "model.npz", level=level)
        assert (model.name, model.identity_count, model.expression_count) == ("turned", 4, 3)
    bad = {**whole.arrays, "level1_triangles": np.full((1, 3), 9999)}
    with pytest.raises(ModelError, match="turned: triangles should lie in"):
        convert.write(tmp_path / "bad.npz", bad)
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p * 0.1, "0.1 times as large"),
        (lambda p: p * [-1, 1, 1], "mirrored"),
        (lambda p: np.random.default_rng(0).permutation(p), "another list"),
        (lambda p: np.where(np.arange(478)[:, None] < 400, np.nan, p), "of the 51"),
    ],
)
def test_wrong_units_axes_and_lists_are_noticed(default_model, change, message):
    points = transfer.landmark_points(default_model).astype(float)
    with pytest.raises(ModelError, match=message):
        align_to_default(change(points), points)


def test_alignment_undoes_a_turn_and_goes_back():
    rng = np.random.default_rng(1)
    points, shift = rng.normal(size=(20, 3)), np.array([3.0, 4, 5])
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    found = align(points, points @ turn.T + shift)
    np.testing.assert_allclose(found.rotation, turn, atol=1e-9)
    np.testing.assert_allclose(found.points(points), points @ turn.T + shift, atol=1e-9)
    np.testing.assert_allclose(found.back(found.points(points)), points, atol=1e-9)


def test_what_lies_outside_of_the_face_goes(turned, default_model):
    ball = np.float32([[0, 0, -150], [9, 0, -150], [0, 9, -150]])
    points = transfer.listed_points(turned.mean, turned.landmarks)
    back = align_to_default(points, transfer.landmark_points(default_model)).back(ball)
    count, padding = len(turned.mean), ((0, 0), (0, 3), (0, 0))
    head = dataclasses.replace(
        turned,
        albedo_mean=np.full((count + 3, 3), 0.5, np.float32),
        albedo=np.zeros((1, count + 3, 3), np.float32),
        mean=np.concatenate([turned.mean, back]),
        identity=np.pad(turned.identity, padding),
        expression=np.pad(turned.expression, padding),
        triangles=np.concatenate([turned.triangles, [[count, count + 1, count + 2]]]),
        regions=np.pad(turned.regions, (0, 3)),
    )
    kept = converted(head, default_model).arrays["mean"]
    assert kept[:, 2].min() > -80 and 0.9 * count < len(kept) <= count
    assert len(converted(head, default_model, whole=True).arrays["mean"]) == count + 3


def test_a_coarser_mesh_is_the_same_surface(default_model):
    vertices, triangles = default_model.mean, default_model.triangles
    skin = (default_model.regions[triangles] == 0).all(1)
    used, inverse = np.unique(triangles[skin], return_inverse=True)
    vertices, triangles = vertices[used], inverse.reshape(-1, 3)
    made = coarser.coarser(vertices, triangles, 2000)
    assert 1800 < len(made.vertices) <= 2000
    assert len(np.unique(made.triangles)) == len(made.vertices)

    def area_vectors(points, faces):
        a, b, c = (points[faces[:, k]].astype(float) for k in range(3))
        return np.cross(b - a, c - a) / 2

    before = np.linalg.norm(area_vectors(vertices, triangles), axis=1).sum()
    vectors = area_vectors(vertices[made.vertices], made.triangles)
    assert np.linalg.norm(vectors, axis=1).sum() == pytest.approx(before, rel=0.1)
    normals = vertex_normals(vertices, triangles)[made.vertices]
    agree = (vectors * normals[made.triangles].mean(1)).sum(1) > 0
    assert agree.mean() > 0.98


def test_a_small_mesh_stays_whole(tiny_model):
    meshes = coarser.levels(tiny_model.mean, tiny_model.triangles)
    for mesh in meshes:
        np.testing.assert_array_equal(mesh.triangles, tiny_model.triangles)


def test_texture_coordinates_unroll_the_face(default_model):
    uv = outline.cylinder_uv(default_model.mean)
    assert uv.min() == 0 and uv.max() == 1
    left, right = (default_model.mean[:, 0] > 40), (default_model.mean[:, 0] < -40)
    assert uv[left, 0].min() > uv[right, 0].max()


def test_the_mouth_opens_by_the_jaw_or_by_what_parts_the_lips(whole):
    model = places.at_levels(whole.arrays)[2]
    np.testing.assert_array_equal(places.opening(model), [0, 0, 0, 0, 0.5, 0, 0])
    unnamed = dataclasses.replace(model, expression_names=("pca/000", "pca/001", "pca/002"))
    coefficients = places.opening(unnamed)

    def gap(vertices):
        at = (model.triangles, model.landmark_triangles, model.landmark_barycentric)
        points = landmarks.embedded_points(vertices, *at)
        return points[0, 1] - points[17, 1]

    opened = gap(model.vertices(coefficients)) - gap(model.mean)
    assert opened == pytest.approx(18, abs=0.5) or np.abs(coefficients).max() == 1
    assert opened > 8
