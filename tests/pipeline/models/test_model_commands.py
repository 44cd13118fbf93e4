"""`facerelief model convert`, `landmarks`, `info` and `render`, from other projects' files."""

import json
import pathlib

import cv2
import foreign_models as formats
import numpy as np
import pytest
from typer.testing import CliRunner

from facemodel.morphable import landmarks
from facemodel.morphable.conversion import transfer
from facemodel.morphable.mesh import ModelError
from facemodel.morphable.model import MorphableModel
from facemodel.morphable.readers.read import read_foreign
from pipeline.cli import SUBCOMMANDS, make_app
from pipeline.models import convert
from serving.images import read_photo

DEMO = pathlib.Path("docs/images/demo.jpg")


def run(*words, code=0):
    result = CliRunner().invoke(make_app(), [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """ICT-FaceKit's folder with the default model's coarse faces in it."""
    model, path = MorphableModel.load(level=0), tmp_path_factory.mktemp("ict")
    jaw = model.expression_names.index("arkit/jawOpen")
    chosen = list(landmarks.IBUG_68)
    corner = model.landmark_barycentric[chosen].argmax(1)
    vertices = model.triangles[model.landmark_triangles[chosen], corner]
    shapes = formats.Shapes(
        model.mean + 20, model.identity[:6], model.expression[[jaw, 0]], model.triangles,
        model.albedo_mean, model.albedo[:2],
    )  # fmt: skip
    formats.write_ict(path, shapes, ("jawOpen", "browDown_L"), vertices)
    return path


@pytest.fixture(scope="module")
def model_file(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("converted") / "ict.npz"
    said = run("model", "convert", folder, "-o", path).stdout
    assert "ICT-FaceKit" in said and "borrowed" in said and f"wrote {path}" in said
    lines = dict(line.split("  ", 1) for line in said.splitlines() if "  " in line)
    assert lines["identity vectors"].strip() == "6"
    assert lines["expression vectors"].strip() == "2"
    assert len(lines["vertices at levels 0, 1, 2"].split(", ")) == 3
    return path


@pytest.mark.parametrize("name", SUBCOMMANDS["model"])
def test_every_subcommand_explains_itself_with_an_example(name):
    assert f"facerelief model {name}" in " ".join(run("model", name, "--help").stdout.split())


def test_the_command_itself_still_builds_the_default_model(monkeypatch, tmp_path):
    from pipeline import build_model

    asked = []
    monkeypatch.setattr(build_model, "build_model", lambda *a, **k: asked.append((a, k)))
    with pytest.raises(TypeError):  # as nothing was built, there are no figures to show
        run("model", "--output", tmp_path / "m.npz")
    ((target,), options) = asked[0]
    assert target == tmp_path / "m.npz" and options["head_output"] == tmp_path / "m_head.npz"
    run("model", "nonsense", code=2)


def test_info_says_what_is_in_the_file(model_file):
    said = " ".join(run("model", "info", model_file).stdout.split())
    assert "identity vectors 6;" in said and "expression vectors 2: arkit/jawOpen" in said
    assert "borrowed colours" in said and "landmarks by list" in said and "MIT licence" in said


def test_render_draws_a_sheet(model_file, tmp_path):
    run("model", "render", model_file, "-o", tmp_path / "sheet.png")
    sheet = cv2.imread(str(tmp_path / "sheet.png")).astype(int)
    assert sheet.shape == (1024, 1536, 3)
    for row in range(4):
        for column in range(6):
            panel = sheet[256 * row : 256 * (row + 1), 256 * column : 256 * (column + 1)]
            assert 0.1 < (np.abs(panel - 128).max(-1) > 3).mean() < 0.9
    yellow = (np.abs(sheet[256:512, :256] - [0, 230, 255]).max(-1) < 5).sum()
    assert yellow >= 51


def test_another_list_takes_the_place_of_the_models(folder, tmp_path):
    lists = json.loads((folder / "vertex_indices.json").read_text())["idx_to_landmark_verts"]
    file = tmp_path / "list.json"
    foreign = read_foreign(folder)
    file.write_text(json.dumps([-1] * 17 + lists[17:]))
    np.testing.assert_array_equal(convert.read_list(file, foreign)[17:], foreign.landmarks[17:])
    assert (convert.read_list(file, foreign)[:17] == -1).all()
    for content, message in (
        ("[1, 2]", "should be a list of 68"),
        ("{", "not a JSON list"),
        (json.dumps([9999] * 68), "should lie in"),
    ):
        file.write_text(content)
        with pytest.raises(ModelError, match=f"{file}: .*{message}"):
            convert.read_list(file, foreign)
    words = ("model", "convert", folder, "-o", tmp_path / "n.npz", "--landmarks", file)
    assert f"error: {file}: vertices should lie in" in run(*words, code=2).stderr
    assert not (tmp_path / "n.npz").exists()


def test_bad_input_is_one_line_with_its_name(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"cposix\nsystem\n(Vtrue\ntR.")
    said = run("model", "convert", tmp_path / "a.pkl", "-o", tmp_path / "a.npz", code=2).stderr
    assert said.splitlines()[-1].startswith(f"error: {tmp_path / 'a.pkl'}: refused: it names posix")
    said = run("model", "info", tmp_path / "none.npz", code=2).stderr
    assert said.startswith(f"error: {tmp_path / 'none.npz'}: no such face model")


@pytest.mark.slow
def test_the_detector_finds_what_no_list_says(tmp_path):
    """The default model in Basel's format gets its own landmarks back."""
    default = MorphableModel.load()
    shapes = formats.Shapes(
        default.mean + np.float32([0, 50, -80]), default.identity[:5], default.expression[:40] / 3,
        default.triangles, default.albedo_mean, default.albedo[:20],
    )  # fmt: skip
    formats.write_basel_h5(tmp_path / "basel.h5", shapes)
    run("model", "convert", tmp_path / "basel.h5", "-o", tmp_path / "basel.npz")
    model = MorphableModel.load(tmp_path / "basel.npz")
    found, expected = transfer.landmark_points(model), transfer.landmark_points(default)
    distance = np.linalg.norm(found - expected, axis=1)
    assert np.median(distance) < 1 and np.median(distance[list(landmarks.INNER_51)]) < 1
    before = run("model", "landmarks", tmp_path / "basel.npz", "-o", tmp_path / "b.npz").stdout
    again = transfer.landmark_points(MorphableModel.load(tmp_path / "b.npz"))
    assert "moved" in before and np.median(np.linalg.norm(again - found, axis=1)) < 0.5


@pytest.mark.slow
@pytest.mark.e2e
def test_without_weights_the_landmark_fit_is_served(model_file, tmp_path):
    options = ("--start", "landmark_fit", "--iterations", 0)
    run("export", "-o", tmp_path / "fit", "--model", model_file, *options)
    run("reconstruct", DEMO, "-o", tmp_path / "out", "--model", tmp_path / "fit")
    said = json.loads((tmp_path / "out/demo_0.json").read_text())
    assert np.abs(list(said["coefficients"].values())).max() > 0.3


@pytest.mark.slow
@pytest.mark.e2e
def test_a_converted_model_is_trained_exported_and_used(model_file, tmp_path):
    records, trained, served = (tmp_path / name for name in ("faces", "run", "mine"))
    run("synthesize", "-o", records, "-n", 8, "--model", model_file, "--recipe", "lifelike")
    assert (records / "contact_sheet.png").is_file()
    run(
        "train", "--out", trained, "--data", records, "--model", model_file,
        "--samples", 16, "--batch-size", 4, "--size", 32,
    )  # fmt: skip
    weights = trained / "regressor_float16.npz"
    run("export", "-o", served, "--model", model_file, code=2)  # the shipped weights do not fit
    run("export", "-o", served, "--model", model_file, "--weights", weights, "--level", 1)
    run("reconstruct", DEMO, "-o", tmp_path / "out", "--model", served)
    said = json.loads((tmp_path / "out/demo_0.json").read_text())
    assert len(said["coefficients"]) == 8
    height, width, _ = read_photo(DEMO).shape
    points = np.array(said["landmarks_68_px"])
    assert points.shape == (68, 2)
    assert (points > 0).all() and (points < [width, height]).all()
    lines = (tmp_path / "out/demo_0.obj").read_text().splitlines()
    count = sum(line.startswith("v ") for line in lines)
    assert count == MorphableModel.load(model_file).vertex_count
