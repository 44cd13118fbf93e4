"""Light from colours of known albedo, and where nothing is known of it."""

import numpy as np
import pytest
from keras import ops

from facemodel.rendering import lighting
from facemodel.texture import light


@pytest.fixture(scope="module")
def normals():
    directions = np.random.default_rng(0).normal(size=(1500, 3))
    directions[:, 2] = np.abs(directions[:, 2])
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def test_the_nine_functions_span_the_renderers_harmonics(normals):
    ours = light.harmonics(normals)
    theirs = np.asarray(lighting.harmonics(ops.convert_to_tensor(normals)))
    _, residual, rank, _ = np.linalg.lstsq(ours, theirs, rcond=None)
    assert rank == 9
    np.testing.assert_allclose(residual, 0, atol=1e-8)


def test_known_light_is_found(normals):
    rng = np.random.default_rng(1)
    truth = np.zeros((9, 3))
    truth[:4] = np.array([0.8, 0.2, 0.3, -0.25])[:, None] * (1.05, 1.0, 0.95)
    albedo = rng.uniform(0.3, 0.8, (len(normals), 3))
    shapes = light.harmonics(normals)
    found = light.fit_light(albedo * (shapes @ truth), albedo, shapes, np.full(len(normals), 1e4))
    np.testing.assert_allclose(shapes @ found, shapes @ truth, atol=0.01)


def test_light_on_hidden_parts_stays_in_the_range_that_was_seen(normals):
    coefficients = np.zeros((9, 3))
    coefficients[0], coefficients[3] = 0.6, 0.6
    seen = (normals[:, 0] > -0.2).astype(float)
    result = light.light_on(light.harmonics(normals), coefficients, seen)
    known = result[seen > 0.5].mean(-1)
    hidden = result[seen == 0].mean(-1)
    assert hidden.min() >= 0.29 * np.median(known)
    assert hidden.max() <= known.max() * 1.01
    raw = light.harmonics(normals) @ coefficients
    np.testing.assert_allclose(result[seen > 0.5], np.maximum(raw, 0.25 * np.median(known))[
        seen > 0.5], rtol=0.02)  # fmt: skip
