"""The evaluation: the same faces whatever the batches, errors that direct computation confirms."""

import json

import numpy as np
import pytest

from facemodel.evaluation import metrics
from facemodel.morphable.geometry import FaceGeometry
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.landmarks import INNER_51
from facemodel.morphable.model import MorphableModel
from facemodel.network.regressor import IterativeRegressor, build_network
from facemodel.synthesis import slices
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.samples import scene_features
from facemodel.synthesis.scenes import SceneModel, sample_scene
from facemodel.synthesis.streams import PhiloxStreams
from pipeline.evaluation import breakdown, error_table
from pipeline.evaluation import held_out as evaluation

MODEL = MorphableModel.tiny()
NOISE = LandmarkNoise.isotropic(1.0)


@pytest.fixture(scope="module")
def untrained():
    """The loop whose network corrects nothing, since its last layer is zero."""
    network = build_network(MODEL.coefficient_count)
    return IterativeRegressor(FaceGeometry.create(MODEL), network, iterations=1)


@pytest.fixture(scope="module")
def errors(untrained):
    batches = evaluation.evaluate(
        MODEL, untrained, NOISE, count=5, batch_size=3, size=64, recipe="paper"
    )
    return evaluation.means([face for batch in batches for face in batch])


def held_out(count):
    config = SynthesisConfig.paper()
    rng = PhiloxStreams(evaluation.HELD_OUT_SEED, range(count))
    inner = NOISE.select(INNER_51)
    return evaluation.sample_held_out(SceneModel.create(MODEL), config, rng, inner, size=64)


def test_exact_landmarks_lie_in_the_same_crop_as_detected_ones():
    batch = held_out(64)
    difference = np.asarray(batch.landmarks) - np.asarray(batch.landmarks_exact)
    sigma = np.asarray(batch.sigma_px)[:, None, None]
    assert abs((difference / sigma).std() - 1.0) < 0.05
    assert abs((difference / sigma).mean()) < 0.05


def test_an_untrained_loop_stays_where_it_starts(errors):
    for k in range(2):
        np.testing.assert_allclose(
            errors[evaluation.FROM_ZERO.format(k)], errors[evaluation.MEAN_FACE]
        )
        np.testing.assert_allclose(
            errors[evaluation.FROM_FIT.format(k)], errors[evaluation.FIT_NOISY]
        )


def test_the_mean_faces_error_is_that_of_its_vertices(errors):
    rng = PhiloxStreams(evaluation.HELD_OUT_SEED, range(5))
    scenes = SceneModel.create(MODEL)
    config = SynthesisConfig.paper()
    inner = NOISE.select(INNER_51)
    truth = evaluation.sample_held_out(scenes, config, rng, inner, size=64).coefficients
    faces = MODEL.vertices(np.asarray(truth))[:, MODEL.inner_face]
    mean = np.broadcast_to(MODEL.mean[MODEL.inner_face], faces.shape)
    direct = metrics.vertex_error_mm(mean, faces)
    np.testing.assert_allclose(errors[evaluation.MEAN_FACE], direct, rtol=1e-4)


def test_faces_do_not_depend_on_the_batches(errors, untrained):
    batches = evaluation.evaluate(
        MODEL, untrained, NOISE, count=5, batch_size=2, size=64, recipe="paper"
    )
    faces = [face for batch in batches for face in batch]
    for method, values in evaluation.means(faces).items():
        assert values.shape == (5,)
        np.testing.assert_allclose(values, errors[method], atol=2e-3)


def test_exact_landmarks_fit_better_than_noisy_ones(errors):
    assert errors[evaluation.FIT_EXACT].mean() < errors[evaluation.FIT_NOISY].mean()
    assert errors[evaluation.FIT_EXACT].mean() < errors[evaluation.MEAN_FACE].mean()


def test_the_table_survives_json(errors, tmp_path):
    rows = error_table.summarise(errors)
    table = error_table.Evaluation(rows, (), 5, 1, "lifelike", "tiny", "none")
    table.write_json(tmp_path / "errors.json")
    read = json.loads((tmp_path / "errors.json").read_text())
    assert [row["method"] for row in read["rows"]] == list(errors)
    expected = errors[evaluation.MEAN_FACE]
    assert table.row(evaluation.MEAN_FACE).mean_mm == pytest.approx(expected.mean())
    assert read["rows"][0]["worst_mm"] == pytest.approx(expected.max())
    assert [path.name for path in tmp_path.iterdir()] == ["errors.json"]
    with pytest.raises(KeyError, match="mean face"):
        table.row("another")


def test_groups_are_those_of_the_faces(untrained):
    batches = evaluation.evaluate(
        MODEL, untrained, NOISE, count=5, batch_size=3, size=64, recipe="lifelike"
    )
    faces = [face for batch in batches for face in batch]
    model, config = SceneModel.create(MODEL), SynthesisConfig.lifelike()
    scene = sample_scene(model, config, PhiloxStreams(evaluation.HELD_OUT_SEED, range(5)))
    bins = scene_features(model, scene)
    for kind, name in (("yaw", "slice/yaw_bin"), ("skin tone", "slice/skin_tone_bin")):
        expected = [slices.BIN_NAMES[name][number] for number in np.asarray(bins[name])]
        assert [face.groups[kind] for face in faces] == expected
    of_yaw = next(
        table
        for table in breakdown.by_group(faces, [evaluation.MEAN_FACE], evaluation.ORDERS)
        if table.title.startswith("By yaw")
    )
    numbers = [evaluation.ORDERS["yaw"].index(name) for name, _ in of_yaw.rows]
    assert numbers == sorted(numbers) and sum(values[0] for _, values in of_yaw.rows) == 5
    total = sum(values[0] * values[2] for _, values in of_yaw.rows) / 5
    assert total == pytest.approx(evaluation.means(faces)[evaluation.MEAN_FACE].mean())


def test_no_faces_is_an_error(untrained):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        next(evaluation.evaluate(MODEL, untrained, NOISE, count=0))
