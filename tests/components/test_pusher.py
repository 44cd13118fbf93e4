"""LastBlessedModel and FacePusher: what is pushed, and what it was compared with."""

import json
import pathlib
import shutil
import tempfile

import pytest
from pipeline_steps import GROUP, artifact, baseline_of
from tfx.types import standard_artifacts

from components import pusher
from components.deployment import registry
from facemodel.saved_model.metadata import METADATA

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group(GROUP)]


@pytest.fixture(scope="module")
def model(tiny_versions, tmp_path_factory):
    """An untrained one: pushing copies it and reads what its metadata says."""
    folder = tmp_path_factory.mktemp("model")
    shutil.copytree(tiny_versions[0], folder / "Format-Serving")
    return artifact(standard_artifacts.Model, folder)


def push(model, folder, *, blessed=True, servable=True, compared_with):
    blessings = {
        "model_blessing": (standard_artifacts.ModelBlessing, "BLESSED", blessed),
        "infra_blessing": (standard_artifacts.InfraBlessing, "INFRA_BLESSED", servable),
    }
    inputs = {}
    for name, (kind, file, good) in blessings.items():
        place = pathlib.Path(tempfile.mkdtemp(dir=folder))
        (place / (file if good else f"NOT_{file}")).touch()
        inputs[name] = artifact(kind, place)
    pushed = artifact(standard_artifacts.PushedModel, tempfile.mkdtemp(dir=folder))
    pusher.FacePusher.test_call(
        model=model,
        baseline=compared_with,
        pushed_model=pushed,
        serving_dir=str(folder / "served"),
        code="",
        **inputs,
    )
    return pushed


def test_only_models_blessed_twice_are_pushed_and_then_compared_with(model, tmp_path):
    first = baseline_of(model, tmp_path, "first")
    assert first.get_string_custom_property("version") == "candidate"
    for blessed, servable in ((False, True), (True, False)):
        pushed = push(model, tmp_path, blessed=blessed, servable=servable, compared_with=first)
        assert pushed.get_int_custom_property("pushed") == 0
        assert not (tmp_path / "served").exists()
    pushed = push(model, tmp_path, compared_with=first)
    assert pushed.get_int_custom_property("pushed") == 1
    version = pushed.get_string_custom_property("pushed_version")
    destination = pathlib.Path(pushed.get_string_custom_property("pushed_destination"))
    assert destination == tmp_path / "served" / version
    assert (destination / "assets.extra/pushed_from").read_text().strip() == model.uri
    second = baseline_of(model, tmp_path, "second")
    assert second.get_string_custom_property("version") == version
    copied = pathlib.Path(second.uri, "Format-Serving", "saved_model.pb")
    assert copied.read_bytes() == (destination / "saved_model.pb").read_bytes()
    facts = destination / METADATA
    facts.write_text(facts.read_text().replace('"model_name": "tiny"', '"model_name": "other"'))
    third = baseline_of(model, tmp_path, "third")
    assert third.get_string_custom_property("version") == "candidate"


def test_a_version_names_the_artifact_and_not_the_copy_that_a_container_sees(model, tmp_path):
    staged = artifact(standard_artifacts.Model, model.uri)
    staged.set_string_custom_property(registry.STORED_AT, "minio://bucket/model")
    push(staged, tmp_path, compared_with=baseline_of(staged, tmp_path, "nothing"))
    (version,) = registry.versions(tmp_path / "served").values()
    assert registry.source_of(version) == "minio://bucket/model"


def copy_of(model, folder, name):
    """Another model: the same files, said to come from another training."""
    shutil.copytree(model.uri, folder / name)
    facts = folder / name / "Format-Serving" / METADATA
    changed = json.loads(facts.read_text())
    changed["origin"] = {"run_key": name}
    facts.write_text(json.dumps(changed))
    return artifact(standard_artifacts.Model, folder / name)


def result_of(pushed):
    return pathlib.Path(pushed.uri, "result.txt").read_text()


def test_a_verdict_that_is_older_than_what_is_served_pushes_nothing(model, tmp_path):
    served, other, late = tmp_path / "served", *(copy_of(model, tmp_path, n) for n in "ab")
    nothing = baseline_of(model, tmp_path, "nothing")
    push(model, tmp_path, compared_with=nothing)
    (first,) = registry.versions(served)
    against_first = baseline_of(other, tmp_path, "first")
    assert "pushed:" in result_of(push(other, tmp_path, compared_with=against_first))
    newest = max(registry.versions(served))
    for stale in (nothing, against_first):
        pushed = push(late, tmp_path, compared_with=stale)
        assert pushed.get_int_custom_property("pushed") == 0
        assert f"and {newest} is served now" in result_of(pushed)
    assert list(registry.versions(served)) == [first, newest]
    assert "pushed:" in result_of(push(other, tmp_path, compared_with=against_first))
    assert list(registry.versions(served)) == [first, newest]


def test_a_model_that_was_rolled_back_does_not_come_back(model, tmp_path):
    other = copy_of(model, tmp_path, "other")
    push(model, tmp_path, compared_with=baseline_of(model, tmp_path, "nothing"))
    against_first = baseline_of(other, tmp_path, "first")
    push(other, tmp_path, compared_with=against_first)
    registry.withdraw(tmp_path / "served")
    pushed = push(other, tmp_path, compared_with=against_first)
    assert pushed.get_int_custom_property("pushed") == 0
    assert "it was withdrawn" in result_of(pushed)
    assert len(registry.versions(tmp_path / "served")) == 1
