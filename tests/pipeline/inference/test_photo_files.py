"""Finding photos in folders and naming them apart."""

import pathlib

import pytest
from PIL import Image

from pipeline.inference.photo_files import find_photos, passed_over
from serving.images import ImageError, read_photo


@pytest.fixture
def closed(tmp_path, monkeypatch):
    """The working folder: its subfolder lets nobody in."""
    Image.new("RGB", (60, 40)).save(tmp_path / "a.png")
    (tmp_path / "closed").mkdir(mode=0)
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return pathlib.Path("closed")


def test_closed_folders_are_listed_and_then_refused_by_name(closed, ordinary_user):
    found = [photo.path for photo in find_photos(["."])]
    assert found == [pathlib.Path("a.png"), closed]
    with pytest.raises(ImageError, match=r"closed: cannot be read \(Permission denied\)"):
        read_photo(closed)
    (inside,) = find_photos([closed / "b.jpg"])
    with pytest.raises(ImageError, match=r"b.jpg: cannot be read \(Permission denied\)"):
        read_photo(inside.path)


@pytest.mark.parametrize("name", ["loop.jpg", "a" * 300 + ".jpg"])
def test_impossible_paths_are_listed_and_then_refused_by_name(tmp_path, name):
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (found,) = find_photos([tmp_path / name])
    assert found == (tmp_path / name, pathlib.PurePath(name))
    with pytest.raises(ImageError, match=f"{name}: cannot be read"):
        read_photo(found.path)


@pytest.fixture
def folder(tmp_path):
    """A folder with photos, other files, hidden ones, a subfolder, results and a link to itself."""
    names = [
        "b.jpg",
        "a.PNG",
        "notes.txt",
        ".hidden.jpg",
        "sub/c.webp",
        ".cache/d.jpg",
        "out/e.png",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    return tmp_path


def test_a_folder_stands_for_its_photos(folder):
    found = find_photos([folder], leave_out=folder / "out")
    assert [str(photo.place) for photo in found] == ["a.PNG", "b.jpg", "sub/c.webp"]
    assert all(photo.path == folder / photo.place for photo in found)


def test_overviews_of_results_are_no_photos_unless_they_are_named(folder):
    (folder / "out" / "e.json").write_text(
        '{"format": "facerelief-face/1", "photo": {"name": "x"}}'
    )
    (folder / "a.json").write_text('{"format": "of another program"}')
    (folder / "a.png").write_bytes(b"x")
    found = [str(photo.place) for photo in find_photos([folder])]
    assert found == ["a.PNG", "a.png", "b.jpg", "sub/c.webp"]
    (named,) = find_photos([folder / "out" / "e.png"])
    assert named.place == pathlib.PurePath("e.png")


def test_files_named_themselves_are_always_taken_but_only_once(folder):
    named = [folder / "notes.txt", folder / "out" / "e.png", folder / "b.jpg"]
    found = find_photos([*named, folder, folder / "sub" / ".." / "b.jpg"], leave_out=folder / "out")
    assert [photo.path for photo in found[:3]] == named
    assert [photo.path.name for photo in found[3:]] == ["a.PNG", "c.webp"]


def test_places_of_different_inputs_differ(tmp_path):
    names = ("in/anna/1/img.jpg", "in/ben/1/img.jpg", "in/ben/1/other.jpg")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    named = find_photos([tmp_path / name for name in names])
    assert [str(photo.place) for photo in named] == ["anna/1/img.jpg", "ben/1/img.jpg", "other.jpg"]
    folders = find_photos([tmp_path / "in/anna", tmp_path / "in/ben"])
    assert [str(photo.place) for photo in folders] == [
        "anna/1/img.jpg",
        "ben/1/img.jpg",
        "1/other.jpg",
    ]


def test_pictures_that_are_not_read_are_counted(tmp_path):
    for name in ("a.dng", "b.DNG", "c.mov", "d.jpg", ".e.dng", ".cache/f.dng", "sub/g.svg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert passed_over(tmp_path) == {".dng": 2, ".mov": 1, ".svg": 1}
