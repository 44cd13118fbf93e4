"""The digest that decides whether a cached SavedModel may still be used."""

import pytest

from serving.model_store import folder_digest


@pytest.fixture
def package(tmp_path):
    """A small package with a module in a sub-package and a data file."""
    for name in ("__init__.py", "camera.py", "network/__init__.py", "network/loop.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/model.npz").write_bytes(b"mean and basis")
    return tmp_path


def test_the_digest_depends_on_nothing_but_the_package(package):
    before = folder_digest(package)
    (package / "__pycache__").mkdir()
    (package / "__pycache__/camera.pyc").write_bytes(b"compiled")
    assert folder_digest(package) == before


def test_a_moved_module_changes_the_digest(package):
    before = folder_digest(package)
    (package / "camera.py").rename(package / "network/camera.py")
    assert folder_digest(package) != before


@pytest.mark.parametrize("name", ["camera.py", "network/loop.py", "data/model.npz"])
def test_an_edited_file_changes_the_digest(package, name):
    before = folder_digest(package)
    (package / name).write_bytes(b"edited")
    assert folder_digest(package) != before
