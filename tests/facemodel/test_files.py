import contextlib

import pytest

from facemodel.files import atomic_path, check_folder, file_digest, write_bytes


def test_a_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "out.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists() and temporary.parent == tmp_path
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_an_older_file_stays_if_writing_fails(tmp_path):
    path = tmp_path / "out.txt"
    write_bytes(path, b"old")
    with contextlib.suppress(ZeroDivisionError), atomic_path(path) as temporary:
        temporary.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_folders_that_cannot_take_a_file_are_named(tmp_path, ordinary_user):
    check_folder(None)
    with pytest.raises(NotADirectoryError, match="missing: no such folder"):
        check_folder(tmp_path / "missing" / "out.txt")
    with pytest.raises(PermissionError, match="may not be written to"):
        check_folder("/out.txt")


def test_digest(tmp_path):
    write_bytes(tmp_path / "abc", b"abc")
    assert file_digest(tmp_path / "abc").startswith("ba7816bf8f01cfea")
