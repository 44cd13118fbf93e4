"""The pipeline's configuration: profiles, files and overrides; errors that name the field."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components import settings
from facemodel.config import ConfigError, Section
from facemodel.network.training_config import TrainingConfig
from pipeline import config
from pipeline.config import PipelineConfig, load


@pytest.mark.parametrize("name", config.PROFILES)
def test_a_profile_survives_its_file(tmp_path, name):
    path = tmp_path / "config.yaml"
    path.write_text(load(profile=name).to_yaml())
    assert load(file=path) == config.PROFILES[name]
    assert load(file=path).profile == name


def test_a_file_changes_a_profile_and_overrides_change_the_file(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("trainer: {batch_size: 8, learning_rate: 1e-4}\ndata:\n  seed: 7\n")
    found = load(file=path, overrides=["trainer.batch_size=4", "resources.trainer.gpus=2"])
    assert (found.trainer.batch_size, found.trainer.learning_rate) == (4, 1e-4)
    assert (found.data.seed, found.resources.trainer.gpus) == (7, 2)
    assert found.trainer.samples == config.SMALL.trainer.samples


def test_an_empty_file_is_the_small_profile(tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    assert load(file=tmp_path / "empty.yaml") == config.SMALL == load()


BAD = {
    "trainer.batch_size=many": r"trainer\.batch_size: should be int, got 'many'",
    "trainer.batch_size=2.5": r"trainer\.batch_size: should be int, got 2\.5",
    "trainer.batch_size=0": r"trainer\.batch_size: should lie in \[1, ",
    "trainer.batchsize=8": r"trainer\.batchsize: unknown; there are .*batch_size",
    "trainer.learning_rate=.nan": r"trainer\.learning_rate: should lie in",
    "trainer.zero_starts=0.9": r"trainer\.zero_starts: with landmark_fit_starts",
    f"resources.beam_args=[{'-x, ' * 33}]": r"resources\.beam_args: should be at most 32 .* 33",
    "trainer=3": r"trainer: should hold fields, got 3",
    "trainer.strategy=all": r"trainer\.strategy: should be one of none, mirrored",
    "data.train=true": r"data\.train: should be int, got True",
    "data.recipe=cartoon": r"data\.recipe: should be one of paper, lifelike, varied, got 'cartoon'",
    "evaluator.slices=yaw": r"evaluator\.slices: should be a list, got 'yaw'",
    "evaluator.slices=[hair]": r"evaluator\.slices: should be one of yaw",
    "resources.trainer.gpus=-1": r"resources\.trainer\.gpus: should lie in \[0, 64\], got -1",
    "pusher.name=a/b": r"pusher\.name: should be the name of a folder, got 'a/b'",
    "cache=yes please": r"cache: should be bool, got 'yes please'",
    "colour=red": r"colour: unknown; there are cache, data",
    "profile=huge": r"profile: should be one of small, paper, got 'huge'",
    "trainer.batch_size": r"trainer\.batch_size: should be section\.field=value",
    "trainer..x=1": r"should be section\.field=value",
    "profile.x=1": r"profile: should be one of",
    "trainer.batch_size=100000": r"trainer\.batch_size: should be at most data\.train",
    "trainer.batch_size=[": r"trainer\.batch_size: '\[' is not YAML",
    "trainer.batch_size=": r"trainer\.batch_size: has no value",
    "trainer=": r"trainer: has no value",
}


@pytest.mark.parametrize("override", BAD)
def test_what_is_wrong_is_named(override):
    with pytest.raises(ConfigError, match=BAD[override]) as caught:
        load(overrides=[override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainer: {batch_size: x}", "trainer.batch_size: should be int, got 'x'"),
        ("trainer: {foo: 1}", "trainer.foo: unknown; there are"),
        ("colour: red", "colour: unknown; there are"),
        ("profile: huge", "profile: should be one of small, paper, got 'huge'"),
        ("trainer:", "trainer: has no value"),
        ("- 1", "should hold sections"),
        ("trainer:\n  samples: [1", "is not YAML (expected ',' or ']', but got '<stream end>', "),
        ("data: {seed: 1, seed: 2}", "is not YAML (seed is given twice, line 1, column 7)"),
        ("a: \0", "is not YAML (unacceptable character #x0000"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file=path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named_once(tmp_path):
    with pytest.raises(ConfigError) as caught:
        load(file=tmp_path / "none.yaml")
    expected = f"{tmp_path / 'none.yaml'}: cannot be read (No such file or directory)"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("overrides", "profile"),
    [
        (["trainer.batch_size=0"], None),
        (["trainer={batch_size: 0}"], None),
        (["colour.of=red"], None),
        (["data.train=16", "trainer.zero_starts=0.9"], None),
        ([], "huge"),
    ],
)
def test_a_file_is_not_blamed_for_what_overrides_change(tmp_path, overrides, profile):
    path = tmp_path / "good.yaml"
    path.write_text("trainer: {batch_size: 8}\nprofile: small\n")
    assert load(file=path).trainer.batch_size == 8
    with pytest.raises(ConfigError) as caught:
        load(file=path, overrides=overrides, profile=profile)
    assert str(path) not in str(caught.value)


def sections(base=Section):
    """All kinds of sections."""
    return [kind for found in base.__subclasses__() for kind in (found, *sections(found))]


@given(st.sampled_from(sections()))
def test_sections_survive_json(section):
    assert section.from_json(section().to_json()) == section()


def test_an_unknown_field_in_json_is_an_error():
    with pytest.raises(ConfigError, match="colour: unknown"):
        settings.DataSettings.from_json(json.dumps({"colour": 1}))


def test_training_gets_every_field_within_its_own_limits():
    """What the pipeline lets through, TrainingConfig takes, and the other way round."""
    fields = {field.name: field for field in dataclasses.fields(settings.TrainerSettings)}
    for field in dataclasses.fields(TrainingConfig):
        limits = fields[field.name].metadata
        for value in (limits["low"], limits["high"]):
            kind = type(getattr(settings.TrainerSettings(), field.name))
            changes = {field.name: kind(value), "landmark_fit_starts": 0.0}
            if field.name in ("landmark_fit_starts", "zero_starts"):
                changes = {"landmark_fit_starts": 0.0, "zero_starts": 0.0, field.name: kind(value)}
            TrainingConfig(**changes)
            settings.TrainerSettings(**changes)
        beyond = {field.name: kind(limits["high"]) + 1}
        for make in (TrainingConfig, settings.TrainerSettings):
            with pytest.raises(ConfigError) as caught:
                make(**beyond)
            assert caught.value.field == field.name


def test_no_setting_is_a_path_of_this_machine():
    assert "/" not in PipelineConfig().to_yaml().replace("nvidia.com/gpu", "")
