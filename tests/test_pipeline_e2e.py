"""The whole pipeline as a process, on a tiny face model: cache, changes, worse models, kills.

What happened is read from ML Metadata.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from components import served_models
from facemodel.checkpoints import checkpoint_steps
from pipeline import cli, runs
from pipeline.places import Places

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = pathlib.Path(__file__).resolve().parents[1]
SETTINGS = """
data: {face_model: tiny, train: 32, eval: 16, test: 8, image_size: 64}
trainer: {samples: 48, batch_size: 8, size: 48, init: none, level: 0, learning_rate: 1.0e-4,
          steps_per_round: 1, warmup_steps: 0, average_decay: 0.0, checkpoint_seconds: 0}
export: {warmup_requests: 1}
evaluator: {max_error_mm: 100.0, max_worsening_mm: 0.05}
infra_validator: {requests: 1}
report: {faces: 4, shown: 1}
reconstruction: {enabled: true}
"""
DATA_STEPS = [
    "FaceExampleGen",
    "ImportSchemaGen",
    "StatisticsGen",
    "ExampleValidator",
    "AnomalyGate",
]
MODEL_STEPS = [
    "Trainer", "FaceInfraValidator", "LastBlessedModel", "Evaluator", "FacePusher", "FaceReport",
    "SplitReconstruction",
]  # fmt: skip
WORSE = "trainer.learning_rate=1.0"


class Pipeline:
    """One root, with commands that run there."""

    def __init__(self, folder):
        self.places = Places(folder / "root")
        self._config = folder / "config.yaml"
        self._config.write_text(SETTINGS)

    def start(self, *overrides):
        """Starts a run as a process."""
        options = [word for override in overrides for word in ("--set", override)]
        command = ["-m", "pipeline.cli", "pipeline", "--config", self._config, "--root"]
        return subprocess.Popen(
            [sys.executable, *command, self.places.root, *options],
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *overrides):
        """Runs to the end and returns what was printed."""
        process = self.start(*overrides)
        output, _ = process.communicate()
        assert process.returncode == 0, output[-4000:]
        return output

    def newest(self):
        return runs.list_runs(self.places)[0]

    def served(self):
        return list(served_models.versions(self.places.serving / "facerelief"))


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline that ran once."""
    made = Pipeline(tmp_path_factory.mktemp("pipeline"))
    output = made.run()
    assert "learning_rate: 0.0001" in output  # the configuration is printed
    assert "complete: 12 steps ran, 0 came from the cache" in output
    return made


def test_the_first_run_pushes_a_model_and_writes_a_report(pipeline):
    newest = pipeline.newest()
    assert newest.state == "complete"
    assert sorted(newest.of("done")) == sorted(DATA_STEPS + MODEL_STEPS)
    assert len(pipeline.served()) == 1
    (page,) = pipeline.places.artifacts.glob("FaceReport/report/*/index.html")
    text = page.read_text()
    for words in ("all faces", "yaw: frontal", "blessed", "Worst", "sample "):
        assert words in text
    assert text.count("<img") == 8
    (lines,) = pipeline.places.artifacts.glob("SplitReconstruction/faces/*/faces*.jsonl")
    assert len(lines.read_text().splitlines()) == 8
    (stored,) = pipeline.places.configs.glob("*.yaml")
    assert "checkpoint_seconds: 0.0" in stored.read_text()


def test_a_second_run_takes_everything_from_the_cache(pipeline):
    pipeline.run()
    newest = pipeline.newest()
    assert sorted(newest.of("cached")) == sorted(DATA_STEPS + MODEL_STEPS)
    assert len(pipeline.served()) == 1


def test_a_worse_model_is_neither_blessed_nor_pushed_and_no_data_is_made_again(pipeline):
    served = pipeline.served()
    pipeline.run(WORSE)
    newest = pipeline.newest()
    assert newest.state == "complete"
    assert sorted(newest.of("cached")) == sorted(DATA_STEPS)
    assert sorted(newest.of("done")) == sorted(MODEL_STEPS)
    blessings = sorted(
        pipeline.places.artifacts.glob("Evaluator/blessing/*/*"), key=lambda p: int(p.parent.name)
    )
    assert [path.name for path in blessings] == ["BLESSED", "NOT_BLESSED"]
    assert pipeline.served() == served


def test_lineage_names_data_settings_code_parent_and_run(pipeline):
    folder = pipeline.places.serving / "facerelief"
    words = ["lineage", str(folder), "--root", str(pipeline.places.root)]
    result = CliRunner().invoke(cli.make_app(), words, catch_exceptions=False)
    assert result.exit_code == 0
    first = runs.list_runs(pipeline.places)[-1].name
    for text in ("face_model: tiny", "seed: 1", "learning_rate: 0.0001", "init: none", first):
        assert text in result.stdout


def wait_for(condition, process, seconds=600):
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0][-4000:]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill(process):
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def kill_in(pipeline, step, overrides):
    """Starts a run, kills it when a step begins, and returns what was printed."""
    before = pipeline.newest().name
    process, lines = pipeline.start(*overrides), []
    for line in process.stdout:
        lines.append(line)
        if f"Component {step} is running" in line:
            break

    def begun():
        newest = pipeline.newest()
        return newest.name != before and step in [found.node for found in newest.steps]

    wait_for(begun, process)
    kill(process)
    assert pipeline.newest().state == "interrupted", "".join(lines)
    return "".join(lines)


def test_killed_again_and_again_it_finishes_and_training_goes_on(pipeline):
    """Killed in the first step, in training after two checkpoints, and in two later steps."""
    overrides = ["data.seed=2"]
    kill_in(pipeline, "FaceExampleGen", overrides)
    known = set(pipeline.places.checkpoints.iterdir())

    def new_checkpoints():
        folders = set(pipeline.places.checkpoints.iterdir()) - known
        return [step for folder in folders for step in checkpoint_steps(folder)]

    process = pipeline.start(*overrides)
    wait_for(lambda: len(new_checkpoints()) >= 2, process)
    kill(process)
    assert pipeline.newest().of("interrupted") == ["Trainer"]
    reached = max(new_checkpoints())
    output = kill_in(pipeline, "Evaluator", overrides)
    assert sorted(pipeline.newest().of("cached")) == sorted(DATA_STEPS)
    assert f"step-{reached:08d}.npz" in output  # going on from it
    assert f"step {reached} of 6" not in output
    kill_in(pipeline, "FacePusher", overrides)
    pipeline.run(*overrides)
    newest = pipeline.newest()
    assert newest.state == "complete"
    assert {*DATA_STEPS, "Trainer", "Evaluator"} <= set(newest.of("cached"))
    assert len(newest.steps) == len(DATA_STEPS + MODEL_STEPS)


def test_cleaning_keeps_what_the_newest_run_needs_and_what_is_served(pipeline):
    served = pipeline.served()
    runs_before = len(runs.list_runs(pipeline.places))
    pipeline.run()
    needed = set(pipeline.places.artifacts.glob("Trainer/model/*"))
    removed = runs.clean(pipeline.places, keep=1)
    assert removed
    assert set(pipeline.places.artifacts.glob("Trainer/model/*")) < needed
    assert pipeline.served() == served
    assert len(runs.list_runs(pipeline.places)) == runs_before + 1
    pipeline.run()
    assert sorted(pipeline.newest().of("cached")) == sorted(DATA_STEPS + MODEL_STEPS)
