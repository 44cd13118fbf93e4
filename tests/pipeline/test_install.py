"""The README's line that installs the command beside other software."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def uv():
    """The uv on the path, or the one that make has installed."""
    found = shutil.which("uv") or shutil.which(ROOT / ".uv/bin/uv")
    if not found:
        pytest.skip("uv is not installed")
    return found


@pytest.mark.slow
@pytest.mark.e2e
def test_the_command_is_installed_and_heeds_no_packages_of_the_same_names(uv, tmp_path):
    (line,) = re.findall(r"^uv (tool install .+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    words = [sys.executable if word == "3.10" else word for word in line.split()]
    places = {"UV_TOOL_DIR": str(tmp_path / "tools"), "UV_TOOL_BIN_DIR": str(tmp_path / "bin")}
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | places
    subprocess.run([uv, *words], cwd=ROOT, env=environment, check=True)
    for name in ("pipeline", "serving"):
        (tmp_path / "other" / name).mkdir(parents=True)
        (tmp_path / "other" / name / "__init__.py").write_text("raise ImportError('not mine')")
    photo = ROOT / "docs/images/demo.jpg"
    done = subprocess.run(
        [tmp_path / "bin/facerelief", "reconstruct", photo, "-o", "out", "--formats", "ply"],
        cwd=tmp_path / "other", env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "other/out/demo_0.ply").stat().st_size > 100_000
