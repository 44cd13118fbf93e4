"""The direction of imports, what may be imported where, and what a checkout must not hold.

Every rule is a small function that is also given something that breaks it.
"""

import ast
import graphlib
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "facemodel": set(),
    "components": {"facemodel"},
    "serving": {"facemodel"},
    "pipeline": {"components", "facemodel", "serving"},
    "kubeflow": {"components", "facemodel", "pipeline", "serving"},
}
"""Which of the project's folders a folder may import, besides itself (tests import all)."""

FLOORS = (
    {"backend", "camera", "colour", "config", "files", "transforms", "vectors"},
    {"morphable"},
    {"default_model", "evaluation", "fitting", "records", "rendering"},
    {"detail", "synthesis", "texture"},
    {"network"},
    {"saved_model"},
)
"""The rooms of facemodel; a room may import itself and the floors below it, and the modules of the
ground floor each other."""

TENSORFLOW_ONLY_IN = {
    "facemodel/records.py",
    "facemodel/saved_model/export.py",
    "facemodel/saved_model/signatures.py",
    "facemodel/backend.py",
    "facemodel/rendering/tfg.py",
}
MEDIAPIPE_ONLY_IN = {"serving/detection/detector.py"}

TENSORFLOW = re.compile(r"(tensorflow|tf_keras)")
GLUE = re.compile(
    r"(tfx|apache_beam|grpc|kfp|ml_metadata|mediapipe|google|typer|rich|flask|fastapi|starlette|"
    r"django|tornado|aiohttp|uvicorn|http\.server|wsgiref|tensorflow_(serving|model_analysis|"
    r"transform|data_validation|metadata))(_|\.|$)"
)
"""What facemodel leaves to the layers above it."""

MACHINE_TRACES = re.compile(
    r"py[p]i\.org|python[h]osted\.org|npm[j]s\.(org|com)|maven\.(apache\.)?org|crates\.io|"
    r"proxy\.golang\.org|deb\.[d]ebian\.org|anaconda\.org|"
    r"--((extra-)?index-url|find-links)|"
    r"(?<![\w.$}~-])/(work|root|home/\w+)/|\.\./shared"
)
"""Hosts of package indexes, and folders of one machine."""

HEAVY = {"apache_beam", "jax", "keras", "kfp", "mediapipe", "tensorflow", "tfx"}


def modules_imported(source, package=""):
    """Full names of everything that a module imports anywhere, by statement or by literal name."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: package.count(".") + 2 - node.level] if node.level else []
            base = [*above, node.module] if node.module else above
            names |= {".".join([*base, alias.name]) for alias in node.names}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func).split(".")[-1]
            if called in ("import_module", "__import__"):
                names.add(str(node.args[0].value))
    return names


def violations(path, source):
    """What a file of the project, by its path in the checkout, imports against the rules."""
    folder, *inner = pathlib.PurePosixPath(path).parent.parts
    found = []
    for name in sorted(modules_imported(source, ".".join([folder, *inner]))):
        top = name.split(".")[0]
        if top in {*MAY_IMPORT, "tests"} and top not in MAY_IMPORT[folder] | {folder}:
            found.append(f"{path}: {folder} does not know {top} ({name})")
        if top == "mediapipe" and path not in MEDIAPIPE_ONLY_IN:
            found.append(f"{path}: mediapipe is for {sorted(MEDIAPIPE_ONLY_IN)}")
        if folder == "facemodel":
            if GLUE.match(name):
                found.append(f"{path}: facemodel is free of {name}")
            if TENSORFLOW.match(name) and path not in TENSORFLOW_ONLY_IN:
                found.append(f"{path}: {name} is for {sorted(TENSORFLOW_ONLY_IN)}")
            if f"{name}.".startswith("facemodel.default_model.") and inner != ["default_model"]:
                found.append(f"{path}: only facemodel.default_model knows {name}")
    return found


def floor_of(room):
    """The number of a room's floor, the ground floor first."""
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def climbs(path, source):
    """What a module of facemodel imports from its own floor or from above."""
    room = path.removesuffix(".py").split("/")[1]
    known = {name for rooms in FLOORS for name in rooms}
    imported = modules_imported(source, path.rpartition("/")[0].replace("/", "."))
    names = [name.split(".") for name in imported if name.startswith("facemodel.")]
    others = {parts[1] for parts in names if parts[1] in known} - {room}
    floor = floor_of(room)
    return sorted(name for name in others if floor_of(name) >= max(floor, 1))


def import_graph(sources):
    """Which modules each module imports: module names -> sets of module names.

    Args:
      sources: The text of each module by its full name.
    """
    graph = {}
    for name, source in sources.items():
        names = modules_imported(source, name.rpartition(".")[0])
        whole = {wanted if wanted in sources else wanted.rpartition(".")[0] for wanted in names}
        graph[name] = {wanted for wanted in whole if wanted in sources} - {name}
    return graph


def circle(sources):
    """The first circle of imports, as a list of module names; empty if there is none."""
    try:
        graphlib.TopologicalSorter(import_graph(sources)).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def python_files(*folders):
    """Paths in the checkout of all Python files below some of its folders."""
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def module_name(path):
    """The name under which a file of the checkout is imported."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def run_python(code, *, folder=None, **environment):
    """Runs code in a fresh interpreter that sees a folder and the project."""
    search_path = os.pathsep.join(str(place) for place in (folder, ROOT) if place)
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": search_path, **environment},
        capture_output=True,
        text=True,
    )


def loaded_after(statement, *, folder=None):
    """Top-level modules that an import statement loads."""
    code = f"import json, sys\n{statement}\nprint(json.dumps([*sys.modules]))"
    finished = run_python(code, folder=folder)
    assert finished.returncode == 0, finished.stderr
    return {name.split(".")[0] for name in json.loads(finished.stdout)}


def import_without_tensorflow(modules, *, folder=None):
    """Imports modules on JAX where importing TensorFlow raises."""
    code = f"""
import importlib, importlib.abc, sys
class Wall(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith("tensorflow"):
            raise ImportError(name + " is walled off")
sys.meta_path.insert(0, Wall())
for module in {list(modules)!r}:
    importlib.import_module(module)
"""
    return run_python(code, folder=folder, KERAS_BACKEND="jax")


def test_all_forms_of_import_are_read():
    source = (
        "import a.b, c\nfrom d import e\nfrom .f import g\nfrom .. import h\nx.import_module('i')"
    )
    assert modules_imported(source, "top.inner") == {
        "a.b",
        "c",
        "d.e",
        "top.inner.f.g",
        "top.h",
        "i",
    }


@pytest.mark.parametrize("path", python_files(*MAY_IMPORT))
def test_imports_go_downwards(path):
    assert violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("facemodel/camera.py", "import serving.detection.detector"),
        ("facemodel/camera.py", "from pipeline import cli"),
        ("facemodel/camera.py", "import tensorflow as tf"),
        ("facemodel/camera.py", "from tensorflow_graphics.math import vector"),
        ("facemodel/camera.py", "def f():\n    import tf_keras"),
        ("facemodel/camera.py", "import importlib\nimportlib.import_module('tensorflow.io')"),
        ("facemodel/camera.py", "from facemodel.default_model import regions"),
        ("facemodel/camera.py", "from .default_model import regions"),
        ("facemodel/camera.py", "from tests import test_camera"),
        ("facemodel/default_model/a.py", "from ...serving import detection"),
        ("facemodel/default_model/a.py", "import mediapipe"),
        ("facemodel/saved_model/export.py", "from tensorflow_serving.apis import predict_pb2"),
        ("facemodel/rendering/tfg.py", "import apache_beam as beam"),
        ("facemodel/rendering/tfg.py", "from tfx import v1"),
        ("facemodel/rendering/tfg.py", "import grpc"),
        ("facemodel/rendering/tfg.py", "from http.server import HTTPServer"),
        ("components/a.py", "from serving import client"),
        ("components/a.py", "import mediapipe as mp"),
        ("serving/server/server.py", "import components"),
        ("serving/server/server.py", "from mediapipe.python import solutions"),
        ("serving/server/server.py", "__import__('pipeline.cli')"),
        ("pipeline/a.py", "import kubeflow.compile"),
        ("pipeline/a.py", "if x:\n    from mediapipe import solutions"),
    ],
)
def test_a_forbidden_import_is_seen(path, source):
    assert violations(path, source) != []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("facemodel/saved_model/export.py", "import tensorflow as tf"),
        ("facemodel/default_model/a.py", "from . import regions\nfrom ..camera import project"),
        ("facemodel/camera.py", "from .transforms import compose\nimport numpy, keras.ops"),
        ("facemodel/network/regressor.py", "from facemodel import builders"),
        ("serving/detection/detector.py", "def f():\n    import mediapipe"),
        ("pipeline/commands/a.py", "from ..evaluation import f\nimport serving, components, tfx"),
        ("kubeflow/compile.py", "from pipeline import config\nimport kfp"),
    ],
)
def test_an_allowed_import_passes(path, source):
    assert violations(path, source) == []


@pytest.mark.parametrize("path", [path for path in python_files("facemodel") if "/__" not in path])
def test_rooms_import_the_floors_below_them(path):
    assert climbs(path, (ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source", "found"),
    [
        ("facemodel/camera.py", "from facemodel.morphable import landmarks", ["morphable"]),
        ("facemodel/morphable/a.py", "import facemodel.rendering.shading", ["rendering"]),
        ("facemodel/fitting/a.py", "from facemodel.rendering import tfg", ["rendering"]),
        ("facemodel/synthesis/effects/a.py", "from facemodel.network import losses", ["network"]),
        (
            "facemodel/network/a.py",
            "def f():\n    from facemodel import saved_model",
            ["saved_model"],
        ),
        ("facemodel/camera.py", "from facemodel.transforms import compose", []),
        ("facemodel/network/a.py", "from facemodel.synthesis import online, scenes", []),
    ],
)
def test_a_climbing_import_is_seen(path, source, found):
    assert climbs(path, source) == found


def test_no_imports_go_in_circles():
    sources = {
        module_name(path): (ROOT / path).read_text(encoding="utf-8")
        for path in python_files(*MAY_IMPORT)
    }
    assert circle(sources) == []


@pytest.mark.parametrize(
    "sources",
    [
        {"p.a": "from p import b", "p.b": "import p.a"},
        {"p.a": "from p.b import f", "p.b": "def f():\n    from p.c import g", "p.c": "import p.a"},
    ],
)
def test_a_circle_is_seen(sources):
    assert set(circle(sources)) == set(sources)
    sources.popitem()
    assert circle(sources) == []


def test_facemodel_works_without_tensorflow():
    free = [path for path in python_files("facemodel") if path not in TENSORFLOW_ONLY_IN]
    finished = import_without_tensorflow(module_name(path) for path in free)
    assert finished.returncode == 0, finished.stderr


def test_the_wall_stops_tensorflow(tmp_path):
    (tmp_path / "innocent.py").write_text("def f():\n    import tensorflow\nf()\n")
    finished = import_without_tensorflow(["innocent"], folder=tmp_path)
    assert finished.returncode != 0
    assert "tensorflow is walled off" in finished.stderr


@pytest.mark.parametrize("module", ["facemodel", "components", "serving", "pipeline.cli"])
def test_importing_loads_nothing_heavy(module):
    assert loaded_after(f"import {module}") & HEAVY == set()


def test_a_heavy_import_is_seen(tmp_path):
    (tmp_path / "tensorflow.py").write_text("")
    (tmp_path / "light.py").write_text("import tensorflow\n")
    assert loaded_after("import light", folder=tmp_path) & HEAVY == {"tensorflow"}


def test_every_folder_of_the_application_is_a_package():
    folders = {(ROOT / path).parent for path in python_files(*MAY_IMPORT) if "kubeflow" not in path}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_tests_and_kubeflow_are_no_packages():
    assert [
        path for path in python_files("tests", "kubeflow") if path.endswith("__init__.py")
    ] == []


def tracked_texts():
    """Yields (path, text) of the text files under version control."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        content = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b"\0"
        if b"\0" not in content:
            yield name, content.decode("utf-8")


def test_no_index_hosts_and_no_machine_paths():
    lines = ((name, line) for name, text in tracked_texts() for line in text.splitlines())
    assert [f"{name}: {line}" for name, line in lines if MACHINE_TRACES.search(line)] == []


@pytest.mark.parametrize(
    "parts",
    [
        ("https://pypi", ".org/simple"),
        ("files.python", "hosted.org"),
        ("uv pip install --index", "-url x"),
        ("open('/wo", "rk/main/a.npz')"),
        ("cd /ro", "ot/.pyenv"),
        ("/ho", "me/somebody/code"),
        ("see ..", "/shared/DESIGN.md"),
    ],
)
def test_a_machine_trace_is_seen(parts):
    assert MACHINE_TRACES.search("".join(parts))
