"""Files that settings name are missed, and found wrong, before anything runs."""

import dataclasses
import pathlib

import numpy as np
import pytest
from model_files import write_model
from typer.testing import CliRunner

from components.deployment.server_process import SERVER_VARIABLE, server_binary
from facemodel.config import ConfigError
from facemodel.morphable.model import MorphableModel
from facemodel.network.regressor import build_network
from facemodel.network.weights import save_weights
from pipeline import cli
from pipeline.config import load
from pipeline.named_files import checked

TINY = MorphableModel.tiny()


def config(*overrides):
    return load(overrides=overrides)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a face model and weights that are for it."""
    folder = tmp_path_factory.mktemp("files")
    write_model(folder / "model.npz", dataclasses.replace(TINY, name="mine"))
    with np.load(folder / "model.npz") as archive:
        arrays = {name: archive[name] for name in archive if not name.startswith("level0")}
    np.savez(folder / "level_1.npz", **arrays)
    network = build_network(TINY.coefficient_count)
    for name in ("mine", "tiny"):
        meta = {"model_name": name, "model_version": TINY.version}
        save_weights(network, folder / f"{name}.npz", meta)
    (folder / "text.npz").write_text("text")
    return folder


@pytest.fixture
def folder(files, monkeypatch):
    """The same folder as the working directory."""
    monkeypatch.chdir(files)
    return files


def test_names_of_good_files_become_absolute(folder):
    found = checked(config("data.face_model=model.npz", "trainer.init=mine.npz"))
    assert pathlib.Path(found.data.face_model) == folder / "model.npz"
    assert pathlib.Path(found.trainer.init) == folder / "mine.npz"


@pytest.mark.parametrize("overrides", [(), ("data.face_model=tiny", "trainer.init=none")])
def test_what_is_no_file_stays_as_it_is(overrides):
    assert checked(config(*overrides)) == config(*overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["trainer.init=gone.npz"],
            "trainer.init: should be .*, none or a file, .*'gone.npz'",
        ),
        (["data.face_model=gone"], "data.face_model: should be default, tiny or a file, .*'gone'"),
        (["data.face_model=text.npz"], "data.face_model: .*text.npz: not a face model"),
        (["data.face_model=level_1.npz"], "data.face_model: .*it lacks .*level0"),
        (["trainer.init=text.npz"], "trainer.init: .*text.npz: not a weights file"),
        (["trainer.init=mine.npz"], "trainer.init: .*trained for face model mine .*, not for "),
        (["data.face_model=tiny"], "trainer.init: .* not for tiny .*none starts untrained"),
        (["data.face_model=model.npz", "trainer.init=tiny.npz"], "model tiny .*, not for mine"),
    ],
)
def test_a_bad_file_is_one_sentence_that_names_the_field(folder, overrides, message):
    with pytest.raises(ConfigError, match=message) as caught:
        checked(config(*overrides))
    assert "\n" not in str(caught.value)


def test_the_command_says_so_before_it_makes_anything(folder):
    words = ["pipeline", "--root", "root", "--set", "trainer.init=gone.npz"]
    result = CliRunner().invoke(cli.make_app(), words)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: trainer.init: should be")
    assert not (folder / "root").exists()


def test_a_server_that_is_no_program_is_named(monkeypatch, tmp_path):
    for value, program in (("", None), ("cat", "cat")):
        monkeypatch.setenv(SERVER_VARIABLE, value)
        assert server_binary() == program
    monkeypatch.setenv(SERVER_VARIABLE, str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="TF_SERVING_BIN: should name a program"):
        server_binary()
