"""The curl examples of docs/serving.md, word for word, against a server process."""

import json
import os
import re
import shutil
import subprocess

import pytest
from model_servers import ROOT, rest_running

from serving.model_store import default_model_dir
from serving.output.gltf_read import read_glb

PAGE = (ROOT / "docs/serving.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```sh curl\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def commands():
    """Every command of the blocks, with its continuation lines."""
    text = "".join(BLOCKS).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """Runs a command where 127.0.0.1:8501 is a server that was just started."""
    folder = tmp_path_factory.mktemp("shell")
    shutil.copy(ROOT / "docs/images/demo.jpg", folder / "portrait.jpg")
    with rest_running(default_model_dir(), folder, "--reconstruct") as address:
        port = address.rpartition(":")[2]
        (folder / ".curlrc").write_text(
            f'connect-to = "127.0.0.1:8501:127.0.0.1:{port}"\nnoproxy = "*"\nfail\n'
        )

        def run(command):
            done = subprocess.run(
                ["bash", "-c", command],
                cwd=folder,
                env={**os.environ, "CURL_HOME": str(folder), "HOME": str(folder)},
                capture_output=True,
                check=True,
            )
            return done.stdout.decode()

        run.folder = folder
        yield run


def test_the_page_has_examples():
    assert len(commands()) == 8 and all(line.startswith("curl ") for line in commands())


@pytest.mark.slow
@pytest.mark.serving
@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl, which is not here")
def test_the_examples_do_what_the_page_says(shell):
    status, metadata, *_, metrics, health = [shell(command) for command in commands()]
    assert json.loads(status)["model_version_status"][0]["state"] == "AVAILABLE"
    assert "encoded" in json.loads(metadata)["metadata"]["signature_def"]["signature_def"]
    assert 'facerelief_serving_requests_total{code="OK"' in metrics and health == "SERVING\n"
    rows, columns, face = (
        json.loads((shell.folder / name).read_text())
        for name in ("metadata.json", "metadata_columns.json", "face.json")
    )
    assert rows["predictions"][0]["triangles"] == columns["outputs"]["triangles"][0]
    assert face["format"] == "facerelief-face/1"
    assert len(read_glb(shell.folder / "head.glb").vertices) == face["mesh"]["vertices"]
