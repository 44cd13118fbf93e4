"""The raycast set: faces outside the span, scenes from a seed, pictures as a camera makes them."""

import os
import pathlib
import subprocess

import numpy as np
import pytest
from typer.testing import CliRunner

from facemodel.evaluation.metrics import vertex_error_mm
from facemodel.morphable.model import MorphableModel
from pipeline import cli
from pipeline.evaluation import face_parts
from pipeline.evaluation.raycast import (
    apart,
    environment,
    estimates,
    measure,
    report,
    scenes,
    strands,
)
from pipeline.evaluation.raycast.blender import development
from pipeline.evaluation.raycast.deformation import Deformation, displace, sample_deformation
from pipeline.evaluation.raycast.detections import Detection
from pipeline.evaluation.raycast.nearest import NearestFace
from serving.detection.detector import DetectedFace

MODEL = MorphableModel.load()
INNER = MODEL.inner_face
ROOT = pathlib.Path(__file__).resolve().parents[3]
BPY_PYTHON = "FACERELIEF_BPY_PYTHON"
"""Environment variable with a Python that has bpy."""


def deformed(seed):
    """The mean face's vertices, deformed."""
    deformation = sample_deformation(np.random.default_rng(seed))
    return displace(deformation, MODEL.mean, MODEL.mean, [])


def test_a_deformation_depends_on_its_seed_alone_and_is_smooth():
    first, again, other = (deformed(seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1.0
    moved = first - MODEL.mean
    ends = MODEL.triangles[:, :2]
    length = np.linalg.norm(MODEL.mean[ends[:, 0]] - MODEL.mean[ends[:, 1]], axis=1)
    change = np.linalg.norm(moved[ends[:, 0]] - moved[ends[:, 1]], axis=1)
    assert (change / np.maximum(length, 0.1)).max() < 0.5


def test_proportions_change_by_what_a_deformation_says():
    still = Deformation(
        np.zeros((1, 3)), np.zeros(1), np.zeros((1, 3)), 4.0, -3.0, (0,) * 3, (0,) * 3
    )
    nasion, subnasale, chin = np.array([[0, 30, 30], [0, -60, 38], [0, -150, 15.0]])
    moved = still(np.stack([nasion, subnasale, chin]))
    np.testing.assert_allclose(moved[:, 1], [0.0, -4.0, -1.0], atol=0.5)


def test_deformed_faces_are_outside_the_span_and_model_faces_are_not():
    nearest = NearestFace(MODEL)
    rng = np.random.default_rng(0)
    coefficients = np.zeros(MODEL.coefficient_count)
    coefficients[: MODEL.identity_count] = rng.standard_normal(MODEL.identity_count)
    own = MODEL.vertices(coefficients)[INNER]
    turned = 1.7 * own @ np.linalg.qr(rng.standard_normal((3, 3)))[0]
    turned = turned if vertex_error_mm(turned, own) < 0.1 else -turned
    assert nearest(turned)[1] < 0.06
    outside = [nearest(deformed(seed)[INNER])[1] for seed in range(3)]
    assert 0.35 < np.mean(outside) < 1.0
    far = [vertex_error_mm(MODEL.mean[INNER], deformed(seed)[INNER]) for seed in range(3)]
    assert np.mean(far) > np.mean(outside) + 0.3


def test_rigid_parts_keep_their_shape():
    deformation = sample_deformation(np.random.default_rng(1))
    part = np.flatnonzero(MODEL.regions == MODEL.region_names.index("eye_l"))
    moved = displace(deformation, MODEL.mean, MODEL.mean, [part])[part] - MODEL.mean[part]
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:1], moved.shape), atol=1e-4)
    assert np.abs(moved).max() > 0.05


def test_parts_cover_the_inner_face_and_errors_are_found_where_they_are():
    numbers = face_parts.part_of(MODEL)
    share = np.bincount(numbers, minlength=len(face_parts.PARTS)) / len(numbers)
    assert share.min() > 0.01
    truth = MODEL.mean[INNER].astype(np.float64)
    wrong = truth.copy()
    nose = numbers == face_parts.PARTS.index("nose")
    wrong[nose, 2] += 3.0
    errors = face_parts.part_errors(wrong, truth, numbers)
    assert face_parts.PARTS[int(np.argmax(errors.parts))] == "nose"
    assert face_parts.AXES[int(np.argmax(errors.axes))] == "z"
    assert errors.mean == pytest.approx(vertex_error_mm(wrong, truth))


def test_surroundings_have_mean_one_and_a_high_range():
    images = [environment.sample_environment(np.random.default_rng(seed)) for seed in range(4)]
    weights = environment.solid_angles()[..., None] / (4 * np.pi)
    for image in images:
        assert (image * weights).sum() / 3 == pytest.approx(1.0, rel=1e-3)
        assert image.min() > 0
    assert max(image.max() / np.median(image) for image in images) > 10


def test_strands_stay_outside_what_they_grow_on():
    rng = np.random.default_rng(0)
    ball = rng.standard_normal((4000, 3))
    normals = ball / np.linalg.norm(ball, axis=1, keepdims=True)
    body = strands.Body.of(80 * normals, normals)
    roots = strands.Roots(80 * normals[:300], normals[:300], 80 * normals[:300])
    growth = strands.Growth(
        np.full(300, 120.0), np.tile([0, 0, -1.0], (300, 1)), np.array([0, -1.0, 0]), 0.3, 1.0,
        np.full(300, 2.0), 14, 0.1,
    )  # fmt: skip
    lines = strands.grow(rng, roots, body, growth)
    assert np.linalg.norm(lines, axis=-1).min() > 78.0
    length = np.linalg.norm(np.diff(lines, axis=1), axis=-1).sum(1)
    np.testing.assert_allclose(length, 120.0, rtol=1e-6)


def test_the_camera_exposes_for_the_face():
    rng = np.random.default_rng(0)
    scene = {
        "noise_seed": 1, "blur_px": 0.5, "noise": np.zeros(2), "contrast": 0.5, "saturation": 1.0,
        "sharpen": 0.0, "target_luma": 0.6, "white": np.ones(3), "white_share": 1.0,
        "environment": np.ones((8, 16, 3)) * (1.0, 0.8, 0.5), "lamp_colours": np.zeros((0, 3)),
        "lamp_strengths": np.zeros(0), "metered_px": rng.uniform(10, 30, (200, 2)),
    }  # fmt: skip
    linear = np.full((40, 40, 3), 0.003) * (1.0, 0.8, 0.5)
    linear[10:30, 10:30] *= rng.uniform(30, 60)
    picture = development.develop(linear, scene)
    assert (picture[12:28, 12:28] @ development.LUMA).mean() / 255 == pytest.approx(0.6, abs=0.02)
    assert np.ptp(picture[20, 20].astype(int)) <= 1  # white balance took the light's colour out


@pytest.fixture(scope="module")
def raycast_set(tmp_path_factory):
    """A folder with the scenes of two faces."""
    folder = tmp_path_factory.mktemp("raycast")
    words = ["evaluate", "raycast-scenes", "--out", str(folder), "-n", "2", "--seed", "5"]
    result = CliRunner().invoke(cli.make_app(), words)
    assert result.exit_code == 0, result.output
    return folder


@pytest.mark.slow
def test_scenes_depend_on_seed_and_index_alone(raycast_set):
    scene, truth = scenes.SceneMaker.load().make(5, 1)
    for name, made in (("scenes", scene), ("truth", truth)):
        with np.load(raycast_set / name / "00001.npz") as stored:
            assert set(stored) == set(made)
            for key in made:
                np.testing.assert_array_equal(stored[key], made[key], err_msg=key)


@pytest.mark.slow
def test_a_set_without_pictures_is_an_error_of_one_line(raycast_set):
    result = CliRunner().invoke(cli.make_app(), ["evaluate", "raycast", "--set", str(raycast_set)])
    assert result.exit_code == 2
    assert "no picture with its truth" in result.output
    assert "2 truths" in result.output


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get(BPY_PYTHON), reason=f"{BPY_PYTHON} names no Python with bpy")
def test_rendered_faces_are_found_and_measured(raycast_set):
    script = ROOT / "pipeline/evaluation/raycast/blender/render.py"
    words = [os.environ[BPY_PYTHON], script, raycast_set, "--samples", "8"]
    subprocess.run(words, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
    result = measure.run(raycast_set)
    assert len(result.faces) == 2 and result.found
    for face in result.found:
        assert face.on_photo["detector"] < 0.1
        assert face.errors[measure.NEAREST].mean < face.errors["mean face"].mean
    assert "nearest model face" in report.as_markdown(result)


class Mirror:
    """An estimator that answers with the mean face, and keeps what it was shown."""

    default_method = "network"

    def __init__(self):
        self.seen = []

    def cut(self, detection):
        """A crop that is the picture, moved and turned a little."""
        linear = np.array([[1.9, 0.1], [-0.1, 1.9]])
        offset = np.array([3.0, 5.0])
        inside = (detection.face.landmarks - offset) @ np.linalg.inv(linear).T
        return estimates.Cut(np.zeros((200, 200), np.float32), inside, linear, offset)

    def estimate(self, grey, landmarks):
        self.seen.append((grey, landmarks))
        zeros = np.zeros((len(grey), MODEL.coefficient_count), np.float32)
        return {"mean face": zeros, "landmark fit": zeros, "network": zeros}, {}


@pytest.mark.slow
def test_what_is_put_right_is_what_the_network_sees(raycast_set, monkeypatch):
    """In the order of the cases, landmarks are the detector's, the true ones, or in between."""
    monkeypatch.setattr(apart, "BATCH", 2)
    truths = {path.stem: dict(np.load(path)) for path in (raycast_set / "truth").glob("*.npz")}
    inner, error = list(apart.INNER_51), np.array([2.0, -1.0])
    detections = [
        Detection(name, None, DetectedFace(truth["landmarks_px"][inner] + error, 1.0))
        for name, truth in truths.items()
    ]
    mirror = Mirror()
    errors = next(apart.Apart(MODEL, mirror).measure(detections, truths))
    back = [
        points @ mirror.cut(detections[0]).linear.T + mirror.cut(detections[0]).offset
        for _, points in mirror.seen
    ]
    true = np.stack([truth["landmarks_px"][inner] for truth in truths.values()])
    for case, points in zip(apart.CASES[:4], back):
        expected = true if case.true_landmarks else true + error
        np.testing.assert_allclose(points, expected, atol=0.05)
    np.testing.assert_allclose(back[4] - back[5], np.broadcast_to(error, back[4].shape), atol=0.05)
    assert np.abs(back[5] - true).max() > 0.2  # another face
    for case, (grey, _) in zip(apart.CASES, mirror.seen):
        assert (grey.max() > 0) == case.own_picture
    same, other = (errors[apart.CASES[k].name]["network"] for k in (2, 4))
    for name, values in (("vertices", same), ("coefficients", other)):
        for truth, value in zip(truths.values(), values):
            face = truth[name] if name == "vertices" else MODEL.vertices(truth[name])
            assert value == pytest.approx(vertex_error_mm(MODEL.mean[INNER], face[INNER]), rel=1e-4)
