"""The checks behind `facerelief doctor`: each gives one line and never raises."""

from __future__ import annotations

import dataclasses
import enum
import importlib.metadata
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

from facemodel.files import file_digest
from pipeline import versions

ROOT = pathlib.Path(__file__).resolve().parents[1]
PYTHON = (3, 10)
NEEDED = ("numpy", "tensorflow", "keras", "mediapipe", "trimesh", "Pillow", "protobuf", "typer")
OPTIONAL_TOOLS = {
    "g++": (["--version"], "needed only by the test against the reference rasterizer"),
    "java": (["-version"], "needed only to run Beam on Spark"),
    "mvn": (["--version"], "needed only to build the runner for Beam on Spark"),
    "docker": (
        ["version", "--format", "Docker {{.Client.Version}}, daemon {{.Server.Version}}"],
        "needed only for images and TensorFlow Serving's binary",
    ),
}
"""Name -> arguments that make it say its version, and what for; docker's asks the daemon, too."""

TOOL_SECONDS = 30


class Status(enum.Enum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclasses.dataclass(frozen=True)
class Check:
    """One line of the report."""

    name: str
    status: Status
    message: str


def run_all(*, quick: bool = False) -> Iterator[Check]:
    """Runs the checks one after the other; quick leaves out those that start TensorFlow."""
    checks: list[tuple[str, Callable[[], str | Check]]] = [
        ("python", check_python),
        ("packages", check_packages),
        ("face model", check_face_model),
        ("weights", check_weights),
    ]
    if not quick:
        checks += [("SavedModel", check_saved_model), ("detection", check_detection)]
    for name, check in checks:
        yield _guarded(name, check)
    for tool in OPTIONAL_TOOLS:
        yield check_tool(tool)


def _guarded(name: str, check: Callable[[], str | Check]) -> Check:
    try:
        result = check()
    except Exception as error:  # whatever is wrong is what the report is for
        text = " ".join(str(error).split()) or type(error).__name__
        return Check(name, Status.FAIL, text)
    return result if isinstance(result, Check) else Check(name, Status.OK, result)


def check_python() -> str:
    """The interpreter's version."""
    found = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] != PYTHON:
        raise RuntimeError(f"{found}, but {'.'.join(map(str, PYTHON))} is needed")
    return f"{found} in {sys.prefix}"


def check_packages() -> str | Check:
    """Installed versions against requirements.lock, where the checkout has it."""
    lock = ROOT / "requirements.lock"
    if not lock.is_file():
        found = [f"{name} {importlib.metadata.version(name)}" for name in NEEDED]
        return Check("packages", Status.WARN, f"no requirements.lock here; {', '.join(found)}")
    pins = read_pins(lock.read_text())
    wrong = [
        f"{name} is {have or 'missing'}, not {wanted}"
        for name, wanted in pins.items()
        if (have := _installed(name)) != wanted
    ]
    if not wrong:
        return f"{len(pins)} packages at the versions of requirements.lock"
    needed = [line for line in wrong if line.split()[0].lower() in map(str.lower, NEEDED)]
    message = f"{len(wrong)} of {len(pins)} differ from requirements.lock: {(needed or wrong)[0]}"
    return Check("packages", Status.FAIL if needed else Status.WARN, message)


def read_pins(lock: str) -> dict[str, str]:
    """The pinned versions by name of those requirements that hold on this machine."""
    from packaging.requirements import Requirement

    pins = {}
    for line in lock.splitlines():
        text = re.split(r"\s#|\s--|\s\\", line.strip())[0].strip()
        if "==" in text and not text.startswith("#"):
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate():
                pins[requirement.name] = str(requirement.specifier).removeprefix("==")
    return pins


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_face_model() -> str:
    """The shipped face model can be read."""
    return versions.face_model()


def check_weights() -> str:
    """The shipped weights can be read and were trained for the shipped face model."""
    trained_for = versions.weights_meta().get("model_sha256")
    if trained_for != file_digest(versions.MODEL_FILE):
        raise RuntimeError(f"trained for a face model with sha256 {str(trained_for)[:12]}")
    return versions.weights()


def check_saved_model() -> str:
    """The default SavedModel can be exported and loaded."""
    from serving.quiet import without_notices

    with without_notices():
        import tensorflow as tf

        from serving.model_store import default_model_dir

        folder = default_model_dir()
        signatures = tf.saved_model.load(str(folder)).signatures
    return f"signatures {', '.join(sorted(signatures))} in {folder}"


def check_detection() -> str | Check:
    """MediaPipe finds the face of the demo photo."""
    from serving.detection.detector import FaceDetector
    from serving.images import read_photo

    photo = ROOT / "docs" / "images" / "demo.jpg"
    if not photo.is_file():
        return Check("detection", Status.WARN, "no docs/images/demo.jpg here to try it on")
    with FaceDetector() as detector:
        faces = detector.detect(read_photo(photo))
    if len(faces) != 1:
        raise RuntimeError(f"{len(faces)} faces found in {photo.name}, which shows one")
    return f"1 face in {photo.name}, score {faces[0].score:.2f}"


def check_tool(name: str) -> Check:
    """An optional program works: it can say its version."""
    arguments, purpose = OPTIONAL_TOOLS[name]
    path = shutil.which(name)
    if not path:
        return Check(name, Status.WARN, f"not found; {purpose}")
    try:
        return Check(name, Status.OK, _first_line([path, *arguments]) or path)
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        return Check(name, Status.WARN, f"{path} does not work ({error}); {purpose}")


def _first_line(command: list[str]) -> str:
    """First line of a program's output, run in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=TOOL_SECONDS, check=False
        )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise RuntimeError(said[0] if said else f"exit code {done.returncode}")
    return (done.stdout + done.stderr).strip().partition("\n")[0]
