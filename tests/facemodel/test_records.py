"""Records: round trips, the same bytes again, clear errors, stock ops."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.model import MorphableModel
from facemodel.records import (
    ExampleError,
    encode_png,
    encode_record,
    parse_records,
    parse_request,
    read_records,
)
from facemodel.synthesis import photos
from facemodel.synthesis.distributions import Normal
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.samples import aligned_indices, make_samples
from facemodel.synthesis.scenes import SceneModel

CONFIG = SynthesisConfig.lifelike(image_size=64, relative_scale=Normal(0.3, 0.02, 0.25, 0.35))
TINY = MorphableModel.tiny()
COUNTS = {"coefficient_count": TINY.coefficient_count, "albedo_count": len(TINY.albedo)}


@pytest.fixture(scope="module")
def model():
    return SceneModel.create(TINY)


@pytest.fixture(scope="module")
def samples(model):
    return make_samples(
        model,
        CONFIG,
        LandmarkNoise.isotropic(1.0),
        seed=3,
        indices=aligned_indices(0),
        render=lambda scene: photos.render_scene(model, scene, size=64),
    )


def test_parse_returns_what_was_encoded(samples):
    parsed = parse_records([encode_record(sample) for sample in samples], **COUNTS)
    assert set(parsed) == set(samples[0])
    for name, values in parsed.items():
        for row, sample in enumerate(samples):
            expected = sample[name]
            if isinstance(expected, str):
                assert values[row].numpy() == expected.encode()
            else:
                np.testing.assert_array_equal(values[row], expected, err_msg=name)


def test_parse_works_in_a_graph_with_stock_ops(samples):
    serialized = [encode_record(sample) for sample in samples]
    parse = tf.function(lambda strings: parse_records(strings, **COUNTS), autograph=False)
    dataset = tf.data.Dataset.from_tensor_slices(serialized).batch(3).map(parse)
    sizes = [batch["image"].shape for batch in dataset]
    assert sizes == [(3, 64, 64, 3), (3, 64, 64, 3), (2, 64, 64, 3)]
    graph = parse.get_concrete_function(tf.TensorSpec([None], tf.string)).graph.as_graph_def()
    used = {node.op for node in graph.node}
    used |= {node.op for function in graph.library.function for node in function.node_def}
    assert not {op for op in used if "PyFunc" in op}


def test_parse_request_reads_only_picture_and_landmarks(samples):
    record = tf.train.Example.FromString(encode_record(samples[0]))
    for name in list(record.features.feature):
        if name not in ("image/encoded", "face/landmarks"):
            del record.features.feature[name]
    encoded, landmarks = parse_request([record.SerializeToString()])
    np.testing.assert_array_equal(tf.io.decode_png(encoded[0]), samples[0]["image"])
    np.testing.assert_array_equal(landmarks[0], samples[0]["face/landmarks"])


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 3, 3), (64, 48, 3)])
def test_pictures_come_back_as_they_were(shape):
    rng = np.random.default_rng(0)
    for image in (rng.integers(0, 256, shape, np.uint8), np.zeros(shape, np.uint8)):
        data = encode_png(image)
        np.testing.assert_array_equal(tf.io.decode_png(data), image)
        np.testing.assert_array_equal(Image.open(io.BytesIO(data)), image)


def test_the_same_sample_gives_the_same_bytes(samples):
    backwards = dict(reversed(list(samples[0].items())))
    assert encode_record(samples[0]) == encode_record(backwards)


def test_labels_are_exact_when_the_stored_record_is_drawn_again(model, samples):
    """Seed, index and version in the record suffice to make the picture and every label again."""
    stored = {
        name: value[0].numpy()
        for name, value in parse_records([encode_record(samples[5])], **COUNTS).items()
    }
    (again,) = make_samples(
        model,
        CONFIG,
        LandmarkNoise.isotropic(1.0),
        seed=int(stored["sample/seed"]),
        indices=[int(stored["sample/index"])],
        render=lambda scene: photos.render_scene(model, scene, size=stored["image"].shape[0]),
    )
    assert np.abs(again["image"].astype(int) - stored["image"]).max() <= 2
    np.testing.assert_allclose(stored["face/coefficients"], again["face/coefficients"], atol=1e-5)
    np.testing.assert_allclose(stored["face/landmarks"], again["face/landmarks"], atol=1e-3)


def test_labels_alone_explain_the_picture(model, samples):
    """A face rendered from the labels alone has the same colours inside its outline."""
    plain = SynthesisConfig.paper(image_size=64, relative_scale=CONFIG.relative_scale)
    sample = make_samples(
        model, plain, LandmarkNoise.isotropic(1.0), seed=4, indices=[0],
        render=lambda scene: photos.render_scene(model, scene, size=64),
    )[0]  # fmt: skip
    stored = parse_records([encode_record(sample)], **COUNTS)
    from facemodel.camera import Pose
    from facemodel.rendering.shading import Light, render_photo

    vertices = TINY.vertices(stored["face/coefficients"].numpy())
    albedo = TINY.albedo_rgb(stored["face/albedo_coefficients"].numpy())
    pose = Pose(*(stored[f"pose/{part}"] for part in Pose._fields))
    light = Light(*(stored[f"light/{part}"] for part in Light._fields))
    rgb, mask = render_photo(
        model.geometry.fine, vertices, albedo, pose, light,
        height=64, width=64, inverse_distance=stored["camera/inverse_distance"],
    )  # fmt: skip
    inside = np.asarray(mask)[0, 1:-1, 1:-1] > 0
    for dy in range(3):
        for dx in range(3):
            inside &= np.asarray(mask)[0, dy : dy + 62, dx : dx + 62] > 0
    difference = np.abs(np.asarray(rgb)[0] * 255 - stored["image"].numpy()[0])[1:-1, 1:-1]
    assert inside.sum() > 300
    assert difference[inside].max() <= 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image": np.zeros((4, 4, 3), np.float32)}, "image should be uint8"),
        ({"pose/rotation": np.zeros(9)}, r"pose/rotation should be \[3, 3\], got \[9\]"),
        ({"face/nose": 1}, "face/nose"),
    ],
)
def test_samples_that_do_not_fit_are_an_error(samples, changes, message):
    with pytest.raises(ExampleError, match=message):
        encode_record({**samples[0], **changes})


def test_a_missing_feature_is_an_error(samples):
    incomplete = {name: value for name, value in samples[0].items() if name != "light/ambient"}
    with pytest.raises(ExampleError, match="light/ambient"):
        encode_record(incomplete)


def test_records_of_files_are_read_to_their_end_without_a_warning(tmp_path, capfd):
    files = [tmp_path / name for name in ("one", "two", "none")]
    content = [[b"a", b""], [b"b"], []]
    for file, texts in zip(files, content):
        with tf.io.TFRecordWriter(str(file)) as writer:
            for text in texts:
                writer.write(text)
    assert list(read_records(files[0])) == [b"a", b""]
    assert list(read_records([str(file) for file in files])) == [b"a", b"", b"b"]
    assert "OUT_OF_RANGE" not in capfd.readouterr().err
    files[0].write_bytes(files[0].read_bytes()[:-2])
    with pytest.raises(tf.errors.DataLossError):
        list(read_records(files[0]))
