"""`facerelief video` on a short synthetic clip, from frames to files."""

import json

import cv2
import numpy as np
import pygltflib
import pytest
from typer.testing import CliRunner

from pipeline import cli
from pipeline.inference import video
from serving.output.video import encode_mp4
from serving.stopwatch import Stopwatch

FRAMES = 12


def run(*words):
    return CliRunner().invoke(cli.make_app(), ["video", *map(str, words)], catch_exceptions=False)


@pytest.mark.slow
@pytest.mark.e2e
def test_a_clip_becomes_tracks_heads_and_a_film(tmp_path):
    from pipeline.evaluation.clip_truth import ClipRenderer, Motion

    renderer = ClipRenderer(5, Motion(blinks_s=(0.24,), jaw_s=(0.0, 0.1)))
    truth = [renderer.frame(number) for number in range(FRAMES)]
    folder = tmp_path / "clip"
    folder.mkdir()
    for number, frame in enumerate(truth):
        cv2.imwrite(str(folder / f"{number:03d}.png"), frame.image[..., ::-1])
    first = run(folder, "-o", tmp_path / "out", "--keep-cache")
    assert first.exit_code == 0
    parts = ["loading", "first pass", "second pass", "heads and films"]
    assert all(f"{part} " in first.output for part in parts)

    with np.load(tmp_path / "out/clip_0.npz") as track:
        assert track["valid"].all() and track["frame"].tolist() == list(range(FRAMES))
        places = np.stack([frame.landmarks_68_px for frame in truth])
        away = np.linalg.norm(track["landmarks_68_px"] - places, axis=-1)[:, 17:]
        assert away.mean() < 4.0
        yaw = [frame.yaw_deg for frame in truth]
        assert np.abs(track["yaw_deg"] - yaw).mean() < 6.0
        moved = track["coefficients"][:, :200]
        assert np.ptp(moved, axis=0).max() == 0
        turned = track["landmarks_68_mm"] @ np.swapaxes(track["rotation"], 1, 2)
        pixels = track["scale"][:, None, None] * turned[..., :2] * (1, -1)
        np.testing.assert_allclose(
            pixels + track["translation"][:, None], track["landmarks_68_px"], atol=0.01
        )
    said = json.loads((tmp_path / "out/clip_0.json").read_text())
    assert len(said["frames"]) == FRAMES and said["film"]["fps"] == 25
    head = pygltflib.GLTF2.load(str(tmp_path / "out/clip_0.glb"))
    assert head.accessors[head.animations[0].samplers[0].input].count == FRAMES
    film = cv2.VideoCapture(str(tmp_path / "out/clip.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES


def test_rates_are_those_of_the_passes_and_not_of_the_start():
    watch = Stopwatch()
    watch.seconds = {"loading": [20.0], "first pass": [10.0], "second pass": [1.0, 1.0]}
    said = video.in_words(watch, {"first pass": 60, "second pass": 60})
    assert said == (
        "loading 20.0 s; first pass 10.0 s, 6.0 frames/s; second pass 2.0 s, 30.0 frames/s"
    )


def test_an_npz_of_something_else_is_no_weights(tmp_path):
    np.savez(tmp_path / "basel.npz", mean=np.zeros(3), identity=np.zeros(3))
    result = run("film.mp4", "-o", tmp_path / "out", "--weights", tmp_path / "basel.npz")
    assert result.exit_code == 2
    assert "basel.npz: not a weights file of this project" in result.output
    assert "mean, identity" in " ".join(result.output.split())


@pytest.mark.e2e
def test_a_film_without_a_face_is_named(tmp_path):
    rng = np.random.default_rng(0)
    frames = [cv2.resize(rng.integers(0, 255, (6, 8, 3)).astype(np.uint8), (96, 64))] * 3
    (tmp_path / "empty.mp4").write_bytes(encode_mp4(frames, fps=10))
    result = run(tmp_path / "empty.mp4", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "no face found in 5 or more of its 3 frames" in result.output
    assert not [*(tmp_path / "out").iterdir()]


def test_a_film_is_not_replaced_by_its_result(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(encode_mp4([np.zeros((64, 96, 3), np.uint8)] * 2, fps=10))
    before = path.read_bytes()
    result = run(path, "-o", tmp_path)
    assert result.exit_code == 2 and "would replace it" in result.output
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("words", [("gone.mp4",), ("camera:97",)])
def test_what_cannot_be_opened_is_named(tmp_path, words):
    result = run(*words, "-o", tmp_path / "out")
    assert result.exit_code == 2 and words[0].replace("camera:", "camera ") in result.output
