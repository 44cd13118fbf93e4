"""Films of heads: what they show when, and that their files hold the frames."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image
from textured_meshes import tiny_head
from typer.testing import CliRunner

from pipeline import cli
from serving.output.gltf import encode_glb
from serving.output.gltf_read import read_glb
from serving.output.turntable import (
    EXPRESSIONS,
    LIGHT_ENDS,
    TURN_ENDS,
    moment,
    render_frame,
    render_frames,
)
from serving.output.video import encode_gif, encode_mp4


@pytest.fixture(scope="module")
def mesh():
    return tiny_head(normal_map=True)


@pytest.fixture(scope="module")
def frames(mesh):
    return list(render_frames(mesh, size=48, count=12))


def test_the_film_ends_as_it_began_and_does_not_jump():
    times = np.linspace(0, 1, 2001)[:-1]
    shown = [moment(time) for time in times]
    shown.append(shown[0])
    yaw = np.radians([step.yaw_deg for step in shown])
    turns = np.abs(np.angle(np.exp(1j * np.diff(yaw))))
    assert np.degrees(turns.max()) < 1.0
    assert np.abs(np.diff([step.lamp_deg for step in shown])).max() < 2.0
    for name in {name for weights in EXPRESSIONS for name in weights}:
        weights = [step.weights.get(name, 0.0) for step in shown]
        assert np.abs(np.diff(weights)).max() < 0.03
        assert max(weights) > 0.3


def test_the_head_turns_then_the_lamp_then_the_face():
    before, lit, last = moment(TURN_ENDS / 2), moment((TURN_ENDS + LIGHT_ENDS) / 2), moment(0.75)
    assert before.yaw_deg == pytest.approx(180.0) and not before.weights
    assert lit.yaw_deg == 0.0 and lit.lamp_deg != before.lamp_deg
    assert any(last.weights.values()) and last.lamp_deg == before.lamp_deg


def test_frames_are_those_of_the_moments_in_order(mesh, frames):
    for number in (0, 5, 11):
        alone = render_frame(mesh, moment(number / 12), size=48)
        np.testing.assert_array_equal(frames[number], alone)
    assert len(frames) == 12


def test_expressions_move_the_face(mesh):
    shown = moment(0.0)
    still = render_frame(mesh, shown, size=64)
    moved = render_frame(mesh, shown._replace(weights={"jawOpen": 1.0, "unknown": 1.0}), size=64)
    assert np.abs(still.astype(int) - moved).max() > 10


def test_mp4_holds_the_frames(frames, tmp_path):
    content = encode_mp4(frames, fps=10)
    assert content == encode_mp4(iter(frames), fps=10)
    (tmp_path / "film.mp4").write_bytes(content)
    film = cv2.VideoCapture(str(tmp_path / "film.mp4"))
    assert film.get(cv2.CAP_PROP_FPS) == 10
    for frame in frames:
        _, found = film.read()
        assert np.abs(found[..., ::-1].astype(int) - frame).mean() < 5
    assert film.read()[0] is False


def test_gif_holds_the_frames(frames):
    content = encode_gif(frames, fps=10, palette_from=frames)
    assert content == encode_gif(iter(frames), fps=10, palette_from=frames)
    film = Image.open(io.BytesIO(content))
    assert (film.n_frames, film.info["duration"], film.info["loop"]) == (12, 100, 0)
    for number, frame in enumerate(frames):
        film.seek(number)
        assert np.abs(np.asarray(film.convert("RGB")).astype(int) - frame).mean() < 6


@pytest.mark.parametrize(
    "encode",
    [
        encode_mp4,
        lambda frames, fps: encode_gif(
            frames, fps=fps, palette_from=[np.zeros((4, 4, 3), np.uint8)]
        ),
    ],
)
def test_no_frames_no_film(encode):
    with pytest.raises(ValueError, match="needs a frame"):
        encode([], fps=10)


@pytest.fixture
def run(mesh, tmp_path):
    (tmp_path / "anna_0.glb").write_bytes(encode_glb(mesh))
    options = ("--size", "32", "--seconds", "0.5", "--fps", "8")

    def command(face, film, *more):
        words = ["turntable", str(tmp_path / face), "-o", str(tmp_path / film), *options, *more]
        return CliRunner().invoke(cli.make_app(), words, catch_exceptions=False)

    return command


@pytest.mark.parametrize("face", ["anna_0", "anna_0.glb", "anna_0.json"])
def test_a_face_is_named_by_any_of_its_files(run, face, tmp_path):
    assert run(face, "film.gif").exit_code == 0
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 4 and film.size == (32, 32)
    mesh = read_glb(tmp_path / "anna_0.glb")
    expected = render_frame(mesh, moment(0.0), size=32)
    with Image.open(tmp_path / "film.gif") as film:
        assert np.abs(np.asarray(film.convert("RGB")).astype(int) - expected).mean() < 6


@pytest.mark.parametrize(
    ("face", "film", "more", "message"),
    [
        ("bert_0", "film.mp4", (), "no such .glb"),
        ("anna_0", "film.avi", (), "should end in .mp4 or .gif"),
        ("anna_0", "film.mp4", ("--size", "33"), "should be even"),
        ("anna_0", "missing/film.mp4", (), "no such folder"),
        ("broken", "film.gif", (), "broken.glb: is no .glb file of glTF 2"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_written(run, tmp_path, face, film, more, message):
    (tmp_path / "broken.glb").write_bytes(b"glTF, but not really")
    result = run(face, film, *more)
    assert result.exit_code == 2
    assert message in result.stderr if result.stderr_bytes else message in result.output
    assert not list(tmp_path.glob("**/film.*"))
