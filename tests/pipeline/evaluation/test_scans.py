"""`facerelief evaluate scans`: files in, known errors out, traps said; and the NoW export."""

import json

import numpy as np
import pytest
import trimesh
from typer.testing import CliRunner

from facemodel.evaluation.face_regions import REGIONS
from facemodel.evaluation.scan_protocol import figures, now_landmarks
from facemodel.morphable.landmarks import IBUG_68, embedded_points
from pipeline import cli
from pipeline.evaluation import scan_pictures, scan_report
from pipeline.evaluation.landmark_files import read_space_landmarks
from pipeline.evaluation.mesh_files import MeshFile, find_meshes, read_mesh, write_obj
from pipeline.evaluation.scan_files import Scan, ScanFolder, read_prediction
from pipeline.evaluation.scan_run import with_scans
from pipeline.evaluation.scans import PreparedScan, ScanResult

TRIANGLE = np.array([[0.0, 0, 0], [2, 0, 0], [0, 3, 0], [2, 3, 1]])
TRIANGLES = np.array([[0, 1, 2], [1, 3, 2]])


@pytest.fixture(scope="module")
def face(default_model):
    """A coarse face: vertices, triangles and its seven landmarks."""
    rng = np.random.default_rng(0)
    coefficients = rng.normal(size=default_model.coefficient_count)
    coefficients[default_model.identity_count :] = 0
    chosen = list(IBUG_68)
    points = embedded_points(
        default_model.vertices(coefficients),
        default_model.triangles,
        default_model.landmark_triangles[chosen],
        default_model.landmark_barycentric[chosen],
    )
    coarse = default_model.coarse
    vertices = coarse.mean + np.einsum("k,kvc->vc", coefficients, coarse.basis)
    return vertices.astype(float), coarse.triangles, now_landmarks(points)


def save(path, vertices, triangles, landmarks):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_obj(path, vertices, triangles)
    np.save(path.with_suffix(".npy"), landmarks)


def run(*words):
    return CliRunner().invoke(cli.make_app(), ["evaluate", "scans", *map(str, words)])


@pytest.mark.slow
@pytest.mark.e2e
def test_known_faces_have_known_errors_and_traps_are_said(face, tmp_path):
    vertices, triangles, landmarks = face
    scans, found = tmp_path / "scans", tmp_path / "found"
    save(scans / "same.obj", vertices / 1000, triangles, landmarks / 1000)
    save(scans / "mirrored.obj", vertices, triangles, landmarks)
    turned = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    save(found / "same.obj", 3 * vertices @ turned.T + 7, triangles, 3 * landmarks @ turned.T + 7)
    coloured = np.column_stack([vertices, np.full_like(vertices, 0.5)])
    with open(found / "same.obj", "w") as file:
        rows = np.column_stack([3 * vertices @ turned.T + 7, coloured[:, 3:]]).tolist()
        file.writelines("v " + " ".join(f"{x:.6f}" for x in row) + "\n" for row in rows)
        file.writelines(f"f {a} {b} {c}\n" for a, b, c in (triangles + 1).tolist())
    save(found / "mirrored.obj", vertices * (-1, 1, 1), triangles, landmarks * (-1, 1, 1))
    save(found / "stranger.obj", vertices, triangles, landmarks)
    page, figures = tmp_path / "page.html", tmp_path / "figures.json"
    result = run("--scans", scans, "--predictions", found, "--page", page, "--json", figures)
    assert result.exit_code == 2
    assert "stranger: no scan of this name" in result.stderr
    assert "1 scan taken as m, by the distance of the eyes: same" in result.stderr
    content = json.loads(figures.read_text())
    same, mirrored = (
        next(face for face in content["faces"] if face["name"] == name)
        for name in ("same", "mirrored")
    )
    assert same["figures"]["all"]["mean_mm"] < 1e-3
    assert same["figures"]["pointwise"]["mean_mm"] < 1e-3
    assert same["figures"]["nose"]["mean_mm"] < 1e-3
    assert same["scale"] == pytest.approx(1 / 3, abs=1e-4)
    assert same["flags"] == ["vertex colours"]
    assert same["figures"]["mean face"]["mean_mm"] > 0.3
    assert set(mirrored["flags"]) == {"mirrored", "worse than mean face"}
    assert content["curve"]["shares"][-1] <= 1
    text = page.read_text()
    assert text.count("data:image/png") == 6
    assert "mirrored" in text


def test_the_now_evaluation_gets_plain_meshes_and_seven_landmarks(face, tmp_path):
    vertices, triangles, landmarks = face
    found, out = tmp_path / "found", tmp_path / "now"
    save(found / "subject" / "selfie" / "img.obj", vertices, triangles, landmarks)
    result = run("--predictions", found, "--export", "now", "--export-to", out)
    assert result.exit_code == 0, result.stderr
    written = out / "subject" / "selfie" / "img.obj"
    mesh = trimesh.load(written, process=False)
    np.testing.assert_allclose(mesh.vertices, vertices, atol=1e-5)
    np.testing.assert_array_equal(mesh.faces, triangles)
    np.testing.assert_allclose(np.load(written.with_suffix(".npy")), landmarks)
    lines = written.read_text().splitlines()
    assert {len(line.split()) for line in lines} == {4}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scans", "a"], "either --predictions or --photos"),
        (["--predictions", "missing"], "--scans is needed"),
        (["--scans", "missing", "--predictions", "b"], "missing: no such folder"),
        (["--scans", "a", "--predictions", "b", "--export", "now"], "--export-to"),
    ],
)
def test_what_is_missing_is_named(words, message):
    result = run(*words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_options_before_a_word_are_refused_not_ignored():
    words = ["evaluate", "-n", "5", "scans", "--scans", "a"]
    result = CliRunner().invoke(cli.make_app(), words)
    assert result.exit_code == 2
    assert "--count" in result.stderr


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".stl", ".off"])
def test_meshes_are_read(suffix, tmp_path):
    path = tmp_path / f"mesh{suffix}"
    trimesh.Trimesh(TRIANGLE, TRIANGLES, process=False).export(path)
    mesh = read_mesh(path)
    np.testing.assert_allclose(mesh.vertices[mesh.triangles], TRIANGLE[TRIANGLES], atol=1e-6)


def test_colours_and_seams_of_an_obj_change_no_position(tmp_path):
    path = tmp_path / "mesh.obj"
    lines = [f"v {x} {y} {z} 0.9 0.1 0.2" for x, y, z in TRIANGLE]
    lines += ["vt 0 0", "vt 1 0", "vt 0 1", "vt 1 1", "vt 0.5 0.5"]
    path.write_text("\n".join([*lines, "f 1/1 2/2 3/3", "f 2/5 4/4 3/1"]))
    mesh = read_mesh(path)
    np.testing.assert_allclose(mesh.vertices, TRIANGLE)
    np.testing.assert_array_equal(mesh.triangles, TRIANGLES)
    assert mesh.coloured
    assert mesh.whole


def small_result(name, distance_mm, *, pointwise):
    """A face that is so far from each point of a small scan, which a mean face misses by 3 mm."""
    grid = np.stack(np.meshgrid(np.arange(-40.0, 41, 20), np.arange(-40.0, 41, 20), [0.0]), -1)
    vertices = grid.reshape(-1, 3)
    corner = (np.arange(4)[:, None] * 5 + np.arange(4)).ravel()
    triangles = np.stack([corner, corner + 1, corner + 6], -1)
    landmarks = np.array([[x, y, 0.0] for x in (-30, -10, 10, 30) for y in (30,)])
    landmarks = np.concatenate([landmarks, [[0, 0, 0], [-15, -20, 0], [15, -20, 0]]])
    scan = Scan(name, MeshFile(vertices, triangles), landmarks, "m", True)
    counted = np.arange(len(vertices))
    mean, found = np.full(len(counted), 3.0, "f4"), np.full(len(counted), distance_mm, "f4")
    prepared = PreparedScan(scan, counted, np.zeros(len(counted), "i1"), figures(mean), mean)
    own, regions = figures(found), {region: figures(found) for region in REGIONS}
    known = own if pointwise else None
    return ScanResult(name, prepared, own, regions, known, figures(mean), (), 1.0, found)


def test_the_page_says_where_colours_end_and_of_how_many_faces(tmp_path):
    results = [small_result("a", 0.5, pointwise=True), small_result("b", 4.0, pointwise=False)]
    assert scan_pictures.top_mm(results[:1]) == 1 and scan_pictures.top_mm(results) == 5
    assert scan_pictures.top_mm([small_result("c", 99.0, pointwise=False)]) == 10
    summary = scan_report.ScanSummary.of(results, [], metric=False)
    page = scan_report.as_page(summary)
    assert "5 mm and more" in page and 'name="viewport"' in page
    assert page.count("data:image/png") == 2 * 3
    assert "pointwise, 1 face<" in page and "1 of 2 faces" in page
    assert page.count("<polyline") == 2
    assert "2 scans taken as m, by the distance of the eyes: a, b" in page


def test_damaged_meshes_name_themselves(tmp_path):
    path = tmp_path / "broken.ply"
    path.write_bytes(b"ply\nformat ascii 1.0\nelement vertex 9\n")
    with pytest.raises(ValueError, match="broken.ply"):
        read_mesh(path)
    with pytest.raises(ValueError, match="no mesh"):
        find_meshes(_empty(tmp_path))


def _empty(folder):
    return _folder(folder / "empty")


def test_landmarks_in_space_are_read_from_every_format(tmp_path):
    points = np.arange(21.0).reshape(7, 3) / 4
    np.save(tmp_path / "a.npy", points)
    (tmp_path / "a.txt").write_text("\n".join(f"{x}, {y}, {z}" for x, y, z in points))
    picked = "".join(f'<point y="{y}" x="{x}" z="{z}" name="1"/>' for x, y, z in points)
    (tmp_path / "a.pp").write_text(f"<!DOCTYPE PickedPoints><PickedPoints>{picked}</PickedPoints>")
    (tmp_path / "a.json").write_text(json.dumps({"landmarks": points.tolist()}))
    for path in tmp_path.iterdir():
        np.testing.assert_allclose(read_space_landmarks(path), points, err_msg=path.name)
    (tmp_path / "b.txt").write_text("1 2\n3 4\n")
    with pytest.raises(ValueError, match=r"b.txt: expected \[N, 3\]"):
        read_space_landmarks(tmp_path / "b.txt")


def test_predictions_find_their_scans(tmp_path):
    for name in ("anna", "folder/one", "many/a", "many/b"):
        path = tmp_path / f"{name}.ply"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    scans = ScanFolder.open(tmp_path)
    expected = {
        "anna": "anna",
        "anna_0": "anna",
        "anna/selfie/img": "anna",
        "folder/multiview/img": "folder/one",
        "many/b": "many/b",
        "many/img": None,
        "nobody": None,
    }
    assert {photo: scans.name_for(photo) for photo in expected} == expected
    with pytest.raises(ValueError, match="--unit"):
        ScanFolder.open(tmp_path, unit="km")


def test_renamed_results_find_their_scans_by_their_own_name(tmp_path):
    """The .json of a result names the photo that it came from, whatever the files are called."""
    description = {"format": "facerelief-face/1", "landmarks_68_mm": np.ones((68, 3)).tolist()}
    scans, found = tmp_path / "scans", tmp_path / "found"
    for name in ("jack", "jill"):
        write_obj(_folder(scans) / f"{name}.obj", TRIANGLE, TRIANGLES)
    for name, photo in {"jack_0": "IMG_1", "IMG_2_0": "jill", "who_0": "IMG_3"}.items():
        write_obj(_folder(found) / f"{name}.obj", TRIANGLE, TRIANGLES)
        place = {"name": f"{photo}.jpg", "path": f"{photo}.jpg"}
        content = json.dumps({**description, "photo": place})
        (found / f"{name}.json").write_text(content)
    predictions = [read_prediction(name, path) for name, path in find_meshes(found).items()]
    failed = []
    pairs = with_scans(iter(predictions), ScanFolder.open(scans), failed)
    assert {prediction.name: scan for prediction, scan in pairs} == {
        "jack_0": "jack",
        "IMG_2_0": "jill",
    }
    assert failed == [f"who_0: no scan of this name, nor of its photo's, 'IMG_3', in {scans}"]


def _folder(path):
    path.mkdir(exist_ok=True)
    return path
