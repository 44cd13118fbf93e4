"""The digest of a step's code: it follows imports, and changes with what a step runs."""

import pytest

from components import code_digest
from components.code_digest import source_files
from facemodel.files import DATA


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A made-up project: components.step imports facemodel.used inside a function."""
    files = {
        "facemodel/__init__.py": "",
        "facemodel/used.py": "import numpy\nX = ('data', 'model.npz')\n",
        "facemodel/unused.py": "Y = 1\n",
        "facemodel/data/model.npz": "read by used",
        "facemodel/data/other.npz": "read by none",
        "components/__init__.py": "",
        "components/step.py": "def f():\n    from facemodel import used\n    return 'page.html'\n",
        "components/templates/page.html": "named by step",
        "components/templates/other.html": "named by none",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(code_digest, "ROOT", tmp_path)
    monkeypatch.setattr(code_digest, "DATA", tmp_path / "facemodel/data")
    return tmp_path


def digest(**files):
    return code_digest.code_digest("components.step", **files)


def test_imports_are_followed(project):
    names = [path.relative_to(project).as_posix() for path in source_files("components.step")]
    assert names == [
        "components/__init__.py",
        "components/step.py",
        "facemodel/__init__.py",
        "facemodel/used.py",
    ]


@pytest.mark.parametrize(
    ("edited", "changes"),
    [
        ("components/step.py", True),
        ("facemodel/used.py", True),
        ("facemodel/data/model.npz", True),
        ("facemodel/data/other.npz", False),
        ("facemodel/unused.py", False),
        ("components/templates/page.html", True),
        ("components/templates/other.html", False),
    ],
)
def test_editing_changes_the_digest_of_what_runs(project, edited, changes):
    before = digest()
    assert digest() == before
    path = project / edited
    path.write_text(path.read_text() + "# edited\n")
    assert (digest() != before) == changes


def test_files_of_the_settings_count(project, tmp_path):
    weights = tmp_path / "weights.npz"
    weights.write_text("1")
    before = digest(files=[weights])
    weights.write_text("2")
    assert digest(files=[weights]) not in (before, digest())


def test_an_unknown_module_is_an_error(project):
    with pytest.raises(ModuleNotFoundError, match=r"components\.other"):
        code_digest.code_digest("components.other")


@pytest.mark.parametrize(
    ("module", "used", "unused"),
    [
        ("components.trainer", "facemodel/network/training.py", "components/report.py"),
        (
            "components.face_example_gen",
            "facemodel/rendering/tfg.py",
            "facemodel/network/training.py",
        ),
        (
            "components.infra_validator",
            "components/deployment/warmup_requests.py",
            "components/trainer.py",
        ),
    ],
)
def test_steps_depend_on_what_they_run(module, used, unused):
    names = {path.relative_to(code_digest.ROOT).as_posix() for path in source_files(module)}
    assert used in names
    assert unused not in names


@pytest.mark.parametrize(
    ("module", "named"),
    [
        ("components.anomaly_gate", []),
        ("components.pusher", []),
        (
            "components.report",
            ["model_report.html", "page.html", "default_model.npz", "landmark_noise.npz"],
        ),
        (
            "components.face_example_gen",
            ["default_model.npz", "detector_errors.npz", "landmark_noise.npz"],
        ),
        (
            "components.trainer",
            [
                "default_model.npz",
                "detector_errors.npz",
                "landmark_noise.npz",
                "regressor_float16.npz",
            ],
        ),
    ],
)
def test_steps_depend_on_the_data_that_they_read(module, named):
    found = code_digest.data_files(source_files(module))
    assert [path.name for path in found] == named


def test_every_data_file_is_named_by_a_module():
    sources = (code_digest.ROOT / "facemodel").rglob("*.py")
    assert code_digest.data_files(sources) == sorted(DATA.glob("*.npz"))
