"""The folder of pushed models: versions appear whole, push twice is push once, roll-back."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from components.deployment import registry
from facemodel.saved_model.metadata import METADATA
from pipeline import cli


@pytest.fixture
def model(tmp_path):
    """Makes something that looks like a SavedModel."""

    def make(name="model", text="graph"):
        folder = tmp_path / name
        (folder / "variables").mkdir(parents=True)
        (folder / "saved_model.pb").write_text(text)
        return folder

    return make


def test_a_pushed_model_is_the_newest_version(tmp_path, model):
    folder = tmp_path / "served"
    first = registry.push(model("a", "first"), folder, source="a")
    second = registry.push(model("b", "second"), folder, source="b")
    assert first < second
    assert list(registry.versions(folder)) == [first, second]
    assert (folder / str(second) / "saved_model.pb").read_text() == "second"
    assert registry.source_of(folder / str(first)) == "a"
    assert sorted(path.name for path in folder.iterdir()) == sorted([str(first), str(second)])


def test_pushing_the_same_again_adds_nothing(tmp_path, model):
    """Whichever artifact it is a copy of."""
    folder = tmp_path / "served"
    number = registry.push(model(), folder, source="a")
    assert registry.push(tmp_path / "model", folder, source="a") == number
    assert registry.push(model("copy"), folder, source="b") == number
    assert list(registry.versions(folder)) == [number]
    assert registry.push(model("other", "changed"), folder, source="c") > number
    assert registry.push(model("again"), folder, source="d") > number


def test_exports_of_the_same_training_are_the_same_model(tmp_path, model):
    """TensorFlow gives the graph other names each time; weights may differ in their last bits."""
    paths = [model(name, name) for name in "abc"]
    for path, weights, key in zip(paths, "wvw", "kkl"):
        (path / METADATA).parent.mkdir()
        facts = {"iterations": 3, "origin": {"weights": weights, "run_key": key}}
        (path / METADATA).write_text(json.dumps(facts))
    assert registry.same_model(paths[0], paths[1])
    assert not registry.same_model(paths[0], paths[2])
    folder = tmp_path / "served"
    number = registry.push(paths[0], folder, source="a")
    assert registry.push(paths[1], folder, source="b") == number
    assert registry.push(paths[2], folder, source="c") > number


KILLED = """
import os, pathlib, shutil, signal, sys
shutil.copytree = lambda source, target: (target.mkdir(), os.kill(os.getpid(), signal.SIGKILL))
from components.deployment import registry as served_models
served_models.push(sys.argv[1], sys.argv[2], source="a")
"""


def test_what_a_killed_push_left_goes_with_the_next_one(tmp_path, model):
    folder = tmp_path / "served"
    number = registry.push(model("first", "first"), folder, source="0")
    command = [sys.executable, "-c", KILLED, str(model()), str(folder)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    (half,) = folder.glob(".*.part")
    of_init = half.with_name(re.sub(r"\d+\.part", "1.part", half.name))
    elsewhere, long_ago = (folder / f".7.{host}.{2**22}.part" for host in ("a.b", "c"))
    for path in (of_init, elsewhere, long_ago):
        path.mkdir()
    os.utime(long_ago, (0, 0))
    newest = registry.push(tmp_path / "model", folder, source="a")
    assert {*folder.iterdir()} == {
        folder / str(number), folder / str(newest), of_init, elsewhere
    }  # fmt: skip


def test_a_failed_copy_leaves_nothing(tmp_path, model, monkeypatch):
    folder = tmp_path / "served"
    registry.push(model(), folder, source="a")
    broken = model("broken", "another")
    (broken / "variables" / "x").symlink_to(tmp_path / "missing")
    with pytest.raises(OSError):
        registry.push(broken, folder, source="b")
    assert len(list(folder.iterdir())) == 1


def test_a_half_written_version_is_none(tmp_path):
    (tmp_path / "7").mkdir()
    (tmp_path / "words").mkdir()
    assert registry.versions(tmp_path) == {}
    assert registry.versions(tmp_path / "missing") == {}


@pytest.fixture
def served(tmp_path, model):
    folder = tmp_path / "served"
    return folder, [registry.push(model(n, n), folder, source=n) for n in "abc"]


def test_rolling_back_withdraws_the_newest(served):
    folder, (first, second, third) = served
    assert registry.withdraw(folder) == [third]
    assert list(registry.versions(folder)) == [first, second]
    assert (folder / f"withdrawn-{third}" / "saved_model.pb").read_text() == "c"
    (folder / f"withdrawn-{third}").rename(folder / str(third))
    assert max(registry.versions(folder)) == third


def test_rolling_back_to_a_version(served):
    folder, (first, second, third) = served
    assert registry.withdraw(folder, to=first) == [third, second]
    with pytest.raises(registry.ServedModelsError, match="no version before the newest"):
        registry.withdraw(folder)
    with pytest.raises(registry.ServedModelsError, match=f"there are: {first}"):
        registry.withdraw(folder, to=third)


def test_the_command_rolls_back_or_says_why_not(served, tmp_path):
    folder, (first, _, third) = served
    result = CliRunner().invoke(cli.make_app(), ["rollback", str(folder)])
    assert result.exit_code == 0
    assert f"withdrew {third}" in result.stdout
    result = CliRunner().invoke(cli.make_app(), ["rollback", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert result.stderr == f"error: {tmp_path / 'none'}: no such folder\n"
    assert first in registry.versions(folder)
