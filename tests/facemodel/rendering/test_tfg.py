"""tensorflow-graphics' photo and the one in keras.ops are the same picture."""

import numpy as np
import pytest

from facemodel.rendering import lighting, tfg
from facemodel.rendering import shading as renderer
from facemodel.synthesis import scenes
from facemodel.synthesis.distributions import Range
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.streams import PhiloxStreams


def random_light(rng, count):
    direction = rng.normal(size=(count, 3)) * [0.7, 0.6, 0.3] + [0, 0, 0.8]
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    ranges = ((0.2, 0.8), (0.3, 1.1), (0.0, 0.3))
    strengths = (rng.uniform(*limits, count).astype(np.float32) for limits in ranges)
    return renderer.Light(*strengths, direction.astype(np.float32))


@pytest.mark.parametrize("name", ["tiny", "default"])
@pytest.mark.parametrize("distance_mm", [None, 400.0])
def test_both_renderers_give_the_same_photo(name, distance_mm, request, random_faces):
    model = request.getfixturevalue(f"{name}_model")
    surface = request.getfixturevalue(f"{name}_geometry").fine
    inverse = None if distance_mm is None else np.full(2, 1 / distance_mm, np.float32)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        vertices, pose = random_faces(model, 2, seed=seed, size=120, angles=(0.5, 0.2, 0.2))
        albedo = model.albedo_rgb(
            model.albedo_scores[rng.integers(len(model.albedo_scores), size=2)]
        )
        scene = surface, vertices, albedo, pose, random_light(rng, 2)
        view = {"height": 130, "width": 120, "inverse_distance": inverse}
        ours, our_mask = renderer.render_photo(*scene, **view)
        theirs, their_mask = tfg.render_photo_tfg(*scene, **view)
        np.testing.assert_array_equal(our_mask, their_mask)
        face = np.asarray(our_mask) > 0
        assert face.mean() > 0.2
        close = np.abs(np.asarray(ours) - np.asarray(theirs)).max(-1) <= 2 / 255
        assert close.mean() >= 0.99 and close[face].mean() >= 0.99


def test_both_renderers_agree_on_surroundings_and_shadows(
    default_model, default_geometry, random_faces
):
    rng = np.random.default_rng(5)
    vertices, pose = random_faces(default_model, 2, seed=5, size=120, angles=(0.5, 0.2, 0.2))
    albedo = default_model.albedo_rgb(default_model.albedo_scores[:2])
    light = random_light(rng, 2)
    config = SynthesisConfig.paper(environment=Range(0.3, 0.3))
    toward = np.einsum("bij,bi->bj", pose.rotation, light.direction).astype(np.float32)
    extras = {
        "environment": scenes.sample_environment(config, PhiloxStreams(1, range(2))),
        "lit": lighting.light_visibility(
            vertices, default_geometry.centre, toward, np.float32([0.9, 0.9])
        ),
    }
    scene = default_geometry.fine, vertices, albedo, pose, light
    for names in (("environment",), ("lit",), ("environment", "lit")):
        view = {"height": 120, "width": 120, **{name: extras[name] for name in names}}
        ours, theirs = (
            np.asarray(render(*scene, **view)[0])
            for render in (renderer.render_photo, tfg.render_photo_tfg)
        )
        plain = np.asarray(renderer.render_photo(*scene, height=120, width=120)[0])
        face = plain.max(-1) > 0
        assert np.abs(ours - plain)[face].max() > 0.1
        assert (np.abs(ours - theirs).max(-1) <= 2 / 255)[face].mean() >= 0.99


def test_spherical_harmonics_are_those_of_tensorflow_graphics():
    rng = np.random.default_rng(2)
    normals = rng.normal(size=(200, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    degree, order = tfg.spherical_harmonics.generate_l_m_permutations(2)
    degree, order = (np.tile(part, (200, 1)) for part in (degree, order))
    polar, around = np.arccos(normals[:, 2:]), np.arctan2(normals[:, 1:2], normals[:, :1])
    expected = tfg.spherical_harmonics.evaluate_spherical_harmonics(
        degree, order, polar, around % (2 * np.pi)
    )
    ours = lighting.harmonics(normals.astype(np.float32))
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_light_of_strength_one_shows_the_albedo(tiny_model, tiny_geometry, random_faces):
    """The convention where the two renderers meet: no 1 / pi, no normalisation of the highlight."""
    vertices, pose = random_faces(tiny_model, 1, seed=0, size=60, angles=(0.0, 0.0, 0.0))
    albedo = np.full_like(vertices, 0.4)
    ahead = np.float32([[0, 0, 1]])
    strengths = (np.float32([value]) for value in (0.0, 1.0, 0.3))
    light = renderer.Light(*strengths, ahead)
    rgb, mask = tfg.render_photo_tfg(
        tiny_geometry.fine, vertices, albedo, pose, light, height=60, width=60
    )
    shading, _ = renderer.render_shading(tiny_geometry.fine, vertices, pose, size=60)
    facing = np.asarray(shading)[0]
    expected = 0.4 * facing + 0.3 * np.clip(2 * facing**2 - 1, 0, 1) ** 10
    assert facing.max() > 0.9
    np.testing.assert_allclose(np.asarray(rgb)[0].max(-1), expected, atol=2e-3)
    assert not np.asarray(rgb)[0][np.asarray(mask)[0] == 0].any()
