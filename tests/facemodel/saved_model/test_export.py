"""The SavedModel: its contract, stock ops only, equal numbers by every way, where faces land."""

import dataclasses
import inspect
import json

import cv2
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from typer.testing import CliRunner

from facemodel import camera, transforms
from facemodel.config import ConfigError
from facemodel.fitting.crop import SUPERSAMPLE, grey_crop
from facemodel.fitting.landmark_fit import landmark_fit
from facemodel.morphable import landmarks
from facemodel.morphable.geometry import FaceGeometry, decode, decode_landmarks
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.model import MorphableModel
from facemodel.morphable.served_noise import LANDMARK_NOISE_MM
from facemodel.network.heads import LoopHeads
from facemodel.network.pretrained import create_regressor, load_pretrained
from facemodel.network.regressor import IterativeRegressor, build_network
from facemodel.network.training_config import ITERATIONS as DEFAULT_ITERATIONS
from facemodel.network.weights import WeightsError, save_weights
from facemodel.records import encode_record
from facemodel.rendering.shading import render_shading
from facemodel.saved_model import export
from facemodel.saved_model.metadata import MESH_OUTPUTS, ExportConfig, ExportError
from facemodel.saved_model.signatures import FaceServer
from facemodel.synthesis import photos
from facemodel.synthesis.distributions import Normal
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.samples import aligned_indices, make_samples
from facemodel.synthesis.scenes import SceneModel
from pipeline.cli import make_app
from pipeline.commands import export as export_command

TINY = MorphableModel.tiny()
COUNT = TINY.coefficient_count
ITERATIONS = 2
CONFIG = SynthesisConfig.lifelike(image_size=128, relative_scale=Normal(0.3, 0.02, 0.25, 0.35))


def make_regressor(model, iterations=ITERATIONS):
    """A loop that moves its estimate by a few tenths, and the landmarks by about a millimetre."""
    network = build_network(model.coefficient_count)
    rng = np.random.default_rng(5)
    *rest, kernel, bias = network.get_weights()
    network.set_weights([*rest, rng.normal(0, 0.05, kernel.shape), rng.normal(0, 0.2, bias.shape)])
    features, count = kernel.shape
    heads = LoopHeads(
        rng.normal(0, 0.05, (2, features + 1, count)).astype(np.float32),
        rng.normal(0, 0.02, (2, features + 103, 102)).astype(np.float32),
    )
    geometry = FaceGeometry.create(model)
    return IterativeRegressor(geometry, network, iterations=iterations, heads=heads)


@pytest.fixture(scope="module")
def regressor():
    return make_regressor(TINY)


@pytest.fixture(scope="module")
def folder(regressor, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "tiny"
    return export.export_saved_model(TINY, regressor, path, facts={"weights_sha256": "0" * 64})


@pytest.fixture(scope="module")
def loaded(folder):
    return tf.saved_model.load(str(folder))


@pytest.fixture(scope="module")
def signatures(loaded):
    return loaded.signatures


@pytest.fixture(scope="module")
def samples():
    model = SceneModel.create(TINY)
    return make_samples(
        model,
        CONFIG,
        LandmarkNoise.isotropic(0.0),
        seed=7,
        indices=aligned_indices(0),
        render=lambda scene: photos.render_scene(model, scene, size=128),
    )[:3]


@pytest.fixture(scope="module")
def request_arrays(samples):
    images = np.stack([sample["image"] for sample in samples])
    return images, np.stack([sample["face/landmarks"] for sample in samples]).astype(np.float32)


@pytest.fixture(scope="module")
def outputs(signatures, request_arrays):
    images, points = request_arrays
    return to_numpy(signatures["serving_default"](image=images, landmarks=points))


def to_numpy(outputs):
    return {name: value.numpy() for name, value in outputs.items()}


def assert_same(actual, expected, tolerance=2e-4):
    assert set(actual) == set(expected)
    for name, value in expected.items():
        if (
            value.dtype == np.uint8
        ):  # a rounding or an outline may fall the other way at a few pixels
            away = np.abs(actual[name].astype(int) - value) > 1
            assert away.mean() < 1e-3, name
        else:
            scale = max(1.0, np.abs(value).max())
            np.testing.assert_allclose(
                actual[name] / scale, value / scale, atol=tolerance, err_msg=name
            )


def expected_outputs(n, iterations, vertices):
    return {
        "coefficients": ((None, n), "float32"),
        "vertices": ((None, vertices, 3), "float32"),
        "rotation": ((None, 3, 3), "float32"),
        "scale": ((None,), "float32"),
        "translation": ((None, 2), "float32"),
        "crop_from_image": ((None, 2, 3), "float32"),
        "iterations": ((None, iterations + 1, n), "float32"),
        "shading": ((None, 200, 200), "uint8"),
        "mask": ((None, 200, 200), "uint8"),
        "crop": ((None, 200, 200), "uint8"),
    }


def shapes(specs):
    return {name: (tuple(spec.shape), spec.dtype.name) for name, spec in specs.items()}


def check_contract(signatures, model, iterations):
    inputs = {
        "serving_default": {
            "image": ((None, None, None, 3), "uint8"),
            "landmarks": ((None, 478, 2), "float32"),
        },
        "mesh": {
            "image": ((None, None, None, 3), "uint8"),
            "landmarks": ((None, 478, 2), "float32"),
        },
        "encoded": {
            "image_bytes": ((None,), "string"),
            "landmarks": ((None, 478, 2), "float32"),
        },
        "examples": {"examples": ((None,), "string")},
        "metadata": {"request": ((None,), "string")},
    }
    assert set(signatures) == set(inputs)
    faces = expected_outputs(model.coefficient_count, iterations, model.vertex_count)
    for name, expected in inputs.items():
        assert shapes(signatures[name].structured_input_signature[1]) == expected
        if name != "metadata":
            kept = MESH_OUTPUTS if name == "mesh" else faces
            found = shapes(signatures[name].structured_outputs)
            assert found == {key: faces[key] for key in kept}
    metadata = shapes(signatures["metadata"].structured_outputs)
    assert metadata["triangles"] == ((None, len(model.triangles), 3), "int32")
    assert metadata["landmark_triangles"] == ((None, 68), "int32")
    assert metadata["landmark_barycentric"] == ((None, 68, 3), "float32")
    assert metadata["coefficient_names"] == ((None, model.coefficient_count), "string")


def test_signatures_follow_the_contract(signatures):
    check_contract(signatures, TINY, ITERATIONS)


def ops_in(folder):
    """Names of all ops in a SavedModel's graph and its functions."""
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    (meta_graph,) = saved.meta_graphs
    nodes = list(meta_graph.graph_def.node)
    for function in meta_graph.graph_def.library.function:
        nodes += function.node_def
    return {node.op for node in nodes}


PYTHON_ONLY = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


def foreign(ops):
    """Those that a stock server lacks: not built into TensorFlow, or calling back into Python."""
    return {op for op in ops if op in PYTHON_ONLY or not hasattr(tf.raw_ops, op)}


def test_only_stock_ops_are_used(folder):
    ops = ops_in(folder)
    assert {"Conv2D", "DecodeImage", "ParseExampleV2"} <= ops
    assert foreign(ops) == set()


def test_ops_that_a_server_lacks_are_noticed():
    graph = tf.Graph()
    with graph.as_default():
        tf.py_function(lambda x: x, [tf.constant(1.0)], tf.float32)
        tf.numpy_function(lambda x: x, [tf.constant(1.0)], tf.float32)
    ops = {node.op for node in graph.as_graph_def().node}
    assert foreign(ops | {"SomebodysOwnOp"}) == {"EagerPyFunc", "PyFunc", "SomebodysOwnOp"}


def fit(noise_mm):
    """How the loop starts at the landmark fit, as reconstruct_eagerly takes it."""

    def start(geometry, inside):
        sigma_px = np.full(len(inside), noise_mm * camera.CROP_SCALE, np.float32)
        return landmark_fit(geometry, inside, sigma_px)

    return start


def reconstruct_eagerly(regressor, images, points, start=None):
    """What the graph should do, step by step without a graph."""
    geometry = regressor.geometry
    inner = points[:, list(landmarks.INNER_51)]
    mean = np.repeat(np.asarray(geometry.landmark_mean)[None], len(inner), 0)
    weights = geometry.landmark_weights
    mean_pose = camera.fit_pose(mean, inner, weights=weights)
    crop_from_image = camera.crop_from_pose(mean_pose, geometry.centre)
    grey = grey_crop(images, crop_from_image)
    inside = transforms.apply_similarity(crop_from_image, inner)
    start = np.zeros((len(inner), COUNT), np.float32) if start is None else start(geometry, inside)
    iterations, places = regressor.run({"grey": grey, "landmarks": inside, "start": start})
    last, inside = iterations[:, -1], places[:, -1]
    crop_pose = camera.fit_pose(decode_landmarks(geometry, last), inside, weights=weights)
    vertices = decode(geometry.fine, last)
    shading, mask = render_shading(geometry.fine, vertices, crop_pose, size=200)
    pose = camera.transform_pose(crop_pose, transforms.invert_similarity(crop_from_image))
    to_byte = lambda values: np.round(255 * np.clip(values, 0, 1)).astype(np.uint8)  # noqa: E731
    return {
        "coefficients": np.asarray(last),
        "vertices": np.asarray(vertices),
        **{name: np.asarray(value) for name, value in pose._asdict().items()},
        "crop_from_image": np.asarray(crop_from_image),
        "iterations": np.asarray(iterations),
        "shading": to_byte(shading),
        "mask": to_byte(mask),
        "crop": to_byte(grey),
    }


def test_saved_model_gives_what_the_steps_give_without_a_graph(regressor, request_arrays, outputs):
    expected = reconstruct_eagerly(regressor, *request_arrays, fit(LANDMARK_NOISE_MM))
    assert_same(outputs, expected, tolerance=5e-4)


@pytest.mark.slow
def test_a_session_that_restores_as_tensorflow_serving_does_gives_the_same(
    folder, request_arrays, outputs
):
    loader = tf.compat.v1.saved_model
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signature = loader.load(session, ["serve"], str(folder)).signature_def["serving_default"]
        feeds = zip(("image", "landmarks"), request_arrays)
        result = session.run(
            {name: info.name for name, info in signature.outputs.items()},
            {signature.inputs[name].name: value for name, value in feeds},
        )
    assert_same(result, outputs, tolerance=1e-3)


def test_a_mesh_is_the_face_without_its_pictures(signatures, request_arrays, outputs):
    image, points = request_arrays
    mesh = to_numpy(signatures["mesh"](image=tf.constant(image), landmarks=tf.constant(points)))
    assert_same(mesh, {name: outputs[name] for name in MESH_OUTPUTS}, tolerance=1e-3)


def test_a_crop_takes_as_many_samples_as_the_config_says(regressor, request_arrays):
    """By default as many as training's; with one the crop is nearly the same, but not quite."""
    assert ExportConfig().supersample == SUPERSAMPLE
    image, points = request_arrays
    server = FaceServer(TINY, regressor, ExportConfig(supersample=1))
    alone = server.serving_default(tf.constant(image), tf.constant(points))["crop"].numpy()
    crop_from_image, *_ = server.align(tf.constant(points))
    one, usual = (
        np.round(255 * np.asarray(grey_crop(image, crop_from_image, supersample=count)))
        for count in (1, SUPERSAMPLE)
    )
    assert np.abs(alone - one).max() <= 1.0
    assert 0.0 < np.abs(one - usual).mean() < 4.0


def test_the_loop_does_something(outputs):
    steps = np.abs(np.diff(outputs["iterations"], axis=1)).mean((0, 2))
    assert (steps > 0.05).all()
    np.testing.assert_array_equal(outputs["iterations"][:, -1], outputs["coefficients"])


def test_encoded_and_examples_give_the_same(signatures, samples, request_arrays, outputs):
    images, points = request_arrays
    files = [cv2.imencode(".png", image[..., ::-1])[1].tobytes() for image in images]
    encoded = signatures["encoded"](image_bytes=tf.constant(files), landmarks=points)
    assert_same(to_numpy(encoded), outputs)
    serialized = tf.constant([encode_record(sample) for sample in samples])
    assert_same(to_numpy(signatures["examples"](examples=serialized)), outputs)


def test_encoded_takes_pictures_of_different_sizes(signatures, request_arrays, outputs):
    images, points = request_arrays
    moved = [np.pad(image, ((0, 10 * k), (0, 7 * k), (0, 0))) for k, image in enumerate(images)]
    files = [cv2.imencode(".png", image[..., ::-1])[1].tobytes() for image in moved]
    encoded = signatures["encoded"](image_bytes=tf.constant(files), landmarks=points)
    assert_same(to_numpy(encoded), outputs)


def test_a_batch_is_its_pictures_one_by_one(signatures, request_arrays, outputs):
    images, points = request_arrays
    single = [
        to_numpy(signatures["serving_default"](image=image[None], landmarks=point[None]))
        for image, point in zip(images, points)
    ]
    joined = {name: np.concatenate([one[name] for one in single]) for name in outputs}
    assert_same(joined, outputs)


def test_pose_puts_the_mesh_landmarks_where_they_were_seen(regressor, outputs, request_arrays):
    _, points = request_arrays
    pose = camera.Pose(outputs["rotation"], outputs["scale"], outputs["translation"])
    inner = list(landmarks.INNER_51)
    at = (TINY.triangles, TINY.landmark_triangles[inner], TINY.landmark_barycentric[inner])
    on_mesh = landmarks.embedded_points(outputs["vertices"], *at)
    seen = np.asarray(camera.project(on_mesh, pose))[..., :2]
    weights = regressor.geometry.landmark_weights
    best = camera.fit_pose(on_mesh, points[:, inner], weights=weights)  # the best in the photo
    nearest = np.asarray(camera.project(on_mesh, best))[..., :2]
    moved = np.abs(seen - nearest).max()  # by the corrections of the landmarks
    assert 0.02 < moved < 3 * outputs["scale"].max()
    np.testing.assert_allclose(seen, points[:, inner], atol=15 * outputs["scale"].max())


def test_crop_shows_the_face_upright_in_the_middle(outputs, request_arrays):
    _, points = request_arrays
    inner = points[:, list(landmarks.INNER_51)]
    inside = np.asarray(transforms.apply_similarity(outputs["crop_from_image"], inner))
    assert (np.abs(inside.mean(1) - 100) < 40).all()
    assert ((inside > 0) & (inside < 200)).all()
    scale = np.asarray(transforms.similarity_scale(outputs["crop_from_image"]))
    np.testing.assert_allclose(scale * outputs["scale"], camera.CROP_SCALE, rtol=0.1)


def test_a_turned_scaled_and_shifted_photo_gives_the_same_face(signatures, request_arrays):
    images, points = request_arrays
    large = cv2.GaussianBlur(images[0], (0, 0), 1.5)
    reference = to_numpy(signatures["serving_default"](image=large[None], landmarks=points[:1]))
    zoom, turn, shift = 2.3, np.radians(35.0), np.array([90.0, 160.0])
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = np.concatenate([linear, shift[:, None]], 1)
    centred = matrix.copy()
    centred[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    moved = cv2.warpAffine(large, centred, (400, 480), flags=cv2.INTER_CUBIC)
    seen = np.float32(points[0] @ linear.T + shift)
    result = to_numpy(signatures["serving_default"](image=moved[None], landmarks=seen[None]))
    difference = np.abs(result["crop"].astype(int) - reference["crop"])
    assert difference.mean() < 2.0
    np.testing.assert_allclose(result["coefficients"], reference["coefficients"], atol=0.05)
    np.testing.assert_allclose(result["scale"], zoom * reference["scale"], rtol=1e-2)
    translation = matrix @ np.append(reference["translation"][0], 1.0)
    np.testing.assert_allclose(result["translation"][0], translation, atol=1.0)
    turned = np.array(
        [[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    )
    np.testing.assert_allclose(result["rotation"][0], turned @ reference["rotation"][0], atol=0.02)


def test_start_from_the_landmark_fit(request_arrays):
    images, points = request_arrays
    regressor = make_regressor(TINY, iterations=0)
    config = ExportConfig(start="landmark_fit", landmark_noise_mm=1.5)
    server = FaceServer(TINY, regressor, config)

    result = to_numpy(server.serving_default(images, points))
    expected = reconstruct_eagerly(regressor, images, points, fit(1.5))
    assert_same(result, expected, tolerance=5e-4)
    assert np.abs(result["iterations"][:, 0]).max() > 0.1


def test_useless_landmarks_spoil_only_their_own_face(signatures, request_arrays, outputs):
    images, points = request_arrays
    for useless in (np.zeros_like(points[1]), np.full_like(points[1], np.nan)):
        mixed = np.stack([points[0], useless, points[2]])
        result = to_numpy(signatures["serving_default"](image=images, landmarks=mixed))
        assert np.isnan(result["coefficients"][1]).all() and not result["mask"][1].any()
        kept = {name: value[[0, 2]] for name, value in result.items()}
        assert_same(kept, {name: value[[0, 2]] for name, value in outputs.items()})


def test_metadata_describes_the_model_for_each_request(signatures, folder):
    metadata = to_numpy(signatures["metadata"](request=tf.constant(["", ""])))
    ibug = list(landmarks.IBUG_68)
    for row in range(2):
        np.testing.assert_array_equal(metadata["triangles"][row], TINY.triangles)
        np.testing.assert_array_equal(metadata["mean"][row], TINY.mean)
        np.testing.assert_array_equal(
            metadata["landmark_triangles"][row], TINY.landmark_triangles[ibug]
        )
        names = [name.decode() for name in metadata["coefficient_names"][row]]
        assert names == list(TINY.coefficient_names)
        assert metadata["model_name"][row] == b"tiny"
        np.testing.assert_array_equal(metadata["albedo_mean"][row], TINY.albedo_mean)
        np.testing.assert_array_equal(metadata["regions"][row], TINY.regions)
        extra = (folder / "assets.extra" / "metadata.json").read_text()
        assert metadata["description"][row].decode() == extra


def test_extra_files_describe_the_model(folder):
    facts = json.loads((folder / "assets.extra" / "metadata.json").read_text())
    assert facts["model_name"] == "tiny"
    assert facts["iterations"] == ITERATIONS
    assert facts["start"] == "landmark_fit"
    assert facts["coefficient_names"] == list(TINY.coefficient_names)
    assert facts["weights_sha256"] == "0" * 64
    with np.load(folder / "assets.extra" / "model.npz") as arrays:
        np.testing.assert_array_equal(arrays["triangles"], TINY.triangles)
        np.testing.assert_array_equal(arrays["landmark_triangles"], TINY.landmark_triangles)


def test_big_arrays_are_stored_once(folder):
    variables = sum(file.stat().st_size for file in (folder / "variables").iterdir())
    network = 4 * sum(weight.size for weight in build_network(COUNT).get_weights())
    assert variables < 1.1 * (network + 4 * TINY.basis.size)
    assert (folder / "saved_model.pb").stat().st_size < 6e6


def test_an_existing_version_is_left_alone(regressor, folder):
    before = (folder / "saved_model.pb").read_bytes()
    with pytest.raises(ExportError, match="exists already"):
        export.export_saved_model(TINY, regressor, folder.parent)
    assert (folder / "saved_model.pb").read_bytes() == before


def test_nothing_is_left_of_an_export_that_failed(tmp_path):
    regressor = make_regressor(TINY, iterations=0)
    with pytest.raises(TypeError):
        export.export_saved_model(TINY, regressor, tmp_path / "model", facts={"bad": object()})
    assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.parametrize(
    "change", [{"start": "mean"}, {"landmark_noise_mm": 0.0}, {"landmark_noise_mm": -1.0}]
)
def test_wrong_settings_are_refused(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        ExportConfig(**change)


def test_weights_of_another_face_model_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="not for tiny"):
        load_pretrained(TINY)
    path, model_path = tmp_path / "weights.npz", tmp_path / "model.npz"
    model_path.write_bytes(b"another file of the same name")
    meta = {"model_name": "tiny", "model_version": TINY.version, "model_sha256": "abc"}
    save_weights(build_network(COUNT), path, meta)
    with pytest.raises(WeightsError, match="sha256"):
        load_pretrained(TINY, weights=path, model_path=model_path)


def test_weights_of_this_face_model_are_loaded(tmp_path):
    path, network = tmp_path / "weights.npz", make_regressor(TINY).network
    save_weights(network, path, {"model_name": "tiny", "model_version": TINY.version})
    loaded = load_pretrained(TINY, weights=path, iterations=4)
    assert loaded.iterations == 4
    for actual, expected in zip(loaded.network.get_weights(), network.get_weights()):
        np.testing.assert_array_equal(actual, expected.astype(np.float16))
    assert loaded.heads is None


def test_heads_come_with_the_weights_but_not_into_training(tmp_path):
    path, made = tmp_path / "weights.npz", make_regressor(TINY)
    meta = {"model_name": "tiny", "model_version": TINY.version}
    save_weights(made.network, path, meta, heads=made.heads)
    for actual, expected in zip(load_pretrained(TINY, weights=path).heads, made.heads, strict=True):
        np.testing.assert_array_equal(actual, expected.astype(np.float16))
    trained = create_regressor(TINY, weights=path)
    assert trained.heads is None
    for actual, expected in zip(trained.network.get_weights(), made.network.get_weights()):
        np.testing.assert_array_equal(actual, expected.astype(np.float16))


def test_the_commands_defaults_are_the_librarys():
    given = {k: v.default for k, v in inspect.signature(export_command.command).parameters.items()}
    assert given["start"] == ExportConfig().start
    assert given["landmark_noise_mm"] is None  # the library's
    assert given["iterations"] is given["precision"] is None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "iterations", "precision"),
    [
        (["--fast"], 1, "mixed_bfloat16"),
        (["--fast", "--iterations", "2", "--precision", "float32"], 2, "float32"),
    ],
)
def test_the_fast_profile_is_one_iteration_where_nothing_else_is_said(
    words, iterations, precision, tmp_path
):
    words = ["export", "-o", str(tmp_path / "faces"), "--level", "0", *words]
    result = CliRunner().invoke(make_app(), words, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    described = json.loads((tmp_path / "faces/1/assets.extra/metadata.json").read_text())
    assert (described["iterations"], described["precision"]) == (iterations, precision)


@pytest.mark.slow
def test_the_command_writes_what_reconstruct_uses_by_default(tmp_path):
    words = ["export", "-o", str(tmp_path / "faces"), "--level", "0"]
    result = CliRunner().invoke(make_app(), words, catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    described = json.loads((tmp_path / "faces/1/assets.extra/metadata.json").read_text())
    expected = dataclasses.asdict(ExportConfig())
    assert {name: described[name] for name in expected} == expected
    assert described["iterations"] == DEFAULT_ITERATIONS


@pytest.mark.slow
def test_the_default_model_follows_the_contract(tmp_path):
    model = MorphableModel.load()
    folder = export.export_saved_model(model, load_pretrained(model), tmp_path / "default")
    signatures = tf.saved_model.load(str(folder)).signatures
    check_contract(signatures, model, iterations=3)
    assert model.coefficient_count == 284
    assert foreign(ops_in(folder)) == set()
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 80e6
