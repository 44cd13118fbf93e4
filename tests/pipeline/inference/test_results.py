"""Names of results: kept for their photo, whatever other photos, runs and files there are."""

import json
import pathlib

import pytest

from facemodel.files import file_digest
from pipeline.inference.photo_files import Photo
from pipeline.inference.results import ResultError, claim_name

OPTIONS = {"texture": True, "detail": "map"}


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.fixture
def photo(tmp_path):
    """Makes a photo with a content of its own at a place below tmp_path/in."""

    def make(place, content=None):
        path = tmp_path / "in" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((content or place).encode())
        return Photo(path, pathlib.PurePath(place))

    return make


MODEL = {"model_name": "tiny"}


def claim(
    out, photo, *, overwrite=False, max_faces=None, formats=("ply",), options=OPTIONS, model=MODEL
):
    return claim_name(
        out,
        photo,
        formats=formats,
        options=options,
        max_faces=max_faces,
        overwrite=overwrite,
        model=lambda: model,
    )


def finish(out, photo, *, faces=1):
    """Writes results as the command does; returns their name."""
    with claim(out, photo) as claimed:
        facts = {"name": photo.path.name, **claimed.source, "faces": faces, "max_faces": None}
        description = {"format": "facerelief-face/1", "photo": facts, "model": MODEL}
        for k in range(faces):
            for suffix in ("ply", "json", "png"):
                told = json.dumps(description | {"options": OPTIONS})
                text = told if suffix == "json" else f"face {k}"
                (out / f"{claimed.name}_{k}.{suffix}").write_text(text)
        return claimed.name


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_names_hold_the_path_below_the_folder_that_was_given(out, photo):
    places = ["img.jpg", "anna/1/img.jpg", "ben/1/img.jpg"]
    assert [finish(out, photo(place)) for place in places] == ["img", "anna_1_img", "ben_1_img"]


def test_a_name_stays_when_photos_are_added_and_removed(out, photo):
    assert finish(out, photo("a.jpg")) == "a"
    assert finish(out, photo("a.png")) == "a_png"
    assert finish(out, photo("b/a.jpg")) == "b_a"
    assert finish(out, photo("b_a.jpg")) == "b_a_jpg"
    for place, name in (("a.png", "a_png"), ("b_a.jpg", "b_a_jpg"), ("a.jpg", "a")):
        with claim(out, photo(place)) as claimed:
            assert (claimed.name, claimed.finished) == (name, 1)


def test_numbers_come_where_names_are_used_up(out, photo):
    assert finish(out, photo("a_b/c.png")) == "a_b_c"
    assert finish(out, photo("a/b_c.png")) == "a_b_c_png"
    assert finish(out, photo("a_b_c.png")) == "in_a_b_c_png"
    assert finish(out, photo("a/b/c.png")) == "b_a_b_c_png"


def test_all_faces_of_a_finished_photo_count(out, photo):
    finish(out, photo("a.jpg"), faces=3)
    with claim(out, photo("a.jpg")) as claimed:
        assert claimed.finished == 3


@pytest.mark.parametrize("lost", ["a_1.ply", "a_1.json"])
def test_what_is_missing_is_made_again_and_the_rest_is_kept(out, photo, lost):
    finish(out, photo("a.jpg"), faces=2)
    (out / lost).unlink()
    with claim(out, photo("a.jpg")) as claimed:
        assert claimed.finished == 0
        expected = {"a_0.ply", "a_0.png", "a_1.ply", "a_1.png"}  # descriptions are written again
        assert claimed.kept == expected - {lost}


def test_other_formats_or_faces_are_not_finished(out, photo):
    finish(out, photo("a.jpg"))
    with claim(out, photo("a.jpg"), formats=("glb",)) as claimed:
        assert (claimed.finished, claimed.kept) == (0, {"a_0.png"})
    with claim(out, photo("a.jpg"), max_faces=1) as claimed:
        assert claimed.finished == 0


def test_a_normal_map_is_no_reason_to_begin_again_and_none_is_lost(out, photo):
    finish(out, photo("a.jpg"))
    (out / "a_0.normals.jpg").write_text("detail")
    with claim(out, photo("a.jpg")) as claimed:
        assert claimed.finished == 1
    (out / "a_0.ply").unlink()
    with claim(out, photo("a.jpg")) as claimed:
        assert claimed.kept == {"a_0.png", "a_0.normals.jpg"}


def test_other_options_are_refused_unless_overwritten(out, photo):
    finish(out, photo("a.jpg"))
    others = {"texture": False, "detail": "map"}
    with (
        pytest.raises(ResultError, match=r"made with other options; --overwrite"),
        claim(out, photo("a.jpg"), options=others),
    ):
        pass
    with claim(out, photo("a.jpg"), options=others, overwrite=True) as claimed:
        assert (claimed.name, claimed.finished) == ("a", 0)


def test_a_changed_photo_is_refused_unless_overwritten(out, photo):
    finish(out, photo("a.jpg"))
    changed = photo("a.jpg", "another content")
    with (
        pytest.raises(ResultError, match=r"a_0.json exists already, .*--overwrite"),
        claim(out, changed),
    ):
        pass
    with claim(out, changed, overwrite=True) as claimed:
        assert (claimed.name, claimed.finished, claimed.kept) == ("a", 0, frozenset())
        assert claimed.source["sha256"] == file_digest(changed.path)


def test_files_of_unknown_origin_are_refused(out, photo):
    (out / "a_0.ply").write_text("mine")
    with pytest.raises(ResultError, match="a_0.ply exists already"), claim(out, photo("a.jpg")):
        pass
    assert names(out) == ["a_0.ply"]


def test_results_of_earlier_versions_are_refused_where_their_name_is_that_of_the_photo(out, photo):
    old = {"format": "facerelief-face/1", "photo": {"name": "a.jpg", "width": 5, "height": 5}}
    (out / "a_0.json").write_text(json.dumps(old))
    with pytest.raises(ResultError, match="a_0.json exists already"), claim(out, photo("a.jpg")):
        pass
    with claim(out, photo("a.png")) as claimed:
        assert claimed.name == "a_png"


def test_a_second_run_on_a_photo_of_that_name_says_so(out, photo):
    """Two runs with one output folder: the second photo is refused, or gets a name of its own."""
    with claim(out, photo("a.jpg")) as first:
        with pytest.raises(ResultError, match="another run is making"), claim(out, photo("a.jpg")):
            pass
        with claim(out, photo("a.png")) as other:
            assert (first.name, other.name) == ("a", "a_png")
    assert names(out) == []


def test_a_claim_that_was_left_behind_is_no_claim(out, photo):
    (out / ".a.claim").write_text("of a run that was killed")
    with claim(out, photo("a.jpg")) as claimed:
        assert claimed.name == "a"
    assert names(out) == []


def test_results_of_another_model_are_refused_unless_overwritten_or_unknown(out, photo):
    finish(out, photo("a.jpg"))
    other = {"model_name": "another"}
    with (
        pytest.raises(ResultError, match="exists already, made by another model"),
        claim(out, photo("a.jpg"), model=other),
    ):
        pass
    with claim(out, photo("a.jpg"), model=other, overwrite=True) as claimed:
        assert claimed.finished == 0
    with claim(out, photo("a.jpg"), model=None) as claimed:  # a server's, say
        assert claimed.finished == 1


def test_names_too_long_for_a_file_become_digests(out, photo):
    long = "/".join(["folder" * 10] * 4)
    name = finish(out, photo(f"{long}/a.jpg"))
    assert len(name) == 32
    assert finish(out, photo(f"{long}/b.jpg")) != name
