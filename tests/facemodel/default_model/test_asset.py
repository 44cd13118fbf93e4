"""The committed default face model, and that it can be built again."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from facemodel.default_model import landmarks, portrait, regions
from facemodel.morphable.landmarks import IBUG_68, embedded_points
from facemodel.morphable.model import DEFAULT_MODEL, MorphableModel
from facemodel.morphable.npz import LEVELS

LIMIT_BYTES = 20 << 20
CONTROL_VERTICES = 2966
VERTICES = {0: 2854, 1: 11179, 2: 44259}
TRIANGLES = {0: 5480, 1: 21912, 2: 87636}


@pytest.fixture(scope="module")
def models():
    return {level: MorphableModel.load(level=level) for level in LEVELS}


@pytest.fixture(scope="module")
def archive():
    with np.load(DEFAULT_MODEL) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def random_faces(models):
    """[300, V, 3] at level 1, neutral."""
    model = models[1]
    coefficients = np.zeros((300, model.coefficient_count), np.float32)
    rng = np.random.default_rng(0)
    coefficients[:, : model.identity_count] = rng.normal(size=(300, model.identity_count))
    return model.vertices(coefficients)


def positions(model, vertices):
    return embedded_points(
        vertices, model.triangles, model.landmark_triangles, model.landmark_barycentric
    )


def expression(model, **weights):
    coefficients = np.zeros(model.coefficient_count, np.float32)
    for name, weight in weights.items():
        coefficients[model.coefficient_names.index(f"arkit/{name}")] = weight
    return coefficients


def eyeball_distance(model, vertices):
    left, right = (
        vertices[..., model.regions == model.region_names.index(name), :].mean(-2)
        for name in ("eye_l", "eye_r")
    )
    return np.linalg.norm(left - right, axis=-1)


def test_file_is_small_enough_to_be_carried():
    assert DEFAULT_MODEL.stat().st_size < LIMIT_BYTES


def test_keys_and_types(archive):
    levels = {
        f"level{level}_{name}"
        for level in LEVELS
        for name in (
            *(f"operator_{part}" for part in ("data", "indices", "indptr")),
            "triangles",
            "regions",
            "uv",
            "inner_face",
            "landmark_triangles",
            "landmark_barycentric",
        )
    }
    levels |= {
        f"level{level}_albedo_operator_{part}"
        for level in (0, 2)
        for part in ("data", "indices", "indptr")
    }
    rest = {"name", "version", "mean", "identity", "expression", "expression_names"}
    rest |= {"region_names", "albedo_mean", "albedo", "albedo_scores"}
    assert set(archive) == levels | rest
    assert archive["mean"].shape == (CONTROL_VERTICES, 3)
    assert archive["identity"].shape == (200, CONTROL_VERTICES, 3)
    assert archive["expression"].shape == (84, CONTROL_VERTICES, 3)
    assert archive["albedo"].shape == (200, VERTICES[1], 3)
    assert archive["albedo_scores"].dtype == np.float16
    assert archive["level1_regions"].dtype == np.uint8
    assert archive["level1_inner_face"].dtype == bool


@pytest.mark.parametrize("level", LEVELS)
def test_sizes_and_regions(models, level):
    model = models[level]
    assert (model.vertex_count, len(model.triangles)) == (VERTICES[level], TRIANGLES[level])
    assert model.region_names == regions.REGIONS
    assert set(model.regions) == set(range(len(regions.REGIONS)))
    assert set(model.triangles.ravel()) == set(range(model.vertex_count))
    assert (model.regions[model.inner_face] == regions.SKIN).all()
    assert 0.5 < model.inner_face.mean() < 0.8
    assert (model.uv >= 0).all() and (model.uv <= 1).all()


@pytest.mark.parametrize("level", LEVELS)
def test_faces_look_outwards(models, level):
    """What a viewer in front sees of the skin are front sides, wound counter-clockwise."""
    model = models[level]
    picture = portrait.render_portrait(model.mean, model.triangles, model.albedo_mean)
    seen = np.unique(picture.triangle_ids[picture.triangle_ids >= 0])
    a, b, c = (picture.corners[seen, corner] for corner in range(3))
    assert (np.cross(b - a, c - a)[:, 2] < 0).mean() > 0.995


def test_origin_and_axes(models):
    """The origin is at the eyes of MakeHuman's average person, 10 mm above those of the mean."""
    model = models[1]
    left, right = (
        model.mean[model.regions == region].mean(0)
        for region in (regions.EYE_LEFT, regions.EYE_RIGHT)
    )
    assert left[0] > 25 > -25 > right[0]
    np.testing.assert_allclose((left + right) / 2, [0, -10, 9], atol=1.0)
    chin, nose = positions(model, model.mean)[[152, 1]]
    assert chin[1] < nose[1] < left[1] < left[2] < nose[2]


def test_identity_strength_falls(models):
    model = models[1]
    measured = np.isin(model.regions, (regions.SKIN, regions.EYE_LEFT, regions.EYE_RIGHT))
    strength = np.linalg.norm(model.identity[:, measured].reshape(200, -1), axis=1)
    assert (np.diff(strength) < 0).all()
    np.testing.assert_allclose(strength[[0, 1, 2]], [256.6, 138.4, 92.6], atol=0.1)


def test_random_people_vary_as_they_should(models, random_faces):
    model = models[1]
    measured = np.isin(model.regions, (regions.SKIN, regions.EYE_LEFT, regions.EYE_RIGHT))
    offsets = (random_faces - model.mean)[:, measured]
    assert np.sqrt((offsets**2).sum(-1).mean()) == pytest.approx(3.94, rel=0.08)
    distances = eyeball_distance(model, random_faces)
    assert distances.mean() == pytest.approx(63.3, abs=0.7)
    assert 2.5 < distances.std() < 4.0
    assert (np.abs(distances - 63) < 4).mean() > 0.7


def test_mean_is_symmetric(models):
    mean = models[1].mean
    distance, _ = cKDTree(mean).query(mean * [-1, 1, 1])
    assert distance.max() < 1.0


def test_expressions_are_independent(models):
    model = models[1]
    assert model.expression_count == 84
    assert sum(name.startswith("arkit/") for name in model.expression_names) == 51
    seen = np.isin(model.regions, (regions.SKIN, regions.EYE_LEFT, regions.EYE_RIGHT))
    moves = model.expression[:, seen].reshape(84, -1)
    moves = moves / np.linalg.norm(moves, axis=1, keepdims=True)
    values = np.linalg.svd(moves.astype(np.float64), compute_uv=False)
    assert (values > 1e-3 * values[0]).sum() == 84


def test_levels_agree(models):
    """Each level's vertices lie near the finest one's, with expressions too."""
    rng = np.random.default_rng(1)
    coefficients = np.concatenate([rng.normal(size=200), rng.uniform(size=84) * 0.2])
    faces = [models[level].vertices(coefficients.astype(np.float32)) for level in LEVELS]
    for level, limit in ((0, 3.0), (1, 1.0)):
        inner = models[level].inner_face
        distance, _ = cKDTree(faces[2]).query(faces[level][inner])
        assert np.quantile(distance, 0.99) < limit


class TestLandmarks:
    @pytest.mark.parametrize("level", LEVELS)
    def test_lie_in_their_triangles(self, models, level):
        weights = models[level].landmark_barycentric
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)

    @pytest.mark.parametrize("level", LEVELS)
    def test_lie_on_skin_and_irises_on_eyes(self, models, level):
        model = models[level]
        labels = model.regions[model.triangles[model.landmark_triangles]]
        assert (labels[:468] == regions.SKIN).all()
        assert (labels[468:473] == regions.EYE_RIGHT).all()
        assert (labels[473:] == regions.EYE_LEFT).all()

    def test_levels_agree(self, models):
        for weights in ({}, {"jawOpen": 0.7}, {"eyeBlinkLeft": 1.0, "mouthSmileLeft": 0.8}):
            places = [
                positions(model, model.vertices(expression(model, **weights)))
                for model in models.values()
            ]
            inner = list(IBUG_68[17:])
            assert np.linalg.norm(places[1] - places[2], axis=1)[inner].max() < 0.5
            assert np.linalg.norm(places[0] - places[2], axis=1)[inner].max() < 1.5

    def test_nose_tip_protrudes_most(self, models, random_faces):
        model = models[1]
        points = positions(model, model.mean)[list(IBUG_68)]
        assert points[:, 2].argmax() == 30
        faces = positions(model, random_faces)[:, list(IBUG_68)]
        tips = faces[..., 2].argmax(1)
        assert (np.isin(tips, (29, 30, 33)).mean()) > 0.95

    def test_are_symmetric_on_the_mean(self, models):
        points = positions(models[2], models[2].mean)
        partner = landmarks.mirror_partners(points)
        known = {33: 263, 61: 291, 133: 362, 234: 454, 70: 300, 78: 308, 468: 473, 1: 1}
        assert all(partner[left] == right for left, right in known.items())
        distance = np.linalg.norm(points - points[partner] * [-1, 1, 1], axis=1)
        assert np.median(distance) < 0.3
        assert distance[list(IBUG_68[17:])].max() < 1.0

    def test_lips_part_when_the_jaw_opens(self, models):
        model = models[1]
        closed, opened = (
            positions(model, model.vertices(expression(model, jawOpen=weight)))
            for weight in (0.0, 0.8)
        )
        upper, lower = 13, 14
        assert np.linalg.norm(closed[upper] - closed[lower]) < 4
        assert opened[upper, 1] - opened[lower, 1] > 15
        inner_upper = np.array(landmarks.UPPER_INNER_LIP)[2:-2]
        inner_lower = np.array(landmarks.LOWER_INNER_LIP)[2:-2]
        assert (opened[inner_upper, 1] - opened[inner_lower, 1] > 8).all()

    def test_lids_meet_when_the_eyes_close(self, models):
        """On the mean face at about 0.7; at 1 the upper lid lies over the lower one."""
        model = models[1]
        opened, nearly, closed = (
            positions(model, model.vertices(expression(model, eyeBlinkLeft=w, eyeBlinkRight=w)))
            for w in (0.0, 0.7, 1.0)
        )
        for upper, lower in ((159, 145), (386, 374)):
            gaps = [points[upper, 1] - points[lower, 1] for points in (opened, nearly, closed)]
            assert gaps[0] > 7
            assert abs(gaps[1]) < 1.5
            assert -6 < gaps[2] < 0


class TestAlbedo:
    def test_mixtures_of_scores_are_colours_of_skin(self, models):
        model = models[1]
        rng = np.random.default_rng(2)
        pairs = rng.integers(len(model.albedo_scores), size=(40, 2))
        share = rng.uniform(size=(40, 1)).astype(np.float32)
        scores = (
            share * model.albedo_scores[pairs[:, 0]]
            + (1 - share) * model.albedo_scores[pairs[:, 1]]
        )
        skin = model.albedo_rgb(scores)[:, model.inner_face].mean(1)
        red, green, blue = skin.T
        assert (red > green).all() and (green > blue * 0.98).all()
        assert 0.15 < skin.mean(1).min() < 0.4 < 0.6 < skin.mean(1).max() < 0.9

    def test_scores_have_unit_deviation(self, models):
        scores = models[1].albedo_scores
        np.testing.assert_allclose(scores.mean(0), 0, atol=0.02)
        np.testing.assert_allclose(scores.std(0), 1, atol=0.02)

    def test_levels_have_the_same_colours(self, models):
        scores = models[1].albedo_scores[7]
        colours = {level: model.albedo_rgb(scores) for level, model in models.items()}
        for level in (0, 2):
            for region in range(len(regions.REGIONS)):
                mean, expected = (
                    colours[k][models[k].regions == region].mean(0) for k in (level, 1)
                )
                np.testing.assert_allclose(mean, expected, atol=0.06)

    def test_eyes_are_white_around_a_dark_pupil(self, models):
        model = models[2]
        eye = np.flatnonzero(model.regions == regions.EYE_LEFT)
        centre = model.mean[eye].mean(0)
        radius = np.linalg.norm((model.mean[eye] - centre)[:, :2], axis=1)
        colours = model.albedo_mean[eye].mean(1)
        assert colours[radius < 1].max() < 0.2
        assert colours[(radius > 7.5) & (radius < 9)].min() > 0.45


@pytest.mark.slow
def test_building_twice_gives_the_same_bytes(tmp_path, models):
    """Downloads the sources; about ten minutes on two cores."""
    from pipeline.build_model import build_model

    files = [tmp_path / f"{turn}.npz" for turn in range(2)]
    reports = [build_model(file, cache_dir=tmp_path / "sources") for file in files]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert reports[0].expression_rank == 84
    assert reports[0].identity_rms_mm == pytest.approx(3.94, abs=0.01)
    assert reports[0].landmark_spread_mm < 2.5
    built = MorphableModel.load(files[0])
    np.testing.assert_allclose(built.mean, models[1].mean, atol=1e-3)
    np.testing.assert_allclose(built.albedo_mean, models[1].albedo_mean, atol=1e-2)
