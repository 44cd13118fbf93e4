"""Versions of a model: what is loaded, swapped and unloaded, with models that note their end."""

import os
import shutil
import threading

import grpc
import pytest
from model_servers import NAME, predict_request

from serving.server.status import ServingError, State
from serving.server.versions import Versions, served_versions

CODE = grpc.StatusCode


class Model:
    def __init__(self, path):
        self.path, self.closed = path, False
        if (path / "broken").exists():
            raise ValueError("is broken")

    def close(self):
        self.closed = True


def put_version(folder, name, *files):
    path = folder / str(name)
    path.mkdir(exist_ok=True)
    for file in files or ("saved_model.pb",):
        (path / file).write_text("x")
    return path


def spec(name=NAME, **choice):
    return predict_request({}, name=name, **choice).model_spec


@pytest.fixture
def folder(tmp_path):
    put_version(tmp_path, 1)
    return tmp_path


@pytest.fixture
def versions(folder):
    versions = Versions(NAME, folder, Model, labels={"stable": 1, "gone": 77})
    versions.poll(settled=False)
    return versions


@pytest.fixture
def unlabelled(folder):
    versions = Versions(NAME, folder, Model)
    versions.poll(settled=False)
    return versions


def states(versions):
    return {status.number: status.state for status in versions.statuses}


def poll_twice(versions):
    versions.poll()
    versions.poll()


def test_only_folders_named_by_numbers_with_a_model_count(folder):
    for name in ("02", "x", "-3", "4.5", ".6", "7tmp", "٨"):
        put_version(folder, name)
    (folder / "9").mkdir()
    (folder / "10").write_text("a file")
    assert sorted(served_versions(folder)) == [1, 2]
    assert served_versions(folder / "02") == {2: folder / "02"}
    assert served_versions(folder / "x") == {1: folder / "x"}


def test_the_newest_is_served_and_a_new_one_replaces_it(unlabelled, folder):
    with unlabelled.use(spec()) as (number, old):
        assert number == 1
    put_version(folder, 12)
    poll_twice(unlabelled)
    assert unlabelled.available == [12] and old.closed
    assert states(unlabelled) == {1: State.END, 12: State.AVAILABLE}


def test_an_old_version_goes_only_when_its_last_request_is_done(unlabelled, folder):
    put_version(folder, 2)
    with unlabelled.use(spec()) as (_, old):
        with unlabelled.use(spec()) as (_, same):
            assert same is old
            poll_twice(unlabelled)
            assert states(unlabelled) == {1: State.UNLOADING, 2: State.AVAILABLE}
            with unlabelled.use(spec()) as (number, _):
                assert number == 2
        assert not old.closed
    assert old.closed and states(unlabelled)[1] is State.END


def test_a_version_that_is_still_being_copied_is_not_loaded(unlabelled, folder):
    path = put_version(folder, 2)
    unlabelled.poll()
    put_version(folder, 2, "more")
    unlabelled.poll()
    assert unlabelled.available == [1] and set(states(unlabelled)) == {1}
    (path / "variables").mkdir()
    put_version(path, "variables", "data")
    unlabelled.poll()
    assert unlabelled.available == [1]
    unlabelled.poll()
    assert unlabelled.available == [2]


def test_a_broken_version_is_reported_and_tried_again_when_it_changes(unlabelled, folder, caplog):
    path = put_version(folder, 2, "saved_model.pb", "broken")
    for _ in range(4):
        unlabelled.poll()
    assert unlabelled.available == [1]
    assert states(unlabelled) == {1: State.AVAILABLE, 2: State.END}
    assert unlabelled.statuses[1].problem.message == "is broken"
    assert len([record for record in caplog.records if "is broken" in record.message]) == 1
    (path / "broken").unlink()
    poll_twice(unlabelled)
    assert unlabelled.available == [2]


def test_a_removed_version_gives_way_to_the_one_before(unlabelled, folder):
    put_version(folder, 2)
    poll_twice(unlabelled)
    (folder / "2" / "saved_model.pb").unlink()
    poll_twice(unlabelled)
    assert unlabelled.available == [1]
    (folder / "1" / "saved_model.pb").unlink()
    poll_twice(unlabelled)
    assert unlabelled.available == [1], "the last one is kept"


def test_a_removed_version_is_kept_for_its_label_alone(folder):
    put_version(folder, 2)
    versions = Versions(NAME, folder, Model, labels={"stable": 2})
    versions.poll(settled=False)
    (folder / "2").rename(folder / "withdrawn-2")
    poll_twice(versions)
    with versions.use(spec()) as (number, _), versions.use(spec(label="stable")) as (labelled, _):
        assert (number, labelled) == (1, 2)
    assert versions.available == [1, 2]


def test_a_version_that_is_loaded_again_is_available_when_its_old_requests_end(unlabelled, folder):
    with unlabelled.use(spec()) as (_, old):
        put_version(folder, 2)
        poll_twice(unlabelled)
        (folder / "2").rename(folder / "withdrawn-2")
        poll_twice(unlabelled)
        assert unlabelled.available == [1]
    assert old.closed and states(unlabelled) == {1: State.AVAILABLE, 2: State.END}


def test_a_folder_that_cannot_be_read_changes_nothing(unlabelled, folder):
    folder.rename(folder.with_name("elsewhere"))
    unlabelled.poll()
    assert unlabelled.available == [1]


def test_a_version_with_a_label_is_kept_beside_the_newest(versions, folder):
    put_version(folder, 2)
    poll_twice(versions)
    assert versions.available == [1, 2]
    with versions.use(spec(label="stable")) as (number, _):
        assert number == 1
    with versions.use(spec()) as (number, _):
        assert number == 2
    with versions.use(spec(version=1)) as (number, _):
        assert number == 1


def test_a_version_is_loading_until_it_is_loaded(folder):
    begun, go_on = threading.Event(), threading.Event()

    def load(path):
        begun.set()
        go_on.wait()
        return Model(path)

    versions = Versions(NAME, folder, load)
    poller = threading.Thread(target=versions.poll, kwargs={"settled": False})
    poller.start()
    begun.wait()
    assert states(versions) == {1: State.LOADING}
    with pytest.raises(ServingError, match=r"Latest\(tiny\)"), versions.use(spec()):
        pass
    go_on.set()
    poller.join()
    assert states(versions) == {1: State.AVAILABLE}


@pytest.mark.parametrize(
    ("choice", "code", "message"),
    [
        ({"name": ""}, CODE.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        ({"name": "x"}, CODE.NOT_FOUND, "Servable not found for request: Latest(x)"),
        (
            {"name": "x", "version": 1},
            CODE.NOT_FOUND,
            "Servable not found for request: Specific(x, 1)",
        ),
        ({"version": 9}, CODE.NOT_FOUND, "Servable not found for request: Specific(tiny, 9)"),
        ({"label": "gone"}, CODE.NOT_FOUND, "Servable not found for request: Specific(tiny, 77)"),
        ({"label": "x"}, CODE.INVALID_ARGUMENT, "Unrecognized servable version label: x"),
        (
            {"name": "x", "label": "stable"},
            CODE.INVALID_ARGUMENT,
            "Unrecognized servable version label: stable",
        ),
    ],
)
def test_what_is_not_served_is_named(versions, choice, code, message):
    with pytest.raises(ServingError) as caught, versions.use(spec(**choice)):
        pass
    assert (caught.value.code, caught.value.message) == (code, message)


class Entries:
    """What os.scandir gives, of a folder as it was."""

    def __init__(self, entries):
        self._entries = iter(entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def __iter__(self):
        return self

    def __next__(self):
        return next(self._entries)


def test_a_version_may_be_removed_while_it_is_looked_at(folder, unlabelled, monkeypatch):
    put_version(folder, 2)
    assets = put_version(folder / "2", "assets", "vocabulary.txt")
    scandir = os.scandir

    def scandir_and_remove(path="."):
        entries = Entries(list(scandir(path)))
        if path == str(folder / "2"):
            shutil.rmtree(assets)
        return entries

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scandir_and_remove)
        unlabelled.poll()
    assert not assets.exists()
    poll_twice(unlabelled)
    assert states(unlabelled) == {1: State.END, 2: State.AVAILABLE}
