"""Data sets whose writing was interrupted."""

import pathlib

from pipeline.datasets.unfinished import bytes_written


def test_the_current_folder_may_be_a_data_set(tmp_path, monkeypatch):
    """Although the path "." has no name."""
    folder = tmp_path / "set"
    folder.mkdir()
    place = tmp_path / ".set.unfinished"
    place.mkdir()
    (place / "part").write_bytes(b"12345")
    monkeypatch.chdir(folder)
    assert bytes_written(pathlib.Path()) == bytes_written(folder) == 5
