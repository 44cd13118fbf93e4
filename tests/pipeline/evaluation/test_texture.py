"""Errors of completed textures: known differences, known fillings, one whole run."""

import numpy as np
import pytest

from facemodel.morphable.head import HeadModel
from facemodel.synthesis.effects.photograph import Sensor
from facemodel.texture.skin_model import SkinModel
from pipeline.evaluation import texture
from pipeline.evaluation.texture_truth import TruthRenderer, expose


def test_a_known_difference_is_measured():
    values = np.full((50, 3), 0.5)
    rms, delta_e = texture.difference(values + 10 / 255, values)
    assert rms == pytest.approx(10, abs=1e-3)
    assert 3.5 < delta_e < 4.5
    assert texture.difference(values, values) == (0, 0)


def test_the_camera_does_what_the_recipe_says():
    sensor = Sensor(
        gamma=np.array([2.0]), gain=np.array([0.5]), offset=np.array([0.1]),
        white=np.array([[2.0, 1.0, 1.0]]), grain_sd=None, grain=None,
    )  # fmt: skip
    np.testing.assert_allclose(expose(np.array([[0.2, 0.4, 0.9]]), sensor), [[0.18, 0.18, 0.505]])


def test_baselines_fill_what_is_hidden(default_model):
    """One half of the face is seen, red; the model's mean has its own tone."""
    head = HeadModel.load()
    mesh = head.mesh(1)
    skin = SkinModel.from_head(mesh, mesh.operator @ head.mean, default_model)
    places = skin.atlas(64).from_vertices @ skin.positions
    face = skin.atlas(64).from_vertices @ skin.core > 0.3
    seen = places[:, 0] > 0
    colours = np.where(seen[:, None], (0.8, 0.1, 0.1), 0.0)
    filled = texture.Baselines(skin, 64, face).fill(colours, seen)
    hidden = face & (places[:, 0] < -4)
    np.testing.assert_allclose(filled[texture.NEAREST][hidden], np.tile((0.8, 0.1, 0.1),
                               (hidden.sum(), 1)))  # fmt: skip
    same = np.abs(filled[texture.MIRRORED][hidden] - (0.8, 0.1, 0.1)).max(1) < 1e-6
    assert same.mean() > 0.9
    np.testing.assert_allclose(filled[texture.MEAN][seen & face].mean(0), (0.8, 0.1, 0.1),
                               atol=0.02)  # fmt: skip


@pytest.mark.slow
def test_completion_beats_all_baselines_under_the_photos_light():
    faces = list(texture.evaluate(count=5, seed=3, size=256))
    rows = texture.summarise(faces)
    result = texture.TextureEvaluation(rows, len(faces), 3, 256)
    for yaw in texture.YAWS_DEG:
        own = result.row(texture.LIT, yaw, texture.COMPLETED)
        others = (texture.MEAN, texture.MIRRORED, texture.NEAREST)
        assert own.rms < min(result.row(texture.LIT, yaw, name).rms for name in others)


@pytest.mark.slow
def test_ground_truth_agrees_with_its_photo(default_model):
    """Where the photo shows plain skin, its median is that of the lit texture."""
    renderer = TruthRenderer(default_model, HeadModel.load(), size=256)
    truth = renderer.render(1, 0, yaw_deg=20.0)
    camera = truth.vertices @ truth.pose.rotation.T
    pixels = camera[:, :2] * (truth.pose.scale, -truth.pose.scale) + truth.pose.translation
    at = (renderer.atlas.from_vertices @ pixels)[truth.shown].astype(int)
    inside = ((at >= 0) & (at < truth.photo.shape[0])).all(1)
    seen = truth.photo[at[inside, 1], at[inside, 0]] / 255.0
    ratio = seen.mean(-1) / np.maximum(truth.lit[truth.shown][inside].mean(-1), 0.02)
    assert 0.75 < np.median(ratio) < 1.3
