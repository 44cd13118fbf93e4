"""Films: files and folders give the frames they hold; what is none is named."""

import cv2
import numpy as np
import pytest

from serving.output.video import encode_mp4
from serving.tracking.frames import FilmError, open_film


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (7, 4, 6, 3)).astype(np.uint8)
    return [cv2.resize(image, (96, 64), interpolation=cv2.INTER_CUBIC) for image in small]


@pytest.fixture(scope="module")
def film(pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "clip.mp4"
    path.write_bytes(encode_mp4(pictures, fps=10))
    return path


@pytest.fixture(scope="module")
def folder(pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("folder")
    for number, image in enumerate(pictures):
        cv2.imwrite(str(path / f"{number:03d}.png"), image[..., ::-1])
    (path / "notes.txt").write_text("no picture")
    return path


@pytest.mark.parametrize("first", [0, 3])
def test_a_video_file_gives_its_frames(film, pictures, first):
    found = open_film(film)
    assert (found.fps, found.count, found.size) == (10.0, 7, (64, 96))
    frames = list(found.frames(first))
    assert [number for number, _ in frames] == list(range(first, 7))
    for number, image in frames:
        assert np.abs(image.astype(int) - pictures[number]).mean() < 8


def test_a_folder_gives_its_pictures(folder, pictures):
    found = open_film(folder, fps=12)
    assert (found.fps, found.count) == (12, 7)
    for number, image in found.frames(2):
        np.testing.assert_array_equal(image, pictures[number])


def test_pictures_of_another_size_are_named(folder, tmp_path):
    for number, size in enumerate(((64, 64), (64, 60))):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.zeros((*size, 3), np.uint8))
    with pytest.raises(FilmError, match=r"1.png: is 60 x 64 px, but the first picture is 64 x 64"):
        list(open_film(tmp_path).frames())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("gone.mp4", None, "no such file"),
        ("empty.mp4", b"", "an empty one"),
        ("text.mp4", b"no video at all\n" * 50, "no video that can be decoded"),
    ],
)
def test_what_is_no_film_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FilmError, match=f"{name}: .*{message}"):
        open_film(path)


def test_a_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(FilmError, match="no picture in this folder"):
        open_film(tmp_path)


def test_pictures_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 1):
        cv2.imwrite(str(tmp_path / f"frame_{number}.png"), np.full((64, 64, 3), number, np.uint8))
    shown = [int(image[0, 0, 0]) for _, image in open_film(tmp_path).frames()]
    assert shown == [1, 2, 10]
