"""The image: its build has all files that it copies, and they make the whole distribution."""

import importlib.metadata
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from components.record_schema import SCHEMA_FILE
from kubeflow import compile as kubeflow_compile

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGES = ("facemodel", "components", "pipeline", "serving")
LINES = re.sub(
    r"\\\n", " ", (ROOT / "kubeflow/Dockerfile").read_text(encoding="utf-8")
).splitlines()


def copied():
    """(source, target) of everything that the build copies from the checkout."""
    pairs = []
    for line in LINES:
        words = line.split()
        if words[:1] == ["COPY"] and not words[1].startswith("--from"):
            pairs += [(source.rstrip("/"), words[-1]) for source in words[1:-1]]
    return pairs


def allowed(path):
    """Whether .dockerignore lets a path through: it shuts everything out and lists exceptions."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    exceptions = {rule[1:] for rule in rules if rule.startswith("!")}
    return any(path == one or path.startswith(f"{one}/") for one in exceptions)


@pytest.mark.parametrize(("source", "target"), copied())
def test_what_is_copied_is_there(source, target):
    assert (ROOT / source).exists() and allowed(source)
    if (ROOT / source).is_dir():
        assert target == f"{source}/"


def test_nothing_else_is_sent_to_the_build():
    assert not any(allowed(name) for name in (".git", ".venv", "out", "tests", "docs"))


def tracked():
    """All files under version control that belong to the packages.

    Of the web page the bundle belongs to them, not what it is made from.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", *PACKAGES], cwd=ROOT, capture_output=True, check=True, text=True
    )
    files = (name for name in listed.stdout.split("\0") if "/page_source/" not in name)
    return {name for name in files if name and (ROOT / name).is_file()}


def test_the_copied_files_make_the_whole_distribution(tmp_path):
    """The wheel that is built from them has all tracked files of the packages."""
    for source, _ in copied():
        target = tmp_path / "src" / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
    build = "from setuptools import build_meta; build_meta.build_wheel('..')"
    subprocess.run(
        [sys.executable, "-c", build], cwd=tmp_path / "src", check=True, capture_output=True
    )
    [wheel] = tmp_path.glob("facerelief-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert tracked() - packed == set()
    schema = SCHEMA_FILE.relative_to(ROOT).as_posix()
    assert schema in packed


def test_the_schemas_path_in_the_image_changes_with_its_content(tmp_path):
    """The build's own command makes the file that compiled pipelines name."""
    [line] = [line for line in LINES if "sha256sum" in line]
    folder, command = re.fullmatch(r"RUN cd (\S+)\s+&& (.*)", line).groups()
    named = pathlib.PurePosixPath(kubeflow_compile.image_schema_file())
    assert pathlib.PurePosixPath(folder) == named.parent
    contents = {}
    for text in (SCHEMA_FILE.read_text(encoding="utf-8"), "# another\n"):
        (tmp_path / "schema.pbtxt").write_text(text, encoding="utf-8")
        subprocess.run(["/bin/sh", "-euc", command], cwd=tmp_path, check=True)
        [new] = {one.name for one in tmp_path.iterdir()} - {"schema.pbtxt", *contents}
        contents[new] = (tmp_path / new).read_text(encoding="utf-8")
    assert contents[named.name] == SCHEMA_FILE.read_text(encoding="utf-8")


def test_the_pins_are_those_of_the_project():
    text = "\n".join(LINES)
    uv = re.search(r"UV_PIN := (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8")).group(1)
    assert f" {uv} " in text
    assert "uv pip sync" in text and "requirements.lock" in text
    assert f"{kubeflow_compile.IMAGE_PACKAGES}/nvidia" in text
    assert (ROOT / ".python-version").read_text().startswith("3.10")


def test_no_package_needs_a_compiler():
    """Neither here nor in the image, which has none; crcmod does without, in Python."""
    compiled = set()
    for distribution in importlib.metadata.distributions():
        tags = re.findall(r"^Tag: (\S+)$", distribution.read_text("WHEEL") or "", re.MULTILINE)
        if any(tag.endswith("-linux_x86_64") for tag in tags):
            compiled.add(distribution.metadata["Name"].lower())
    assert compiled <= {"crcmod"}


def test_gpu_pins_are_those_that_tensorflow_asks_for():
    wanted = {
        re.sub(r"\s", "", need.split(";")[0])
        for need in importlib.metadata.requires("tensorflow")
        if "and-cuda" in need
    }
    text = (ROOT / "kubeflow/requirements-gpu.txt").read_text(encoding="utf-8")
    assert {line for line in text.splitlines() if not line.startswith("#")} == wanted


def test_it_does_not_run_as_root():
    users = [line.split()[1] for line in LINES if line.startswith("USER")]
    assert users == ["10001:10001"]
    last = max(index for index, line in enumerate(LINES) if line.startswith("FROM"))
    assert any(line.startswith("USER") for line in LINES[last:])
