"""The face model: linear in its coefficients, strict about its file."""

import dataclasses

import numpy as np
import pytest

from facemodel.morphable import landmarks
from facemodel.morphable.mesh import ModelError
from facemodel.morphable.model import MorphableModel


def test_vertices_are_the_linear_combination_of_the_bases():
    model = MorphableModel.tiny(3)
    rng = np.random.default_rng(0)
    coefficients = rng.normal(size=(2, 3, model.coefficient_count)).astype(np.float32)
    identity, expression = model.split(coefficients)
    expected = model.mean + sum(
        identity[..., k, None, None] * v for k, v in enumerate(model.identity)
    )
    expected = expected + sum(
        expression[..., k, None, None] * v for k, v in enumerate(model.expression)
    )
    np.testing.assert_allclose(model.vertices(coefficients), expected, atol=1e-3)


def test_zero_coefficients_are_the_mean_face_and_names_match():
    model = MorphableModel.tiny()
    np.testing.assert_array_equal(model.vertices(np.zeros(model.coefficient_count)), model.mean)
    assert len(model.coefficient_names) == model.coefficient_count == len(model.basis)
    assert model.coefficient_names[model.identity_count :] == model.expression_names


def test_wrong_number_of_coefficients_says_what_was_received():
    with pytest.raises(ValueError, match=r"expected coefficients \[..., 10\], got \[2, 11\]"):
        MorphableModel.tiny().vertices(np.zeros((2, 11)))


def test_albedo_stays_a_colour():
    model = MorphableModel.tiny()
    colours = model.albedo_rgb(np.full((1, 5), 100.0))
    assert colours.min() >= 0 and colours.max() <= 1
    np.testing.assert_allclose(model.albedo_rgb(np.zeros(5)), model.albedo_mean)


def test_tiny_depends_on_its_seed_alone():
    first, again, other = (MorphableModel.tiny(seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.basis, again.basis)
    assert np.abs(first.basis - other.basis).max() > 0.1


def test_tiny_faces_the_viewer():
    model = MorphableModel.tiny()
    a, b, c = (model.mean[model.triangles[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > 0).all()


@pytest.mark.parametrize("level", [0, 1, 2])
def test_default_model_has_the_papers_dimensions_at_every_level(level):
    model = MorphableModel.load(level=level)
    assert (model.identity_count, model.expression_count, len(model.albedo)) == (200, 84, 200)
    assert model.vertex_count == {0: model.vertex_count, 1: 11179, 2: 44259}[level]
    assert 2000 < model.vertex_count < 45000
    assert len(set(model.coefficient_names)) == 284


def test_levels_describe_the_same_faces():
    """The 68 landmarks of random faces agree between levels."""
    coefficients = np.random.default_rng(0).normal(size=(3, 284)) * np.repeat([1, 0.1], [200, 84])
    chosen = np.asarray(landmarks.IBUG_68)
    points = []
    for level in (1, 2):
        model = MorphableModel.load(level=level)
        at = model.landmark_triangles[chosen], model.landmark_barycentric[chosen]
        points.append(landmarks.embedded_points(model.vertices(coefficients), model.triangles, *at))
    assert np.median(np.linalg.norm(points[0] - points[1], axis=-1)) < 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uv": np.zeros((3, 2), np.float32)}, "uv should be"),
        ({"triangles": np.full((10, 3), 9999, np.int32)}, "triangles should lie in"),
        ({"expression_names": ("one",)}, "expression_names"),
        ({"inner_face": np.zeros(576, bool)}, "inner_face selects no vertex"),
        ({"mean": np.full((576, 3), np.nan, np.float32)}, "mean holds values that are not finite"),
    ],
)
def test_inconsistent_models_are_refused_by_field(change, message):
    with pytest.raises(ModelError, match=message):
        dataclasses.replace(MorphableModel.tiny(), **change).check()


def test_bad_files_are_named(tmp_path):
    with pytest.raises(ModelError, match="nothing.npz: no such face model"):
        MorphableModel.load(tmp_path / "nothing.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(ModelError, match="text.npz: not a face model file of this project"):
        MorphableModel.load(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", name="other")
    with pytest.raises(ModelError, match="other.npz: not a face model file, it lacks"):
        MorphableModel.load(tmp_path / "other.npz")
    with pytest.raises(ModelError, match="level must be one of"):
        MorphableModel.load(level=7)


def test_embedded_points_follow_the_mesh():
    model = MorphableModel.tiny()
    at = model.triangles, model.landmark_triangles, model.landmark_barycentric
    points = landmarks.embedded_points(model.mean, *at)
    assert points.shape == (478, 3)
    moved = landmarks.embedded_points(model.mean * 2 + 5, *at)
    np.testing.assert_allclose(moved, points * 2 + 5, rtol=1e-4)


def test_the_68_points_are_distinct_landmarks():
    assert len(landmarks.IBUG_68) == 68 and len(landmarks.INNER_51) == 51
    assert len(set(landmarks.IBUG_68)) == 68
    assert max(landmarks.IBUG_68) < landmarks.MEDIAPIPE_COUNT


def test_the_coarse_mesh_is_the_model_at_level_0_whatever_the_level(default_model):
    lowest = MorphableModel.load(level=0)
    np.testing.assert_array_equal(default_model.coarse.triangles, lowest.triangles)
    for model in (default_model, lowest):
        np.testing.assert_allclose(model.coarse.mean, lowest.mean, atol=1e-4)
        np.testing.assert_allclose(model.coarse.basis, lowest.basis, atol=1e-4)


def test_a_file_of_another_format_says_so(tmp_path):
    np.savez(tmp_path / "new.npz", format=2)
    with pytest.raises(ModelError, match="new.npz: a face model file of format 2, .* reads 1"):
        MorphableModel.load(tmp_path / "new.npz")


@pytest.mark.parametrize(
    "changes", [{"mean": np.zeros((4, 2))}, {"triangles": np.full((1, 3), 999, np.int32)}]
)
def test_a_coarse_mesh_that_does_not_fit_is_named(changes):
    model = MorphableModel.tiny()
    bad = dataclasses.replace(model, coarse=dataclasses.replace(model.coarse, **changes))
    with pytest.raises(ModelError, match=f"coarse.{next(iter(changes))} should"):
        bad.check()
