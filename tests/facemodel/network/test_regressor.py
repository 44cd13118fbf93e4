"""The network of figure 4, the loop around it, and the loss's gradient."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from facemodel.camera import Pose, project
from facemodel.morphable.geometry import decode, decode_landmarks
from facemodel.network import losses
from facemodel.network.regressor import IterativeRegressor, build_network, loop_image
from facemodel.rendering.shading import render_shading

SIZE = 40


@pytest.fixture
def network(tiny_model):
    """A network whose last layer is not zero."""
    keras.utils.set_random_seed(1)
    network = build_network(tiny_model.coefficient_count)
    kernel = network.layers[-1].kernel
    kernel.assign(0.02 * np.random.default_rng(0).normal(size=kernel.shape))
    return network


def loop_inputs(model, geometry, count=2, seed=0):
    """A crop, landmarks and a start for each of some faces that look at the viewer."""
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(count, model.coefficient_count)).astype(np.float32)
    scale = np.full(count, 0.18, np.float32)
    shift = np.tile(np.float32([SIZE / 2, SIZE / 3]), (count, 1))
    pose = Pose(np.tile(np.eye(3, dtype=np.float32), (count, 1, 1)), scale, shift)
    landmarks = project(decode_landmarks(geometry, coefficients), pose)[..., :2]
    return {
        "grey": rng.random((count, SIZE, SIZE)).astype(np.float32),
        "landmarks": np.asarray(landmarks),
        "start": np.zeros_like(coefficients),
    }, pose


def test_the_network_has_the_size_of_figure_4():
    network = build_network(284)
    trained = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert network.count_params() == 3_618_328
    assert trained == 3_613_528


def test_the_network_has_the_shapes_of_figure_4():
    layers = build_network(284).layers
    tensor = keras.KerasTensor((1, 200, 200, 2))
    first = next(layer for layer in layers if isinstance(layer, keras.layers.Conv2D))
    assert first.kernel.shape == (7, 7, 2, 32)
    assert first.compute_output_spec(tensor).shape == (1, 100, 100, 32)
    blocks = [layer.output.shape[-1] for layer in layers if isinstance(layer, keras.layers.Add)]
    assert blocks == [32, 32, 64, 64, 128, 128, 256, 256]
    sides = {}
    tap = keras.Model(
        layers[0].output,
        [layer.output for layer in layers if isinstance(layer, keras.layers.Add)],
    )
    for output in tap(np.zeros((1, 200, 200, 2), np.float32)):
        sides.setdefault(output.shape[-1], set()).add(output.shape[1:3])
    assert sides == {32: {(100, 100)}, 64: {(50, 50)}, 128: {(25, 25)}, 256: {(13, 13)}}
    pooled = next(k for k in layers if isinstance(k, keras.layers.GlobalAveragePooling2D))
    assert pooled.output.shape == (None, 284)
    assert layers[-1].kernel.shape == (568, 284)


@pytest.mark.parametrize("size", [16, 50, 77])
def test_the_network_takes_images_of_any_size(network, tiny_model, size):
    image = np.random.default_rng(0).random((3, size, size, 2)).astype(np.float32)
    delta = network([image, np.zeros((3, tiny_model.coefficient_count), np.float32)])
    assert delta.shape == (3, tiny_model.coefficient_count)
    assert np.abs(delta).max() > 0


@pytest.mark.parametrize("training", [False, True])
def test_the_untrained_loop_leaves_its_start_unchanged(tiny_model, tiny_geometry, training):
    inputs, _ = loop_inputs(tiny_model, tiny_geometry)
    inputs["start"] = np.random.default_rng(3).normal(size=inputs["start"].shape).astype(np.float32)
    loop = IterativeRegressor(tiny_geometry, build_network(tiny_model.coefficient_count))
    estimates = np.asarray(loop(inputs, training=training))
    assert estimates.shape == (2, 4, tiny_model.coefficient_count)
    np.testing.assert_array_equal(estimates, np.repeat(inputs["start"][:, None], 4, 1))


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_each_iteration_corrects_what_it_renders_of_the_last(
    network, tiny_model, tiny_geometry, decay
):
    inputs, _ = loop_inputs(tiny_model, tiny_geometry)
    estimates = np.asarray(IterativeRegressor(tiny_geometry, network, step_decay=decay)(inputs))
    current = inputs["start"]
    for k in range(3):
        np.testing.assert_allclose(estimates[:, k], current, atol=1e-5)
        image = loop_image(tiny_geometry, current, inputs["landmarks"], inputs["grey"])
        current = current + decay**k * network([image, ops.convert_to_tensor(current)])
    np.testing.assert_allclose(estimates[:, 3], current, atol=1e-5)
    assert np.abs(estimates[:, 3] - estimates[:, 2]).max() > 1e-3


def test_the_loop_sees_the_photo_masked_and_the_shading(tiny_model, tiny_geometry):
    """With exact landmarks of the current face, its pose is the true one."""
    inputs, pose = loop_inputs(tiny_model, tiny_geometry)
    truth = np.random.default_rng(0).normal(size=inputs["start"].shape).astype(np.float32)
    image = np.asarray(
        loop_image(tiny_geometry, ops.convert_to_tensor(truth), inputs["landmarks"], inputs["grey"])
    )
    coarse = tiny_geometry.coarse
    shading, mask = render_shading(coarse, decode(coarse, truth), pose, size=SIZE)
    same = np.abs(image[..., 1] - np.asarray(shading)) < 1e-3
    assert same.mean() > 0.995
    photo = inputs["grey"] * np.asarray(mask)
    assert (np.abs(image[..., 0] - photo) < 1e-6).mean() > 0.995
    assert 0.1 < np.asarray(mask).mean() < 0.9


def test_the_coarse_mesh_looks_like_the_fine_one(default_model, default_geometry, random_faces):
    """About a pixel of outline, and hardly a shade, lie between what the loop draws and level 1."""
    _, pose = random_faces(default_model, 4, seed=5, size=200)
    faces = np.random.default_rng(5).normal(size=(4, default_model.coefficient_count))
    faces = np.where(np.arange(faces.shape[1]) < default_model.identity_count, faces, 0.1)
    faces = faces.astype(np.float32)
    seen = [
        np.asarray(ops.stack(render_shading(mesh, decode(mesh, faces), pose, size=200)))
        for mesh in (default_geometry.fine, default_geometry.coarse)
    ]
    assert len(default_geometry.coarse.mean) < 0.3 * len(default_geometry.fine.mean)
    (shading, mask), (coarse_shading, coarse_mask) = seen
    difference = np.abs(shading - coarse_shading)[(mask > 0) & (coarse_mask > 0)]
    assert (mask != coarse_mask).mean() < 0.02
    assert difference.mean() < 0.02 and np.quantile(difference, 0.9) < 0.04


def test_no_gradient_flows_from_one_iteration_into_the_last(network, tiny_model, tiny_geometry):
    inputs, _ = loop_inputs(tiny_model, tiny_geometry)
    start = tf.Variable(inputs["start"])
    kernel = network.layers[-1].kernel.value
    loop = IterativeRegressor(tiny_geometry, network)
    with tf.GradientTape(persistent=True) as tape:
        estimates = loop({**inputs, "start": tf.identity(start)})
        last = tf.reduce_sum(estimates[:, 3])
    np.testing.assert_array_equal(tape.gradient(last, start), 0.0)
    image = loop_image(tiny_geometry, estimates[:, 2], inputs["landmarks"], inputs["grey"])
    with tf.GradientTape() as alone:
        delta = network([image, estimates[:, 2]])
        total = tf.reduce_sum(delta)
    np.testing.assert_allclose(
        tape.gradient(last, kernel), alone.gradient(total, kernel), rtol=1e-3, atol=1e-4
    )


def test_the_loss_has_the_gradient_that_differences_give(tiny_model, tiny_geometry):
    """Autodiff agrees with central differences of the explicit vertex distance."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, tiny_model.coefficient_count))
    basis = tiny_model.basis.astype(np.float64)

    def explicit(x):
        return (np.einsum("kvc,k->vc", basis, x - b) ** 2).sum(-1).mean()

    step = 1e-4
    numeric = [
        (explicit(a + step * e) - explicit(a - step * e)) / (2 * step) for e in np.eye(len(a))
    ]
    point = tf.Variable(a.astype(np.float32))
    with tf.GradientTape() as tape:
        loss = losses.geometry_loss(point, np.float32(b), tiny_geometry.gram_factor)
    np.testing.assert_allclose(tape.gradient(loss, point), numeric, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(loss, explicit(a), rtol=1e-4)
