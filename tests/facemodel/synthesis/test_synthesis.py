"""Synthetic scenes: statistics, repeatability, exact labels, one code for records and training."""

import dataclasses
import os
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from facemodel import camera, transforms
from facemodel.config import ConfigError
from facemodel.morphable import landmarks
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis import detector, expressions, photos, slices
from facemodel.synthesis.distributions import Normal, Range
from facemodel.synthesis.online import online_batch
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.samples import aligned_indices, make_samples, plan_streams
from facemodel.synthesis.scenes import SceneModel, sample_scene
from facemodel.synthesis.streams import DeviceStreams, PhiloxStreams, TableStreams

TINY = MorphableModel.tiny()
UNITS = (
    "arkit/jawOpen",
    "arkit/mouthClose",
    "arkit/mouthSmileLeft",
    "arkit/mouthSmileRight",
    "arkit/browDownLeft",
    "arkit/browDownRight",
    "unit/eye-left-closure",
    "unit/mouth-open",
)
SMALL = {"image_size": 64, "relative_scale": Normal(0.3, 0.02, 0.25, 0.35)}
NOISE = LandmarkNoise.isotropic(1.0)


@pytest.fixture(scope="module")
def model():
    return SceneModel.create(TINY)


@pytest.fixture(scope="module", params=["paper", "lifelike"])
def config(request):
    return SynthesisConfig.named(request.param, **SMALL)


def numpy_tree(value):
    """Flattens nested tuples of tensors to arrays."""
    if isinstance(value, tuple):
        return [array for part in value for array in numpy_tree(part)]
    return [] if value is None else [np.asarray(value)]


def test_sample_i_depends_on_seed_and_i_only(model, config):
    together = numpy_tree(sample_scene(model, config, PhiloxStreams(5, range(6))))
    alone = numpy_tree(sample_scene(model, config, PhiloxStreams(5, [4])))
    other = numpy_tree(sample_scene(model, config, PhiloxStreams(6, [4])))
    for many, one in zip(together, alone):
        np.testing.assert_allclose(many[4], one[0], atol=1e-5)
    assert not np.allclose(alone[0], other[0])


def test_noise_streams_are_independent_and_repeatable():
    rng = PhiloxStreams(1, [3, 4])
    first, again = np.asarray(rng.normal("a", (1000,))), np.asarray(rng.normal("a", (1000,)))
    np.testing.assert_array_equal(first, again)
    for other in (first[1], np.asarray(rng.normal("b", (1000,)))[0]):
        assert abs(np.corrcoef(first[0], other)[0, 1]) < 0.1
    assert np.asarray(rng.uniform("c", (2, 5))).shape == (2, 2, 5)


def test_numbers_drawn_beforehand_are_those_that_a_function_would_draw(model, config):
    plan = plan_streams(model, config, NOISE)
    table = plan.draw(PhiloxStreams(5, range(3)))
    ready = numpy_tree(sample_scene(model, config, TableStreams(table)))
    for one, other in zip(
        ready, numpy_tree(sample_scene(model, config, PhiloxStreams(5, range(3))))
    ):
        np.testing.assert_array_equal(one, other)


def test_streams_are_those_of_a_fresh_counter_based_generator():
    rng = PhiloxStreams(5, [2, 9])
    rng.uniform("before", (3,))
    stream = zlib.crc32(b"name")
    bits = np.random.Philox(key=[5, 9], counter=[0, 0, 0, stream])
    expected = np.random.Generator(bits).random((7,), np.float32)
    np.testing.assert_array_equal(np.asarray(rng.uniform("name", (7,)))[1], expected)


def test_rough_noise_is_normal():
    values = np.asarray(PhiloxStreams(0, [0, 1]).rough_normal("grain", (100, 100)))
    assert values.shape == (2, 100, 100)
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02
    assert abs((np.abs(values) < 1).mean() - 0.683) < 0.01
    assert abs(np.corrcoef(values[0].ravel(), values[1].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_noise_refuses_seeds_out_of_range(seed):
    with pytest.raises(ValueError, match="2\\^63"):
        PhiloxStreams(seed, [0])


def test_device_noise_repeats_by_seed_and_name():
    step = ops.convert_to_tensor(np.array([7, 1], np.uint32))
    first, again = (np.asarray(DeviceStreams(step, 3).uniform("a", (4,))) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    next_step = ops.convert_to_tensor(np.array([7, 2], np.uint32))
    for other in (
        DeviceStreams(next_step, 3).uniform("a", (4,)),
        DeviceStreams(step, 3).uniform("b", (4,)),
    ):
        assert not np.allclose(first, other)


def test_poses_are_normal_around_a_frontal_centred_face(model, config):
    scene = sample_scene(model, config, PhiloxStreams(0, range(600)))
    rotation = np.asarray(scene.pose.rotation)
    yaw = np.asarray(slices.yaw_deg(rotation))
    pitch = np.rad2deg(np.arcsin(rotation[:, 2, 1]))
    for angle, drawn in ((config.yaw_deg, yaw), (config.pitch_deg, pitch)):
        np.testing.assert_allclose(drawn.mean(), 0, atol=0.15 * angle.sd)
        np.testing.assert_allclose(drawn.std(), angle.sd, rtol=0.1)
        assert drawn.max() <= angle.high + 0.01
    centre = np.broadcast_to(np.asarray(model.geometry.centre), (600, 1, 3))
    middle = np.asarray(camera.project(centre, scene.pose))[:, 0, :2]
    np.testing.assert_allclose(middle.mean(0), config.image_size / 2, atol=0.3)
    scale = np.asarray(scene.pose.scale)
    shift_mm = (middle - config.image_size / 2) / scale[:, None]
    np.testing.assert_allclose(shift_mm.std(0), config.shift_mm.sd, rtol=0.1)
    np.testing.assert_allclose(scale.mean(), 0.3 * camera.CROP_SCALE, rtol=0.01)


def test_coefficients_and_light_follow_the_recipe(model, config):
    scene = sample_scene(model, config, PhiloxStreams(0, range(600)))
    identity, weights = np.split(np.asarray(scene.coefficients), [TINY.identity_count], axis=1)
    np.testing.assert_allclose(identity.mean(0), 0, atol=0.15)
    np.testing.assert_allclose(identity.std(0), 1, atol=0.1)
    assert weights.min() >= 0
    assert weights.max() <= 1
    if config.neutral_fraction:
        neutral = (weights.sum(1) == 0).mean()
        assert config.neutral_fraction - 0.05 < neutral < config.neutral_fraction + 0.15
    direction = np.asarray(scene.light.direction)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=1), 1, atol=1e-5)
    lowest = np.cos(np.deg2rad(config.light_angle_deg.high))
    assert direction[:, 2].min() >= lowest - 1e-5
    np.testing.assert_allclose(direction.mean(0), [0, 0, (1 + lowest) / 2], atol=0.08)
    for kind in ("ambient", "diffuse", "specular"):
        drawn, wanted = np.asarray(getattr(scene.light, kind)), getattr(config, kind)
        assert wanted.low - 1e-6 <= drawn.min() <= drawn.max() <= wanted.high + 1e-6
        np.testing.assert_allclose(drawn.mean(), wanted.mean, atol=0.03)


def test_mixed_albedo_stays_near_the_stored_textures(model):
    config = SynthesisConfig.lifelike(albedo_jitter=0.0, **SMALL)
    scene = sample_scene(model, config, PhiloxStreams(0, range(20)))
    first = np.repeat(TINY.albedo_scores, len(TINY.albedo_scores), 0)
    step = np.tile(TINY.albedo_scores, (len(TINY.albedo_scores), 1)) - first
    length = np.maximum((step**2).sum(1), 1e-9)
    for row in np.asarray(scene.albedo_coefficients):
        share = np.clip(((row - first) * step).sum(1) / length, 0, 1)
        nearest = first + share[:, None] * step
        assert np.abs(nearest - row).max(1).min() < 1e-4


def test_principal_components_are_taken_to_both_sides():
    names = ("pca/000", "arkit/jawOpen", "pca/001", "arkit/browInnerUp")
    units = expressions.ExpressionUnits.from_names(names)
    for config in (SynthesisConfig.paper(), SynthesisConfig.lifelike()):
        rng = PhiloxStreams(0, range(400))
        weights = np.asarray(expressions.sample_expression(units, config, rng))
        assert np.abs(weights).max() <= 1
        assert (weights[:, [1, 3]] >= 0).all()
        signs = np.sign(weights[:, [0, 2]])
        assert (signs != 0).sum() > 100 and abs(signs[signs != 0].mean()) < 0.2


@pytest.mark.parametrize("recipe", ["paper", "lifelike", "varied"])
def test_lips_never_close_further_than_the_jaw_is_open(recipe):
    units = expressions.ExpressionUnits.from_names(UNITS)
    config = SynthesisConfig.named(recipe)
    weights = np.asarray(expressions.sample_expression(units, config, PhiloxStreams(0, range(500))))
    jaw, close = (
        weights[:, UNITS.index("arkit/jawOpen")],
        weights[:, UNITS.index("arkit/mouthClose")],
    )
    assert (close <= jaw).all()
    assert (close > 0.05).sum() > 20
    assert (jaw > 0.3).sum() > 50


def test_natural_expressions_move_both_sides_and_keep_the_mouth_within_limits():
    units = expressions.ExpressionUnits.from_names(UNITS)
    assert units.group[2] == units.group[3] != units.group[4] == units.group[5]
    weights = np.asarray(
        expressions.sample_expression(
            units, SynthesisConfig.lifelike(), PhiloxStreams(1, range(800))
        )
    )
    left, right = weights[:, 2], weights[:, 3]
    both = ((left > 0) & (right > 0)).sum() / ((left > 0) | (right > 0)).sum()
    assert 0.6 < both < 0.9
    assert (weights * units.mouth).sum(1).max() <= 1.6 + 1e-5


def test_landmarks_lie_on_the_rendered_face(model, config):
    scene = sample_scene(model, config, PhiloxStreams(2, range(4)))
    rendering = photos.render_scene(model, scene, size=config.image_size)
    assert ops.shape(rendering.image) == (4, 64, 64, 3)
    points = TINY.vertices(np.asarray(scene.coefficients))
    index = np.asarray(landmarks.INNER_51)
    at = (TINY.triangles, TINY.landmark_triangles[index], TINY.landmark_barycentric[index])
    expected = camera.project(
        landmarks.embedded_points(points, *at), scene.pose, inverse_distance=scene.inverse_distance
    )[..., :2]
    inner = np.asarray(rendering.landmarks)[:, index]
    np.testing.assert_allclose(inner, expected, atol=1e-3)
    mask, image = np.asarray(rendering.mask), np.asarray(rendering.image)
    column, row = np.clip(inner.astype(int), 0, 63).transpose(2, 0, 1)
    assert mask[np.arange(4)[:, None], row, column].mean() > 0.9
    assert image.min() >= 0
    assert image.max() <= 1
    assert (np.asarray(rendering.image)[mask == 0]).std() > 0.02  # a background, not black


def test_the_grey_rendering_is_nearly_the_luma_of_the_coloured_one(model):
    config = SynthesisConfig.paper(**SMALL)
    scene = sample_scene(model, config, PhiloxStreams(3, range(4)))
    coloured = photos.render_scene(model, scene, size=64)
    grey = photos.render_scene(model, scene, size=64, grey=True)
    on_face = np.asarray(coloured.mask) > 0
    difference = np.asarray(coloured.image) @ [0.299, 0.587, 0.114] - np.asarray(grey.image)[..., 0]
    assert np.abs(difference[on_face]).mean() < 0.01


def test_online_batches_show_the_crop_that_serving_would_cut_out(model):
    """Draws the same scenes as whole pictures, detects and crops as serving does, and compares."""
    from facemodel.fitting.alignment import crop_around
    from facemodel.fitting.crop import grey_crop

    config = SynthesisConfig.paper(image_size=256)
    rng = PhiloxStreams(9, range(3))
    inner = NOISE.select(landmarks.INNER_51)
    online = online_batch(model, config, rng, inner, size=200)
    scene = sample_scene(model, config, rng)
    rendering = photos.render_scene(model, scene, size=256)
    true = np.asarray(rendering.landmarks)[:, np.asarray(landmarks.INNER_51)]
    detected, sigma_px = detector.simulate_detection(true, scene.pose.scale, config, rng, inner)
    crop_from_image = crop_around(model.geometry, detected)
    expected = transforms.apply_similarity(crop_from_image, detected)
    np.testing.assert_allclose(online.landmarks, expected, atol=0.02)
    zoom = np.asarray(transforms.similarity_scale(crop_from_image))
    np.testing.assert_allclose(online.sigma_px, np.asarray(sigma_px) * zoom, rtol=1e-3)
    cropped = np.asarray(grey_crop(np.asarray(rendering.image), crop_from_image))
    inside = (
        np.asarray(
            grey_crop(np.repeat(np.asarray(rendering.mask)[..., None], 3, -1), crop_from_image)
        )
        == 1
    )
    difference = np.abs(cropped - np.asarray(online.grey))[inside]
    assert difference.mean() < 0.02
    assert np.quantile(difference, 0.99) < 0.1


def test_detected_landmarks_have_the_stated_error(model, config):
    scene = sample_scene(model, config, PhiloxStreams(4, range(50)))
    true = np.zeros((50, 478, 2), np.float32)
    detected, sigma_px = detector.simulate_detection(
        true, scene.pose.scale, config, PhiloxStreams(4, range(50)), NOISE
    )
    np.testing.assert_allclose(np.asarray(detected).std((1, 2)), sigma_px, rtol=0.12)
    ratio = np.asarray(sigma_px) / np.asarray(scene.pose.scale)
    assert config.landmark_noise.low <= ratio.min() <= ratio.max() <= config.landmark_noise.high


def test_online_batches_compile_with_device_noise(model):
    config = SynthesisConfig.lifelike(image_size=256)
    inner = NOISE.select(landmarks.INNER_51)

    @tf.function(autograph=False)
    def step(seed):
        return online_batch(model, config, DeviceStreams(seed, 2), inner, size=48)

    first, again, other = (step(tf.constant([3, k], tf.uint32)) for k in (1, 1, 2))
    np.testing.assert_allclose(first.grey, again.grey, atol=1e-6)
    assert np.abs(first.grey - other.grey).mean() > 0.02
    assert first.grey.shape == (2, 48, 48)
    assert np.isfinite(first.grey).all()


def test_samples_name_their_slices(model, config):
    samples = make_samples(
        model, config, NOISE, seed=3, indices=aligned_indices(1),
        render=lambda scene: photos.render_scene(model, scene, size=64),
    )  # fmt: skip
    assert [sample["sample/index"] for sample in samples] == list(range(8, 16))
    for sample in samples:
        rotation = sample["pose/rotation"]
        yaw = np.rad2deg(np.arctan2(-rotation[2, 0], rotation[2, 2]))
        assert sample["slice/yaw_bin"] == np.searchsorted(slices.YAW_EDGES_DEG, yaw, side="right")
        assert 0 <= sample["slice/skin_tone_bin"] <= 5
        assert sample["image"].dtype == np.uint8


def test_typology_angles_order_skin_from_dark_to_light():
    skins = np.array([[0.25, 0.16, 0.12], [0.55, 0.4, 0.3], [0.78, 0.6, 0.48], [0.93, 0.8, 0.72]])
    angles = np.asarray(slices.typology_angle_deg(skins.astype(np.float32)))
    assert (np.diff(angles) > 0).all()
    assert angles[0] < -30
    assert angles[-1] > 41


def test_configs_survive_json_and_reject_unknown_fields():
    for config in (SynthesisConfig.paper(), SynthesisConfig.lifelike(image_size=128)):
        assert SynthesisConfig.from_json(config.to_json()) == config
    with pytest.raises(ConfigError, match="glasses"):
        SynthesisConfig.from_json('{"glasses": 1}')
    with pytest.raises(ConfigError, match="recipe: should be one of paper, lifelike, varied"):
        SynthesisConfig.named("cartoon")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": -1}, "image_size"),
        ({"image_size": 2.5}, "image_size: should be int"),
        ({"blur": Range(0.9, 0.1)}, "blur: low 0.9 is above high 0.1"),
        ({"yaw_deg": Normal(0.0, -1.0, -5.0, 5.0)}, "yaw_deg: sd"),
        ({"yaw_deg": Normal(0.0, 1.0, -95.0, 5.0)}, "yaw_deg: should lie in"),
        ({"hair_fraction": 1.5}, "hair_fraction: should lie in"),
        ({"gain": Range(float("nan"), 1.0)}, "gain: should hold finite"),
        ({"gamma": (0.5, 1.0)}, "gamma: should be a Range"),
    ],
)
def test_impossible_configs_are_an_error_that_names_the_field(changes, message):
    with pytest.raises(ConfigError, match=message):
        SynthesisConfig.paper(**changes)


def test_paper_recipe_has_no_effects_and_no_perspective(model):
    scene = sample_scene(model, SynthesisConfig.paper(), PhiloxStreams(0, [0]))
    assert scene.effects.hair is scene.effects.occluder is scene.effects.sensor.grain is None
    assert scene.effects.blotches == ()
    assert not np.asarray(scene.inverse_distance).any()
    assert dataclasses.asdict(SynthesisConfig.lifelike())["recipe"] == "lifelike"


RENDER = """
import sys, keras, numpy as np
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis.distributions import Normal
from facemodel.synthesis.streams import PhiloxStreams
from facemodel.synthesis.online import online_batch
from facemodel.synthesis.photos import render_scene
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import SceneModel, sample_scene
model = SceneModel.create(MorphableModel.tiny())
config = SynthesisConfig.lifelike(image_size=64, relative_scale=Normal(0.3, 0.02, 0.25, 0.35))
rng = PhiloxStreams(11, range(4))
measured = LandmarkNoise.isotropic(1.0, count=51)

def draw():
    rendering = render_scene(model, sample_scene(model, config, rng), size=64)
    online = online_batch(model, config, rng, measured, size=64)
    return {**rendering._asdict(), **online._asdict()}

if keras.backend.backend() == "jax":
    import jax
    draw = jax.jit(draw)
np.savez(sys.argv[1], **{name: np.asarray(value) for name, value in draw().items()})
"""


@pytest.mark.slow
def test_tensorflow_and_jax_draw_the_same_pictures(tmp_path):
    paths = {backend: tmp_path / f"{backend}.npz" for backend in ("tensorflow", "jax")}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RENDER, str(path)],
            env={**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        )
        for backend, path in paths.items()
    ]
    assert [process.wait() for process in processes] == [0, 0]
    tensorflow, jax = (np.load(path) for path in paths.values())
    for name in ("landmarks", "coefficients", "sigma_px"):
        np.testing.assert_allclose(jax[name], tensorflow[name], atol=5e-3)
    for name in ("image", "grey", "mask"):
        assert (np.abs(jax[name] - tensorflow[name]) < 2 / 255).mean() > 0.995
