"""Neutral shapes of one person and of two; landmarks against ground truth of each format."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.io import savemat
from typer.testing import CliRunner

from facemodel.morphable.landmarks import IBUG_68
from pipeline import cli
from pipeline.evaluation import identity, photo_landmarks
from pipeline.evaluation.landmark_files import read_photo_landmarks, read_yaw_deg
from pipeline.evaluation.photo_faces import NeutralFaces, photos_in

TRUTH = np.random.default_rng(0).uniform(20, 200, size=(68, 2))


def write_pairs(path, text):
    path.write_text(text)
    return identity.read_pairs(path)


@pytest.fixture(scope="module")
def faces(tiny_model):
    return NeutralFaces(tiny_model, None)


def test_shapes_of_one_person_are_near_each_other(faces, tmp_path):
    """Two persons with two photos each, whose coefficients differ a little."""
    pairs = write_pairs(tmp_path / "p.csv", "photo,person\na,1\nb,1\nc,2\nd,2\n")
    rng = np.random.default_rng(1)
    persons = 2 * rng.normal(size=(2, faces.model.coefficient_count))
    found = {k: persons[k // 2] + 0.05 * rng.normal(size=persons.shape[1]) for k in range(4)}
    result = identity.compare(faces, found, pairs)
    for separation in result.separations.values():
        assert (separation.same_pairs, separation.other_pairs) == (2, 4)
        assert separation.auc == 1.0
        assert separation.ratio < 0.3
    assert result.nearest == 1.0
    result.write_json(tmp_path / "result.json")
    assert (tmp_path / "result.json").stat().st_size > 100


def test_the_expression_is_taken_out(faces):
    coefficients = np.random.default_rng(2).normal(size=faces.model.coefficient_count)
    face = SimpleNamespace(coefficients=coefficients, vertices=faces.model.vertices(coefficients))
    first, rest = faces.model.split(faces.neutral(face))
    np.testing.assert_array_equal(first, coefficients[: faces.model.identity_count])
    assert not rest.any()
    with pytest.raises(ValueError, match="--face-model"):
        faces.neutral(SimpleNamespace(coefficients=coefficients, vertices=face.vertices + 1))


def test_listed_pairs_are_taken_as_they_are(tmp_path):
    pairs = write_pairs(tmp_path / "p.csv", "first,second,same\na,b,1\na,c,0\n")
    assert pairs.photos == ("a", "b", "c")
    assert pairs.pairs.tolist() == [[0, 1], [0, 2]]
    assert pairs.same.tolist() == [True, False]
    assert pairs.persons is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,id\na,1\n", "photo,person or first,second,same, got name,id"),
        ("photo,person\na,1\na,2\n", "names a twice"),
        ("first,second,same\na,b,maybe\n", "line 2: same should be 0 or 1, got 'maybe'"),
        ("", "got nothing"),
    ],
)
def test_other_files_of_pairs_are_refused(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_pairs(tmp_path / "p.csv", text)


def test_a_missing_photo_is_named(tmp_path):
    (tmp_path / "p.csv").write_text("photo,person\na.jpg,1\nb.jpg,1\n")
    words = ["evaluate", "identity", "--photos", tmp_path, "--pairs", tmp_path / "p.csv"]
    result = CliRunner().invoke(cli.make_app(), [*map(str, words)])
    assert result.exit_code == 2
    assert "a.jpg: no such photo" in result.stderr


def write_truth(folder, suffix):
    """TRUTH in px of this project, as files of each format count them."""
    path = folder / f"face{suffix}"
    if suffix == ".mat":
        content = {"pt3d_68": np.vstack([TRUTH.T + 0.5, np.zeros(68)])}
        savemat(path, {**content, "Pose_Para": [[0.1, np.deg2rad(-35), 0, 0, 0, 0, 1.0]]})
    elif suffix == ".pts":
        rows = "\n".join(f"{x} {y}" for x, y in TRUTH + 0.5)
        path.write_text(f"version: 1\nn_points: 68\n{{\n{rows}\n}}\n")
    else:
        path.write_text(str({"landmarks_68_px": TRUTH.tolist()}).replace("'", '"'))
    return path


@pytest.mark.parametrize(
    ("suffix", "unit", "yaw"),
    [(".mat", "box", -35.0), (".pts", "inter-ocular", 12.0), (".json", "inter-ocular", 12.0)],
)
def test_errors_against_each_format(suffix, unit, yaw, tmp_path):
    path = write_truth(tmp_path, suffix)
    truth = read_photo_landmarks(path)
    np.testing.assert_allclose(truth, TRUTH, atol=1e-9)
    detected = np.zeros((478, 2))
    detected[list(IBUG_68)] = TRUTH
    face = SimpleNamespace(
        landmarks_68_px=TRUTH + np.array([3, 4]),
        detection=SimpleNamespace(landmarks=detected),
        quality=SimpleNamespace(yaw_deg=12.0),
    )
    found = photo_landmarks.measure("face", path, truth, face)
    assert found.unit == unit
    assert found.yaw_deg == pytest.approx(yaw)
    size = photo_landmarks.UNITS[unit](TRUTH)
    assert found.errors["face", "68", unit] == pytest.approx(5 / size)
    assert found.errors["detector", "68", unit] == pytest.approx(0, abs=1e-9)
    lost = photo_landmarks.measure("lost", path, truth, None)
    result = photo_landmarks.LandmarkResult(unit, (found, lost), ())
    assert result.summary("face", "68", unit).faces == 1
    assert result.summary("face", "68", unit).failures >= 0.5
    result.write_json(tmp_path / "result.json")


def test_ground_truth_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "a.pts"
    path.write_text("version: 1\nn_points: 2\n{\n1 2\n3 4\n}\n")
    with pytest.raises(ValueError, match="expected 68 points, got 2"):
        read_photo_landmarks(path)
    savemat(tmp_path / "b.mat", {"other": np.zeros(3)})
    with pytest.raises(ValueError, match=r"b.mat: .*pt3d_68"):
        read_photo_landmarks(tmp_path / "b.mat")
    assert read_yaw_deg(path) is None


def test_photos_without_ground_truth_are_named(tmp_path):
    write_truth(tmp_path, ".pts")
    for name in ("face.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).touch()
    truths, passed_over, failed = photo_landmarks.read_truths(photos_in(tmp_path))
    assert [photo.place.name for photo in truths] == ["face.jpg"] and failed == []
    result = photo_landmarks.LandmarkResult("box", (), (), passed_over)
    said = photo_landmarks.passed_over(result)
    assert said == "2 photos without ground truth passed over: b.jpg, c.jpg"
    many = photo_landmarks.LandmarkResult("box", (), (), tuple("abcdefgh"))
    assert photo_landmarks.passed_over(many) == "8 photos without ground truth passed over"
    assert photo_landmarks.passed_over(photo_landmarks.LandmarkResult("box", (), ())) is None
