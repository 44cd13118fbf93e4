"""From a photo to files: the library, the command with good and bad inputs, and the whole path."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import tensorflow as tf
import trimesh
from PIL import Image
from typer.testing import CliRunner

from facemodel.files import file_digest
from facemodel.morphable import mesh
from facemodel.morphable.landmarks import IBUG_68, INNER_51
from facemodel.morphable.model import MorphableModel
from facemodel.network.pretrained import load_pretrained
from facemodel.saved_model import export
from facemodel.texture import visible
from pipeline.cli import make_app
from pipeline.inference import starting
from pipeline.inference.photo_job import AHEAD
from serving import model_store, quality
from serving.detection.window import cut_window
from serving.images import read_photo
from serving.local_model import LocalModel
from serving.output.description import describe
from serving.output.face_files import face_alone
from serving.output.gltf_read import read_glb
from serving.reconstructor import Reconstructor

DEMO = pathlib.Path("docs/images/demo.jpg")
SUFFIXES = ("obj", "mtl", "texture.jpg", "ply", "glb", "json", "png")


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """The shipped model with its coarse mesh."""
    model = MorphableModel.load(level=0)
    folder = tmp_path_factory.mktemp("model") / "coarse"
    export.export_saved_model(model, load_pretrained(model), folder)
    return folder


@pytest.fixture(scope="module")
def loaded(model_dir):
    return LocalModel(model_dir)


@pytest.fixture(scope="module")
def reconstructor(loaded):
    with Reconstructor(face_model=loaded) as reconstructor:
        yield reconstructor


@pytest.fixture(scope="module")
def photo():
    return read_photo(DEMO)


@pytest.fixture(scope="module")
def face(reconstructor, photo):
    (face,) = reconstructor.reconstruct(photo)
    return face


def test_the_face_lands_where_it_is_in_the_photo(face):
    inner = list(INNER_51)
    distance = np.linalg.norm(face.landmarks_68_px[17:] - face.detection.landmarks[inner], axis=1)
    assert np.sqrt((distance**2).mean()) / face.scale < quality.POOR_FIT_MM
    projected, _ = face.to_photo(face.landmarks_68_mm)
    np.testing.assert_allclose(projected, face.landmarks_68_px)
    np.testing.assert_allclose(face.rotation @ face.rotation.T, np.eye(3), atol=1e-5)
    assert abs(face.quality.yaw_deg) < 15 and abs(face.quality.pitch_deg) < 20
    assert face.flags == ()
    assert face.iterations.shape == (4, 284)
    assert len(face.coefficient_names) == 284


@pytest.fixture(scope="module")
def whole(face, photo, reconstructor):
    """What the SavedModel says to the whole photo."""
    saved = tf.saved_model.load(str(reconstructor.model.path))
    landmarks = face.detection.landmarks[None]
    return saved.signatures["serving_default"](image=photo[None], landmarks=landmarks)


def test_the_crop_is_the_photo_seen_through_its_transform(face, photo, whole):
    crop = whole["crop"][0].numpy()
    matrix = face.crop_from_image.copy()
    matrix[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    expected = cv2.warpAffine(grey, matrix, crop.shape[::-1], flags=cv2.INTER_LINEAR)
    assert np.abs(expected.astype(int) - crop).mean() < 2.0


def test_the_window_changes_nothing(face, whole):
    """The SavedModel on the whole photo gives the same as on the part that is cut out for it."""
    # Float32 pixels of other origins round differently, which the loop may enlarge a little.
    limits = {"coefficients": 1e-2, "vertices": 5e-2, "rotation": 2e-3, "crop_from_image": 2e-3}
    for name, limit in limits.items():
        np.testing.assert_allclose(getattr(face, name), whole[name][0], atol=limit, err_msg=name)
    np.testing.assert_allclose(face.scale, whole["scale"][0], rtol=1e-4)
    np.testing.assert_allclose(face.translation, whole["translation"][0], atol=0.01)


def test_a_large_photo_gives_the_same_face_in_its_own_pixels(face, photo, reconstructor):
    large = cv2.resize(photo, (4096, 4096), interpolation=cv2.INTER_CUBIC)
    detection = type(face.detection)(face.detection.landmarks * 8, face.detection.score)
    window, _, _ = cut_window(large, detection)
    assert max(window.shape) == 1024
    result = reconstructor.reconstruct_face(large, detection)
    np.testing.assert_allclose(result.landmarks_68_px, 8 * face.landmarks_68_px, atol=4.0)
    assert np.linalg.norm(result.vertices - face.vertices, axis=1).mean() < 0.3


def test_a_face_is_followed_into_the_next_picture(face, photo, reconstructor):
    moved = np.roll(photo, (4, 7), axis=(0, 1))
    followed = reconstructor.follow(moved, face)
    np.testing.assert_allclose(followed.translation, np.add(face.translation, (7, 4)), atol=1.5)
    distance = np.linalg.norm(followed.vertices - face.vertices, axis=-1).mean()
    assert 0 < distance < 0.5
    assert reconstructor.follow(np.zeros_like(photo), face) is None


def test_threads_share_a_reconstructor(face, photo, reconstructor):
    """Each gets the face of its own photo, as one after the other does."""
    photos = [photo, np.ascontiguousarray(photo[:, ::-1])]
    alone = [face, *reconstructor.reconstruct(photos[1])]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(reconstructor.reconstruct, 3 * photos))
    for (result,), expected in zip(results, 3 * alone):
        np.testing.assert_allclose(result.coefficients, expected.coefficients, atol=1e-3)


def test_a_face_cut_by_the_border_is_flagged(photo, reconstructor):
    (cut,) = reconstructor.reconstruct(np.ascontiguousarray(photo[:, 205:]))
    assert "cut_by_border" in cut.flags
    assert cut.quality.outside_fraction > 0.05


def test_a_small_face_is_flagged(photo, reconstructor):
    canvas = np.full((600, 600, 3), 128, np.uint8)
    canvas[100:300, 100:300] = cv2.resize(photo, (200, 200), interpolation=cv2.INTER_AREA)
    (small,) = reconstructor.reconstruct(canvas)
    assert "small_face" in small.flags


def test_only_the_largest_faces_if_asked(photo, reconstructor):
    half = cv2.resize(photo, (256, 256), interpolation=cv2.INTER_AREA)
    pair = np.concatenate([photo, np.pad(half, ((0, 256), (0, 0), (0, 0)))], 1)
    assert len(reconstructor.reconstruct(pair)) == 2
    (largest,) = reconstructor.reconstruct(pair, max_faces=1)
    assert largest.detection.landmarks[:, 0].max() < 512


FRONTAL = {
    "rotation": np.eye(3),
    "scale": 1.0,
    "detected_478": np.array([[100.0, 100.0], [250.0, 280.0]]),
    "residual_px": np.zeros((51, 2)),
    "score": 0.9,
    "photo_size": (400, 400),
}


def turned(yaw, pitch, roll):
    from facemodel.transforms import euler_rotation

    return np.asarray(euler_rotation(*np.float32(np.radians([yaw, pitch, roll]))), np.float64)


@pytest.mark.parametrize(
    ("changes", "flags"),
    [
        ({}, ()),
        ({"rotation": turned(50, 0, 0)}, ("extreme_pose",)),
        ({"rotation": turned(0, -30, 0)}, ("extreme_pose",)),
        ({"rotation": turned(20, 10, 90)}, ()),
        ({"scale": 0.4}, ("small_face",)),
        ({"photo_size": (270, 400)}, ("cut_by_border",)),
        ({"photo_size": (400, 251)}, ("cut_by_border",)),
        ({"score": 0.55}, ("low_confidence",)),
        ({"residual_px": np.full((51, 2), 5.8)}, ("poor_fit",)),
        ({"residual_px": np.full((51, 2), 5.5)}, ()),
    ],
)
def test_quality_flags(changes, flags):
    assert quality.assess(**{**FRONTAL, **changes}).flags == flags


@pytest.mark.parametrize("angles", [(10.0, -20.0, 30.0), (-60.0, 5.0, -100.0), (0.0, 0.0, 0.0)])
def test_angles_are_read_off_a_rotation(angles):
    np.testing.assert_allclose(np.degrees(quality.euler_angles(turned(*angles))), angles, atol=1e-3)


def test_colours_come_from_where_the_photo_shows_the_vertex(face):
    """A photo that is red left of the nose and blue right of it colours the mesh so."""
    painted = np.zeros((512, 512, 3), np.uint8)
    middle = round(face.translation[0])
    painted[:, :middle, 0] = 200
    painted[:, middle:, 2] = 200
    result, seen = visible.photo_colours(painted, face)
    clear = seen > 0.95
    assert 0.2 < clear.mean() < 0.9
    camera = face.vertices @ face.rotation.T
    left, right = clear & (camera[:, 0] < -15), clear & (camera[:, 0] > 15)
    assert (np.abs(result[left].astype(int) - (200, 0, 0)) < 25).all()
    assert (np.abs(result[right].astype(int) - (0, 0, 200)) < 25).all()
    normals = mesh.vertex_normals(face.vertices, face.triangles) @ face.rotation.T
    assert (seen[normals[:, 2] < 0] == 0).all()


def test_the_description_says_everything(face, photo):
    surface = face_alone(photo, face, "demo_0")
    described = describe(
        face, photo_facts={"name": "demo.jpg"}, photo_size=(512, 512), mesh=surface,
        options={"detail": "none"},
    )  # fmt: skip
    described = json.loads(json.dumps(described))
    assert described["model"]["model_name"] == face.model.facts["model_name"]
    assert list(described["coefficients"]) == list(face.coefficient_names)
    values = list(described["coefficients"].values())
    np.testing.assert_allclose(values, face.coefficients, rtol=1e-6)
    pose = described["pose"]
    points = np.array(described["landmarks_68_mm"]) @ np.array(pose["rotation"]).T
    pixels = points[:, :2] * (1, -1) * pose["scale_px_per_mm"] + pose["translation_px"]
    np.testing.assert_allclose(pixels, described["landmarks_68_px"], atol=1e-3)
    detected = np.array(described["detected_landmarks_68_px"])
    np.testing.assert_allclose(detected, face.detection.landmarks[list(IBUG_68)], rtol=1e-6)
    assert described["quality"]["flags"] == []
    assert described["options"] == {"detail": "none"}
    assert described["mesh"]["vertices"] == described["mesh"]["face_vertices"] == len(face.vertices)


@pytest.fixture
def run(model_dir, loaded, monkeypatch):
    """The command, with the model of these tests as it is loaded already."""
    opened = contextlib.nullcontext(loaded)
    monkeypatch.setattr(starting, "local_opener", lambda model: lambda: opened)

    def run(*arguments):
        words = ["reconstruct", *map(str, arguments), "--model", str(model_dir)]
        return CliRunner().invoke(make_app(), words, catch_exceptions=False)

    return run


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def error_lines(result):
    return [line for line in result.stderr.splitlines() if line.startswith("error: ")]


def test_command_writes_all_files_of_a_face(run, tmp_path):
    result = run(DEMO, "-o", tmp_path / "out" / "deep")
    assert result.exit_code == 0, result.stderr
    assert "1 face from 1 photo" in result.stderr
    assert names(tmp_path / "out" / "deep") == sorted(f"demo_0.{suffix}" for suffix in SUFFIXES)
    described = json.loads((tmp_path / "out" / "deep" / "demo_0.json").read_text())
    assert described["photo"] == {
        "name": "demo.jpg",
        "path": "demo.jpg",
        "sha256": file_digest(DEMO),
        "faces": 1,
        "max_faces": None,
        "width": 512,
        "height": 512,
    }
    mesh = trimesh.load(tmp_path / "out" / "deep" / "demo_0.ply", process=False)
    assert len(mesh.vertices) == len(MorphableModel.load(level=0).mean)
    skin = mesh.visual.vertex_colors[:, :3].mean(0)
    assert skin[0] > skin[1] > skin[2] > 40
    with Image.open(tmp_path / "out" / "deep" / "demo_0.png") as overview:
        assert overview.width > 1500 and overview.height > 400


def test_command_is_repeatable_and_overwrites_only_when_told(run, tmp_path):
    out = tmp_path / "out"
    assert run(DEMO, "-o", out, "--formats", "obj,glb").exit_code == 0
    first = {name: (out / name).read_bytes() for name in names(out)}
    assert set(first) == {f"demo_0.{suffix}" for suffix in SUFFIXES} - {"demo_0.ply"}
    (out / "demo_0.obj").write_bytes(b"mine")
    again = run(DEMO, "-o", out, "--formats", "obj,glb")
    assert again.exit_code == 0
    assert "0 faces from 0 photos" in again.stderr and "1 done before" in again.stderr
    assert run(DEMO, "-o", out).exit_code == 0
    assert set(names(out)) == {*first, "demo_0.ply"}
    assert (out / "demo_0.obj").read_bytes() == b"mine"
    (out / "demo_0.ply").unlink()
    for name in first:  # as if an earlier run had found a second face
        shutil.copy(out / name, out / name.replace("_0", "_1"))
    (out / "demo_2.png").write_bytes(b"mine")
    bare = run(DEMO, "-o", out, "--formats", "obj,glb", "--no-texture", "--overwrite")
    assert bare.exit_code == 0 and "1 face from 1 photo" in bare.stderr, bare.stderr
    assert {f"demo_0.{end}" for end in ("mtl", "texture.jpg")} & set(names(out)) == set()
    assert run(DEMO, "-o", out, "--formats", "obj,glb", "--overwrite").exit_code == 0
    expected = first | {"demo_2.png": b"mine"}
    assert {name: (out / name).read_bytes() for name in names(out)} == expected


@pytest.mark.slow
def test_results_are_the_same_however_many_photos_overlap(run, photo, tmp_path):
    """And the errors between them come in the order of the photos."""
    place = tmp_path / "in"
    place.mkdir()
    for number in range(4):
        shifted = np.ascontiguousarray(np.roll(photo, 9 * number, axis=1))
        Image.fromarray(shifted).save(place / f"p{number}.png")
    (place / "p1b.png").write_bytes(b"no picture")
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(place / "p2b.png")
    together = run(place, "-o", tmp_path / "all", "--no-texture", "--timings")
    first, second = error_lines(together)
    assert together.exit_code == 2 and "p1b.png" in first and "p2b.png" in second
    rows = {line[:22].strip(): line.split() for line in together.stderr.splitlines()}
    assert rows["network"][1] == rows["glb"][1] == "4" and rows["detect"][1] == "5"
    for number in range(4):
        assert run(place / f"p{number}.png", "-o", tmp_path / "one", "--no-texture").exit_code == 0
    assert names(tmp_path / "all") == names(tmp_path / "one")
    for name in names(tmp_path / "all"):
        content = (tmp_path / "one" / name).read_bytes()
        assert (tmp_path / "all" / name).read_bytes() == content, name


@pytest.mark.slow
def test_textures_are_the_same_whether_photos_overlap(run, photo, tmp_path):
    """As albedo, too: heads are made in two threads at once."""
    place = tmp_path / "in"
    place.mkdir()
    for number in range(2):
        shifted = np.ascontiguousarray(np.roll(photo, 9 * number, axis=1))
        Image.fromarray(shifted).save(place / f"p{number}.png")
    for options in ([], ["--albedo"]):
        kind = "albedo" if options else "texture"
        together, alone = tmp_path / f"{kind}_all", tmp_path / f"{kind}_one"
        assert run(place, "-o", together, *options).exit_code == 0
        for number in range(2):
            assert run(place / f"p{number}.png", "-o", alone, *options).exit_code == 0
        assert names(together) == names(alone) and len(names(alone)) == 2 * len(SUFFIXES)
        for name in names(together):
            assert (together / name).read_bytes() == (alone / name).read_bytes(), name


@pytest.mark.slow
def test_a_small_face_is_found_when_it_is_asked_for(run, photo, tmp_path):
    """A face of 27 px in a wide photo, in which faces from 45 px on are looked for."""
    crowd = np.full((500, 1800, 3), 90, np.uint8)
    crowd[200:328, 900:1028] = cv2.resize(photo, (128, 128), interpolation=cv2.INTER_AREA)
    Image.fromarray(crowd).save(tmp_path / "crowd.png")
    without = run(tmp_path / "crowd.png", "-o", tmp_path / "out", "--formats", "ply")
    assert error_lines(without) == [
        f"error: {tmp_path / 'crowd.png'}: no face found that is at least 45 px wide "
        "(--min-face looks for smaller ones)"
    ]
    found = run(
        tmp_path / "crowd.png", "-o", tmp_path / "out", "--formats", "ply", "--min-face", "24"
    )
    assert found.exit_code == 0, found.stderr
    described = json.loads((tmp_path / "out" / "crowd_0.json").read_text())
    assert 20 < described["quality"]["face_px"] < 35
    assert "small_face" in described["quality"]["flags"]


def test_command_never_replaces_a_photo_by_a_result(run, tmp_path):
    Image.open(DEMO).save(tmp_path / "anna.png")
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "anna_0.png")
    before = (tmp_path / "anna_0.png").read_bytes()
    photos = (tmp_path / "anna.png", tmp_path / "anna_0.png")
    result = run(*photos, "-o", tmp_path, "--formats", "ply", "--overwrite")
    assert result.exit_code == 2
    first, second = error_lines(result)
    assert first.startswith(f"error: {tmp_path / 'anna.png'}: ")
    assert "would replace a photo" in first
    assert "no face" in second
    assert (tmp_path / "anna_0.png").read_bytes() == before
    assert names(tmp_path) == ["anna.png", "anna_0.png"]


@pytest.fixture
def folder(tmp_path):
    """Two photos of one stem in different folders among files that cannot be used."""
    photos = tmp_path / "photos"
    (photos / "more").mkdir(parents=True)
    shutil.copy(DEMO, photos / "anna.jpg")
    Image.open(DEMO).convert("L").save(photos / "more" / "anna.png")
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "notes.txt").write_text("no photo")
    (photos / "text.jpg").write_text("no photo either")
    (photos / "truncated.jpg").write_bytes(DEMO.read_bytes()[:5000])
    Image.new("RGB", (1, 1)).save(photos / "one_pixel.png")
    Image.new("RGB", (300, 200), "teal").save(photos / "teal.png")
    Image.new("1", (12_000, 12_000)).save(photos / "huge.png")
    return photos


def test_command_works_on_after_bad_files(run, folder):
    out = folder / "out"
    result = run(folder, folder / "missing.jpg", "-o", out, "--formats", "ply")
    assert result.exit_code == 2
    reasons = {
        "empty.jpg": "the file is empty",
        "huge.png": "144 megapixels",
        "one_pixel.png": "1 x 1 px is too small",
        "teal.png": "no face found that is at least 24 px wide",
        "text.jpg": "not an image",
        "truncated.jpg": "damaged image",
        "missing.jpg": "No such file",
    }
    lines = error_lines(result)
    assert len(lines) == len(reasons)
    for name, reason in reasons.items():
        (line,) = (line for line in lines if line.startswith(f"error: {folder / name}: "))
        assert reason in line
    assert "2 faces from 2 photos" in result.stderr and "7 failed" in result.stderr
    expected = [
        f"{name}_0.{suffix}" for name in ("anna", "more_anna") for suffix in ("json", "ply", "png")
    ]
    assert names(out) == sorted(expected)


def test_command_takes_its_own_output_folder_out_of_the_photos(run, tmp_path):
    (tmp_path / "out").mkdir()
    shutil.copy(DEMO, tmp_path / "out" / "anna.jpg")
    result = run(tmp_path, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert error_lines(result) == [f"error: {tmp_path}: no photo in this folder"]


def test_results_beside_the_photos_are_no_photos(run, tmp_path):
    shutil.copy(DEMO, tmp_path / "anna.jpg")
    assert run(tmp_path, "-o", tmp_path, "--formats", "ply").exit_code == 0
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = run(tmp_path, "-o", tmp_path, "--formats", "ply", "--overwrite")
    assert again.exit_code == 0 and "1 face from 1 photo in" in again.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first


def test_command_refuses_a_folder_that_it_cannot_write(run, tmp_path, ordinary_user):
    result = run(DEMO, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert error_lines(result) == [
        f"error: {tmp_path / 'out'}: cannot be written (Permission denied)"
    ]


def test_command_refuses_a_file_in_place_of_the_folder(run, tmp_path):
    (tmp_path / "out").write_text("mine")
    result = run(DEMO, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert error_lines(result)[0].startswith(f"error: {tmp_path / 'out'}: cannot be written")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--formats", "obj,stl"], "unknown format 'stl'; known"),
        (["--formats", "ply,json"], "'json' (.json and .png are always written); known are"),
        (["--formats", " ,"], "--formats: names no format; known are obj, ply, glb"),
        (["--model", "nowhere"], "nowhere: no such folder"),
    ],
)
def test_command_refuses_wrong_options(arguments, message, tmp_path):
    words = ["reconstruct", str(DEMO), "-o", str(tmp_path), *arguments]
    result = CliRunner().invoke(make_app(), words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert names(tmp_path) == []


def test_command_says_when_a_folder_holds_no_photo(run, tmp_path):
    (tmp_path / "photos").mkdir()
    result = run(tmp_path / "photos", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert error_lines(result) == [f"error: {tmp_path / 'photos'}: no photo in this folder"]


def test_the_newest_version_of_a_model_counts(model_dir, tmp_path):
    for version in (2, 10):
        shutil.copytree(model_dir / "1", tmp_path / str(version))
    (tmp_path / ".3-unfinished").mkdir()
    assert model_store.read_saved_model(tmp_path).path == tmp_path / "10"
    assert model_store.read_saved_model(tmp_path / "2").path == tmp_path / "2"


def test_other_saved_models_are_refused(model_dir, tmp_path):
    shutil.copytree(model_dir / "1", tmp_path / "1")
    (tmp_path / "1" / "assets.extra" / "metadata.json").unlink()
    with pytest.raises(model_store.ModelStoreError, match="not a SavedModel of facerelief"):
        model_store.read_saved_model(tmp_path)


def test_a_damaged_saved_model_is_one_line(model_dir, tmp_path):
    shutil.copytree(model_dir, tmp_path / "model")
    (data,) = (tmp_path / "model").rglob("variables.data-*")
    data.write_bytes(data.read_bytes()[:1000])
    words = ["reconstruct", str(DEMO), "-o", str(tmp_path / "out" / "deep")]
    words += ["--model", str(tmp_path / "model")]
    result = CliRunner().invoke(make_app(), words, catch_exceptions=False)
    assert result.exit_code == 2
    (line,) = error_lines(result)
    assert "damaged SavedModel" in line
    assert result.stderr == f"{line}\n"
    assert names(tmp_path) == ["model"]


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch, ordinary_user):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(model_store.ModelStoreError, match=f"{tmp_path}.*Permission denied"):
        model_store.default_model_dir()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.e2e
def test_the_whole_path_in_a_process_of_its_own(cache, tmp_path):
    """A first run on a fresh machine: exports the shipped model into the cache, then uses it."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-m", "pipeline.cli", "reconstruct", DEMO, "-o", tmp_path / "out"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path / "out") == sorted(f"demo_0.{suffix}" for suffix in SUFFIXES)
    head = read_glb(tmp_path / "out" / "demo_0.glb")
    described = json.loads((tmp_path / "out" / "demo_0.json").read_text())
    assert len(head.targets) == 52 and len(head.texture) == 1024
    assert described["mesh"]["vertices"] == len(head.vertices) > described["mesh"]["face_vertices"]
    assert described["mesh"]["morph_targets"] == list(head.targets)
    assert (tmp_path / "out" / "demo_0.glb").stat().st_size < 6e6
    assert [line for line in done.stderr.splitlines() if line.strip()] == [
        line for line in done.stderr.splitlines() if "1 face from 1 photo" in line
    ]


@pytest.mark.e2e
@pytest.mark.slow
def test_doctor_exports_and_detects(cache, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    result = CliRunner().invoke(make_app(), ["doctor"], catch_exceptions=False)
    assert result.exit_code == 0, result.stdout
    assert "signatures encoded, examples, mesh, metadata, serving_default" in result.stdout
    assert "1 face in demo.jpg" in result.stdout


@pytest.mark.slow
@pytest.mark.e2e
def test_ctrl_c_ends_with_the_photos_under_way_and_one_line(run, model_dir, tmp_path):
    place, out, count = tmp_path / "in", tmp_path / "out", 12
    place.mkdir()
    for number in range(count):
        shutil.copy(DEMO, place / f"p{number}.jpg")
    words = ["reconstruct", place, "-o", out, "--formats", "glb", "--model", model_dir]
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *map(str, words)],
        env={name: text for name, text in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while not (begun := list(out.glob("*.json"))):
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        (line,) = process.stderr.read().splitlines()
    assert process.returncode == 130
    assert line == "error: interrupted; the same command goes on from here"
    done = sorted(out.glob("*.json"))
    # Those whose next step had begun; and those that came between the look and the signal.
    assert len(begun) <= len(done) <= len(begun) + 2 * AHEAD < count
    expected = [f"{file.stem}.{end}" for file in done for end in ("glb", "json", "png")]
    assert names(out) == sorted(expected)
    again = run(place, "-o", out, "--formats", "glb")
    assert again.exit_code == 0 and f"{len(done)} done before" in again.stderr
    assert len(list(out.glob("*.json"))) == count


EXPORT = "from serving.model_store import default_model_dir; print(default_model_dir())"


@pytest.mark.slow
@pytest.mark.e2e
def test_two_processes_may_export_the_default_model_at_once(tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", EXPORT]
    both = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    (folder,) = map(pathlib.Path, answers)
    assert names(folder.parent) == ["1"]
    assert model_store.read_saved_model(folder).facts["iterations"] == 3
