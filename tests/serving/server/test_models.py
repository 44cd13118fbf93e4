"""Several models: configuration files, version policies, labels, and changes while serving."""

import pathlib

import grpc
import pytest
from google.protobuf import text_format
from model_servers import predict_request
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.server.model_config import (
    ModelEntry,
    VersionPolicy,
    model_entries,
    read_model_config,
)
from serving.server.models import Models
from serving.server.status import ServingError, State
from serving.server.text_protos import ConfigFileError

CODE = grpc.StatusCode
CONFIG = """
model_config_list {
  config { name: "a" base_path: "/models/a" model_platform: "tensorflow" }
  config {
    name: "b" base_path: "/models/b" model_platform: "tensorflow"
    model_version_policy { specific { versions: 3 versions: 5 } }
    version_labels { key: "stable" value: 3 }
  }
  config {
    name: "c" base_path: "/models/c" model_platform: "tensorflow"
    model_version_policy { latest { num_versions: 2 } }
  }
  config {
    name: "d" base_path: "/models/d" model_type: TENSORFLOW model_version_policy { all {} }
  }
}
"""


def test_a_file_of_tensorflow_serving_is_read(tmp_path):
    file = tmp_path / "models.config"
    file.write_text(CONFIG)
    a, b, c, d = read_model_config(file)
    assert a == ModelEntry("a", pathlib.Path("/models/a"), VersionPolicy(most=1))
    assert b.policy == VersionPolicy(None, frozenset({3, 5})) and b.labels == {"stable": 3}
    assert (c.policy, d.policy) == (VersionPolicy(most=2), VersionPolicy(most=None))
    assert b.policy.candidates([2, 3, 4, 5]) == [5, 3]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('name: "a"', "", "A model has no name; got base_path()=/models/a"),
        ('name: "b"', 'name: "a"', "Illegal to list model a multiple times"),
        ("/models/c", "models/c", "Expected model c to have an absolute path"),
        ('"/models/a" model_platform: "tensorflow"', '"/m" model_platform: "x"', "platform 'x'"),
        ("model_type: TENSORFLOW", "", "platform ''"),
        ("model_config_list", "custom_model_config", "no field named"),
        ("latest", "newest", 'no field named "newest"'),
    ],
)
def test_configurations_that_cannot_be_followed_are_named(tmp_path, before, after, message):
    file = tmp_path / "models.config"
    file.write_text(CONFIG.replace(before, after, 1))
    with pytest.raises(ConfigFileError) as caught:
        read_model_config(file)
    assert str(caught.value).startswith(f"{file}: ") and message in str(caught.value)


def test_an_empty_configuration_is_an_invalid_argument():
    with pytest.raises(ServingError, match="Only ModelConfigList") as caught:
        model_entries(text_format.Parse("custom_model_config {}", ModelServerConfig()))
    assert caught.value.code is CODE.INVALID_ARGUMENT


class Model:
    def __init__(self, name, path):
        self.name, self.path, self.closed = name, path, False
        if (path / "broken").exists():
            raise ValueError("is broken")

    def close(self):
        self.closed = True


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        for number in (1, 2, 3):
            put(tmp_path, name, number)
    return tmp_path


def put(folder, name, number):
    path = folder / name / str(number)
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_text("x")


def entry(folder, name, *, most=1, only=None, **labels):
    only = None if only is None else frozenset(only)
    return ModelEntry(name, folder / name, VersionPolicy(most, only), labels)


@pytest.fixture
def models(folder):
    models = Models(Model)
    models.apply([entry(folder, "a", most=2), entry(folder, "b", most=None, only=[1])])
    return models


def used(models, name, **choice):
    with models.use(predict_request({}, name=name, **choice).model_spec) as (number, model):
        return number, model


def test_each_model_serves_what_its_policy_says(models, folder):
    assert models.available == {"a": [2, 3], "b": [1]}
    assert used(models, "a")[0] == 3 and used(models, "a", version=2)[0] == 2
    assert used(models, "b")[1].path == folder / "b" / "1"
    put(folder, "a", 4)
    put(folder, "b", 4)
    models.poll()
    models.poll()
    assert models.available == {"a": [3, 4], "b": [1]}
    states = {status.number: status.state for status in models.statuses("a")}
    assert states == {2: State.END, 3: State.AVAILABLE, 4: State.AVAILABLE}
    assert models.statuses("x") == []


def test_all_versions_are_served_if_the_policy_says_so(models, folder):
    models.apply([entry(folder, "a", most=None)])
    assert models.available == {"a": [1, 2, 3]}


def test_of_the_newest_those_that_work_are_served(folder):
    (folder / "a" / "3" / "broken").touch()
    models = Models(Model)
    models.apply([entry(folder, "a", most=2)])
    assert models.available == {"a": [1, 2]}


def test_what_is_not_served_is_named(models):
    for name, choice, code, text in [
        ("", {}, CODE.INVALID_ARGUMENT, "no name"),
        ("x", {}, CODE.NOT_FOUND, r"Latest\(x\)"),
        ("x", {"version": 1}, CODE.NOT_FOUND, r"Specific\(x, 1\)"),
        ("x", {"label": "y"}, CODE.INVALID_ARGUMENT, "label: y"),
        ("b", {"version": 3}, CODE.NOT_FOUND, r"Specific\(b, 3\)"),
    ]:
        with pytest.raises(ServingError, match=text) as caught:
            used(models, name, **choice)
        assert caught.value.code is code


def test_a_reload_leaves_alone_what_stays_and_unloads_what_goes(models, folder):
    kept = used(models, "a")[1]
    with models.use(predict_request({}, name="b").model_spec) as (_, gone):
        put(folder, "c", 7)
        models.apply([entry(folder, "a", most=1), entry(folder, "c")])
        assert models.available == {"a": [3], "c": [7]}
        assert not gone.closed, "a request still uses it"
    assert gone.closed and used(models, "a")[1] is kept and not kept.closed
    with pytest.raises(ServingError, match=r"Latest\(b\)"):
        used(models, "b")


def test_another_folder_replaces_a_model(models, folder):
    old = used(models, "a")[1]
    models.apply([ModelEntry("a", folder / "b")])
    assert used(models, "a")[1].path == folder / "b" / "3" and old.closed


def test_a_label_moves_only_to_a_version_that_is_loaded(models, folder):
    models.apply([entry(folder, "a", most=2, stable=2)])
    assert used(models, "a", label="stable")[0] == 2
    with pytest.raises(ServingError, match="assign label to version 9 of model a") as caught:
        models.apply([entry(folder, "a", most=2, stable=9), entry(folder, "b")])
    assert caught.value.code is CODE.FAILED_PRECONDITION
    assert set(models.available) == {"a"} and used(models, "a", label="stable")[0] == 2
    models.apply([entry(folder, "a", most=2, stable=3)])
    assert used(models, "a", label="stable")[0] == 3


def test_a_model_without_a_version_is_named_and_the_others_are_served(models, folder):
    (folder / "empty").mkdir()
    with pytest.raises(ServingError, match=r"1 model\(s\) did not become available: {empty}"):
        models.apply([entry(folder, "a"), entry(folder, "empty")])
    assert models.available == {"a": [3], "empty": []}
    put(folder, "empty", 1)
    models.poll()
    models.poll()
    assert used(models, "empty")[0] == 1
    models.close()
    assert used_count(models) == 0


def used_count(models):
    return sum(map(len, models.available.values()))
