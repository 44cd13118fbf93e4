"""`facerelief train` from the command line: a run that is as long as it is told, and its errors."""

import json

import pytest
from model_files import write_model
from typer.testing import CliRunner

from facemodel.morphable.model import MorphableModel
from facemodel.network.weights import read_weights
from pipeline.cli import make_app


@pytest.mark.slow
def test_a_run_of_a_second_writes_weights_and_their_errors(tmp_path):
    model, out = tmp_path / "tiny.npz", tmp_path / "run"
    write_model(model, MorphableModel.tiny())
    options = ["--size", "32", "--batch-size", "2", "--minutes", "0.02", "--evaluate", "2"]
    result = CliRunner().invoke(
        make_app(), ["train", "-o", str(out), "--model", str(model), *options]
    )
    assert result.exit_code == 0, result.output
    assert "lifelike faces" in result.output and "paper faces" in result.output
    _, meta = read_weights(out / "regressor_float16.npz")
    assert 0 < meta["samples"] < 1000 and meta["minutes"] == 0.02
    for recipe in ("paper", "lifelike"):
        errors = json.loads((out / f"errors_{recipe}.json").read_text())
        assert errors["faces"] == 2 and errors["recipe"] == recipe
