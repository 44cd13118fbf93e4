"""Photos are kept in memory, few, and not for long; work is done one piece at a time."""

import io

import numpy as np
import pytest
from PIL import Image
from web_pages import TinyWorkshop, picture

from serving.server.http_status import HttpError
from serving.web.kept import LONGEST_STEM, file_stem
from serving.web.studio import Limits, Studio
from serving.web.workshop import RECONSTRUCTING, preview, zip_obj


class Clock:
    """Stands still until it is moved."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def parts():
    workshop, clock = TinyWorkshop(), Clock()
    studio = Studio(workshop, Limits(photos=2, seconds=60, waiting=3), clock=clock)
    yield studio, workshop, clock
    workshop.go_on.set()
    studio.close()


@pytest.fixture
def few_heads():
    studio = Studio(TinyWorkshop(), Limits(heads=2))
    yield studio
    studio.close()


def opened(studio, seed=0):
    return studio.open(picture(seed), name="anna.png").result(60)


def status(call):
    with pytest.raises(HttpError) as caught:
        call()
    return caught.value.status, caught.value.message


def test_the_photo_used_longest_ago_makes_room(parts):
    studio, _, _ = parts
    first, second = opened(studio, 1), opened(studio, 2)
    assert first != second and len(first) > 20
    studio.kept.photo(first)
    third = opened(studio, 3)
    assert status(lambda: studio.kept.photo(second))[0] == 404
    assert studio.kept.photo(first).faces and studio.kept.photo(third).faces


def test_a_photo_that_nobody_uses_is_forgotten(parts):
    studio, _, clock = parts
    used, unused = opened(studio, 1), opened(studio, 2)
    clock.now = 50
    studio.kept.photo(used)
    clock.now = 70
    assert status(lambda: studio.kept.photo(unused)) == (
        404, "this photo is no longer kept; send it again",
    )  # fmt: skip
    studio.kept.photo(used)
    studio.kept.forget(used)
    assert status(lambda: studio.kept.photo(used))[0] == 404


BAD = {
    "text": (b"no picture", 415, "not an image"),
    "nothing": (b"", 415, "empty"),
    "damaged": (picture()[:900], 422, "damaged"),
    "small": (picture(size=9), 422, "too small"),
    "large": (picture(size=1200, form="BMP"), 413, "megapixels"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_named_with_a_reason(name):
    content, code, words = BAD[name]
    studio = Studio(TinyWorkshop(), Limits(megapixels=1))
    found, message = status(lambda: studio.open(content, name="anna.jpg").result(60))
    assert found == code and message.startswith("anna.jpg: ") and words in message


def test_a_photo_without_a_face_is_told_so(parts):
    file = io.BytesIO()
    Image.new("RGB", (40, 40)).save(file, "PNG")
    found = status(lambda: parts[0].open(file.getvalue(), name="wall.png").result(60))
    assert found == (422, "wall.png: no face found that is at least 24 px wide")


def test_heads_are_made_once_and_one_at_a_time(parts):
    studio, workshop, _ = parts
    photo = studio.kept.photo(opened(studio))
    workshop.go_on.clear()
    job = studio.start(photo, 0)
    other = studio.start(photo, 1)
    assert studio.start(photo, 0) is job
    while job.stage != RECONSTRUCTING:
        pass
    assert other.stage == "waiting" and other.made is None
    last = studio.open(picture(4), name="x")
    assert status(lambda: studio.open(picture(5), name="x"))[0] == 503
    workshop.go_on.set()
    last.result(60)
    assert job.made and other.made and workshop.made == 2
    assert status(lambda: studio.start(photo, 2))[0] == 404


def head_of(studio, photo, number):
    job = studio.start(photo, number)
    opened(studio, 9)  # comes after it
    return job


def test_the_head_used_longest_ago_makes_room(few_heads):
    first, second = (few_heads.kept.photo(opened(few_heads, seed)) for seed in (1, 2))
    oldest, other = head_of(few_heads, first, 0), head_of(few_heads, first, 1)
    assert few_heads.kept.job(first, 0) is oldest  # a use
    newest = head_of(few_heads, second, 0)
    assert newest.made and few_heads.kept.job(first, 0) is oldest
    assert status(lambda: few_heads.kept.job(first, 1))[0] == 404
    assert other is not head_of(few_heads, first, 1)


def test_a_file_is_made_when_it_is_wanted_and_not_kept(parts):
    studio, workshop, _ = parts
    head = head_of(studio, studio.kept.photo(opened(studio)), 0).made
    assert workshop.encoded == []
    assert [studio.file(head, "json", "face_0").result(60) for _ in range(2)] == [b"{}", b"{}"]
    assert workshop.encoded == ["json", "json"]


def test_a_photo_on_its_way_has_a_place_in_the_queue(parts):
    studio, _, _ = parts
    with studio.arriving(), studio.arriving(), studio.arriving():
        assert status(lambda: studio.open(picture(), name="x"))[0] == 503
    assert opened(studio)


def test_a_failed_head_says_why_and_may_be_tried_again(parts):
    studio, workshop, _ = parts
    photo = studio.kept.photo(opened(studio))
    workshop.error = ConnectionError("127.0.0.1:9: no answer")
    failed = studio.start(photo, 0)
    opened(studio, 2)  # comes after it
    assert failed.error == "127.0.0.1:9: no answer" and failed.made is None
    workshop.error = None
    again = studio.start(photo, 0)
    opened(studio, 3)
    assert again is not failed and again.made and again.error is None


def test_a_defect_is_logged_and_not_shown(parts, caplog):
    studio, workshop, _ = parts
    workshop.error = KeyError("secret")
    job = studio.start(studio.kept.photo(opened(studio)), 0)
    opened(studio, 2)
    assert "secret" not in job.error and "secret" in caplog.text


def test_previews_are_small_and_zips_always_the_same():
    large = preview(np.zeros((900, 3200, 3), np.uint8))
    assert Image.open(io.BytesIO(large)).size == (1600, 450)
    files = {"obj": b"o", "mtl": b"m", "texture.jpg": b"t", "json": b"{}"}
    assert zip_obj(files, "face_0") == zip_obj(files, "face_0")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("look_03.jpg", "look_03"),
        ("../../etc/pass wd.png", "pass_wd"),
        (r"C:\photos\Zoë.jpeg", "Zoë"),
        ('a"b\r\nc;.jpg', "a_b_c"),
        (".hidden.png", "hidden"),
        ("two.dots.jpg", "two.dots"),
        ("??.jpg", "photo"),
        ("", "photo"),
        ("x" * 200 + ".jpg", "x" * LONGEST_STEM),
    ],
)
def test_files_are_called_by_the_photo(name, stem):
    assert file_stem(name) == stem
