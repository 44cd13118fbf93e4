"""Surrounding light and the shadows of a face on itself."""

import numpy as np
import pytest

from facemodel.rendering import lighting
from facemodel.synthesis import scenes
from facemodel.synthesis.distributions import Range
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.streams import PhiloxStreams


def test_irradiance_is_one_in_the_mean():
    config = SynthesisConfig.paper(environment=Range(0.2, 0.2))
    drawn = np.asarray(scenes.sample_environment(config, PhiloxStreams(0, range(300))))
    normals = np.random.default_rng(0).normal(size=(1, 500, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    found = np.asarray(lighting.irradiance(drawn, np.repeat(normals, 300, 0)))
    np.testing.assert_allclose(found.mean(), 1, atol=0.03)
    assert 0.1 < found.std() < 0.4
    assert found.min() >= 0


def wall(height_mm):
    """A flat field of points with a ridge of that height along x = 0."""
    x, y = np.meshgrid(np.arange(-90, 91, 3.0), np.arange(-120, 121, 3.0))
    z = np.where(np.abs(x) < 4, height_mm, 0.0)
    return np.stack([x, y, z], -1).reshape(1, -1, 3).astype(np.float32)


@pytest.mark.parametrize("side", [-1, 1])
def test_a_ridge_shades_the_side_away_from_the_light(side):
    points = wall(25.0)
    toward = np.float32([[side * np.sqrt(0.5), 0, np.sqrt(0.5)]])
    middle = np.zeros(3, np.float32)
    lit = np.asarray(lighting.light_visibility(points, middle, toward, np.float32([0.8])))[0]
    x, y = points[0, :, 0] * side, np.abs(points[0, :, 1])
    inner = y < 90
    np.testing.assert_allclose(lit[inner & (x < -8) & (x > -14)], 0.2, atol=0.1)
    np.testing.assert_allclose(lit[inner & (np.abs(x) > 45)], 1, atol=1e-3)
    np.testing.assert_allclose(lit[inner & (x > 10)], 1, atol=1e-3)


def test_light_from_ahead_and_flat_ground_have_no_shadows():
    middle, strength = np.zeros(3, np.float32), np.float32([1.0])
    for points, toward in ((wall(25.0), [0, 0, 1]), (wall(0.0), [0.8, 0, 0.6])):
        lit = lighting.light_visibility(points, middle, np.float32([toward]), strength)
        np.testing.assert_allclose(lit, 1, atol=1e-3)
