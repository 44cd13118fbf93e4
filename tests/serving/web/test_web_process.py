"""`facerelief web` as a process: the head that the command makes, and nothing left behind."""

import io
import json
import pathlib
import signal
import subprocess
import sys
import zipfile

import httpx
import numpy as np
import pytest
import trimesh
from web_pages import ROOT, page_process, unpack, wait_for

from facemodel.files import cache_dir
from serving.heads import HeadMaker
from serving.images import read_photo
from serving.output.gltf_read import read_glb
from serving.reconstructor import Reconstructor

DEMO = ROOT / "docs/images/demo.jpg"
pytestmark = [pytest.mark.serving, pytest.mark.slow]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web")
    private = {name: str(folder / name) for name in ("TMPDIR", "HOME")}
    for path in private.values():
        pathlib.Path(path).mkdir()
    cache = cache_dir()
    private["XDG_CACHE_HOME"] = str(cache.parent)
    with page_process(folder, **private) as (address, process):
        with httpx.Client(base_url=address, trust_env=False, timeout=120) as client:
            client.folders = (folder, cache)
            client.before = files_in(*client.folders)
            yield client
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


@pytest.fixture(scope="module")
def face(page):
    """The path of the demo photo's face, whose head is there."""
    photo = page.post("/api/photos", content=DEMO.read_bytes()).json()
    path = f"/api/photos/{photo['photo']}/faces/0"
    page.post(path)
    assert wait_for(page, path)["done"]
    return path


@pytest.fixture(scope="module")
def expected():
    photo = read_photo(DEMO)
    with Reconstructor() as reconstructor:
        (face,) = reconstructor.reconstruct(photo)
        return face, HeadMaker.load().make(photo, face)


def test_the_viewer_gets_the_head_that_the_library_makes(page, face, expected):
    facts, arrays = unpack(page.get(face + "/head.bin").content)
    assert facts["labels"] == ["average", "start", "1", "2", "3"]
    np.testing.assert_allclose(arrays["vertices"][-1], expected[1].mesh.vertices, atol=1e-2)
    assert not np.allclose(arrays["vertices"][1], arrays["vertices"][-1], atol=0.2)
    progress = page.get(face).json()
    assert progress["flags"] == [*expected[0].flags, *expected[1].flags]
    assert progress["images"] == ["texture", "albedo"]


def test_files_parse_and_hold_the_same_head(page, face, expected, tmp_path):
    vertices = expected[1].mesh.vertices
    (tmp_path / "head.glb").write_bytes(page.get(face + "/files/glb").content)
    np.testing.assert_allclose(read_glb(tmp_path / "head.glb").vertices, vertices, atol=1e-2)
    said = json.loads(page.get(face + "/files/json").content)
    assert said["format"] == "facerelief-face/1" and said["photo"]["width"] == 512
    cloud = trimesh.load(io.BytesIO(page.get(face + "/files/ply").content), "ply", process=False)
    np.testing.assert_allclose(cloud.vertices, vertices, atol=1e-2)
    zipfile.ZipFile(io.BytesIO(page.get(face + "/files/obj").content)).extractall(tmp_path)
    mesh = trimesh.load(tmp_path / "photo_0.obj", process=False)
    assert len(mesh.faces) == said["mesh"]["triangles"]
    assert mesh.visual.material.image.size == (1024, 1024)


def files_in(*folders):
    """Every file with its size and time, but for the log."""
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for folder in folders
        for path in folder.rglob("*")
        if path.name != "web.log"
    }


def test_nothing_is_written(page, face):
    """Neither where it runs nor in folders for temporary files, of the user, or of the cache."""
    for form in ("glb", "obj"):
        assert page.get(f"{face}/files/{form}").is_success
    assert files_in(*page.folders) == page.before
    assert "Traceback" not in (page.folders[0] / "web.log").read_text()


def refused(*options):
    finished = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "web", "--no-open", *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    lines = finished.stderr.strip().splitlines()
    assert finished.returncode == 2 and len(lines) == 1, finished.stderr
    return lines[0]


def test_what_cannot_be_started_is_said_in_a_line(page, tmp_path: pathlib.Path):
    port = str(page.base_url.port)
    assert f"port {port} of 127.0.0.1 is in use" in refused("--port", port)
    assert "--model and --server" in refused("--model", str(tmp_path), "--server", "127.0.0.1:1")
    assert str(tmp_path) in refused("--port", "0", "--model", str(tmp_path))
