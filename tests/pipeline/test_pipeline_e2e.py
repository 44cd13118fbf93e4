"""The whole pipeline as a process, on a tiny face model: cache, changes, worse models, kills.

What happened is read from ML Metadata.
"""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from components.deployment import registry
from components.record_schema import SCHEMA_FILE
from facemodel.network.checkpoints import checkpoint_steps
from pipeline import cli
from pipeline.runs import cleaning, history
from pipeline.runs.places import PipelinePaths

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = pathlib.Path(__file__).resolve().parents[2]
SETTINGS = """
data: {face_model: tiny, train: 32, eval: 16, test: 8, image_size: 64}
trainer: {samples: 48, batch_size: 8, size: 48, init: none, level: 0, learning_rate: 1.0e-4,
          iterations: 2, steps_per_round: 1, warmup_steps: 0, average_decay: 0.0,
          checkpoint_seconds: 0}
export: {warmup_requests: 1}
evaluator: {max_error_mm: 100.0, max_worsening_mm: 0.05}
infra_validator: {requests: 1}
report: {faces: 4, shown: 1}
reconstruction: {enabled: true}
"""
STEPS = [
    "FaceExampleGen", "ImportSchemaGen", "StatisticsGen", "ExampleValidator", "AnomalyGate",
    "Trainer", "FaceInfraValidator", "LastBlessedModel", "Evaluator", "FacePusher", "FaceReport",
    "SplitReconstruction",
]  # fmt: skip
"""In the order in which TFX runs them."""
DATA_STEPS, MODEL_STEPS = STEPS[: STEPS.index("Trainer")], STEPS[STEPS.index("Trainer") :]
WORSE = "trainer.learning_rate=1.0"


class Pipeline:
    """One root, with commands that run there."""

    def __init__(self, folder):
        self.places = PipelinePaths(folder / "root")
        self.config = folder / "config.yaml"
        self.config.write_text(SETTINGS)

    def command(self, *overrides):
        """The words behind `facerelief`."""
        options = [word for override in overrides for word in ("--set", override)]
        return ["pipeline", "--config", self.config, "--root", self.places.root, *options]

    def run(self, *overrides):
        """Runs to the end and returns what was printed."""
        done = execute([sys.executable, "-m", "pipeline.cli", *self.command(*overrides)])
        assert done.returncode == 0, done.stdout[-4000:]
        return done.stdout

    def newest(self):
        return history.list_runs(self.places)[0]

    def served(self):
        return list(registry.versions(self.places.serving / "facerelief"))


def execute(command, **variables):
    """A finished process; standard output holds its standard error, too."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "1", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline that ran once."""
    made = Pipeline(tmp_path_factory.mktemp("pipeline"))
    output = made.run()
    assert "learning_rate: 0.0001" in output  # the configuration is printed
    assert "complete: 12 steps ran, 0 came from the cache" in output
    assert "evaluation: blessed\ninfra validation: blessed\npushed: " in output
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
    """Also with more processes, on which results do not depend; it says what the first run made."""
    output = pipeline.run("resources.beam_workers=2")
    assert pipeline.newest().of("cached") == STEPS
    (version,) = pipeline.served()
    (page,) = pipeline.places.artifacts.glob("FaceReport/report/*/index.html")
    assert f"/{version} (in an earlier run)\nreport: {page}\n" in output


def test_a_worse_model_is_neither_blessed_nor_pushed_and_no_data_is_made_again(pipeline):
    served = pipeline.served()
    output = pipeline.run(WORSE, "resources.beam_workers=2")
    assert re.search(r"evaluation: not blessed: all faces: error changed by \+", output)
    assert "\nnot pushed: blessed False, servable " in output  # its faces may be infinite
    pages = [*pipeline.places.artifacts.glob("FaceReport/report/*/index.html")]
    newest_page = max(pages, key=lambda path: int(path.parent.name))
    assert f"report: {newest_page}" in output and "not blessed" in newest_page.read_text()
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
    first = history.list_runs(pipeline.places)[-1].name
    for text in ("face_model: tiny", "seed: 1", "learning_rate: 0.0001", "init: none", first):
        assert text in result.stdout


STRICT = """
import pathlib, sys
from components import record_schema
record_schema.SCHEMA_FILE = pathlib.Path(sys.argv.pop(1))
from pipeline import cli
cli.main()
"""


def test_anomalies_end_the_run_and_nothing_comes_after_them(pipeline, tmp_path):
    """The records are good; the schema is changed so that it does not allow their size."""
    schema, served = tmp_path / "strict.pbtxt", pipeline.served()
    allowed, text = "int_domain { min: 32 max: 4096 }", SCHEMA_FILE.read_text()
    assert text.count(allowed) == 2
    schema.write_text(text.replace(allowed, "int_domain { min: 32 max: 48 }", 1))
    done = execute([sys.executable, "-c", STRICT, schema, *pipeline.command()])
    assert done.returncode == 2
    message = done.stdout[done.stdout.index("error: ") :]
    assert message.startswith("error: AnomalyGate failed: the records do not keep to the schema:\n")
    assert "train: image/height: " in message
    assert "Traceback" not in done.stdout
    newest = pipeline.newest()
    assert (newest.state, newest.of("failed")) == ("failed", ["AnomalyGate"])
    assert [step.node for step in newest.steps] == DATA_STEPS
    assert pipeline.served() == served


def test_the_tfx_command_runs_the_same_pipeline(pipeline, tmp_path):
    """With the same root and settings everything comes from the cache."""
    before = len(history.list_runs(pipeline.places))
    scripts = pathlib.Path(sys.executable).parent
    variables = {
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "FACERELIEF_CONFIG": str(pipeline.config),
        "FACERELIEF_SET": "resources.beam_workers=1 cache=true",
        "FACERELIEF_ROOT": str(pipeline.places.root),
    }
    for words, said in (
        ("pipeline create --engine=local --pipeline_path=pipeline/local_runner.py", "created"),
        ("pipeline list --engine=local", "facerelief"),
        ("run create --engine=local --pipeline_name=facerelief", "12 came from the cache"),
    ):
        known = len(history.list_runs(pipeline.places))
        done = execute([scripts / "tfx", *words.split()], **variables)
        assert done.returncode == 0, done.stdout[-4000:]
        assert said in done.stdout
    assert known == before  # only the last command runs anything
    assert pipeline.newest().of("cached") == STEPS
    assert len([*pipeline.places.configs.glob("*.yaml")]) == len(history.list_runs(pipeline.places))


def test_killed_in_every_step_it_goes_on_each_time(tmp_path):
    """Killed when a step begins; also amid training, and when a push is done and not recorded."""
    made = Pipeline(tmp_path)
    script = ROOT / "tests/helpers/killed_runs.py"
    with subprocess.Popen(
        [sys.executable, script, made.config, made.places.root],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        bufsize=1,
    ) as process:
        for step in STEPS:
            output = killed_at(process, f"{step}: Going to run", made, step)
            if step == "Trainer":
                killed_at(process, "Trainer: step 2 of 6", made, step)
                (folder,) = made.places.checkpoints.iterdir()
                assert max(checkpoint_steps(folder)) == 2
            elif step == "FaceInfraValidator":  # the Trainer came to its end before it
                assert "step-00000002.npz" in output and "step 2 of 6" not in output
            elif step == "FacePusher":
                killed_at(process, "FacePusher: Execution", made, step)
                assert len(made.served()) == 1
        process.stdin.write("never\n")
        output_to(process, "ended with 0")
    newest = made.newest()
    assert (newest.state, newest.of("done")) == ("complete", STEPS[-1:])
    assert newest.of("cached") == STEPS[:-1]
    assert len(made.served()) == 1


def killed_at(process, moment, pipeline, step):
    """Has the pipeline run until a moment in a step, and returns what was printed."""
    process.stdin.write(f"{moment}\n")
    output = output_to(process, "ended with -9")
    newest = pipeline.newest()
    assert (newest.state, newest.of("interrupted")) == ("interrupted", [step]), output[-4000:]
    before = STEPS[: STEPS.index(step)]
    assert newest.of("cached") + newest.of("done") == before, output[-4000:]
    assert newest.of("done") in ([], before[-1:]), output[-4000:]  # it was killed in that one
    return output


def output_to(process, last):
    """What a process prints up to a line that it has to print."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("ended with"):
            break
    assert lines and lines[-1].strip() == last, "".join(lines)[-4000:]
    return "".join(lines)


def test_cleaning_keeps_what_the_newest_run_needs_and_what_is_served(pipeline):
    served = pipeline.served()
    pipeline.run(WORSE)  # its model is what only older runs need
    runs_before = len(history.list_runs(pipeline.places))
    pipeline.run()
    needed = set(pipeline.places.artifacts.glob("Trainer/model/*"))
    removed = cleaning.clean(pipeline.places, keep=1)
    assert removed
    assert set(pipeline.places.artifacts.glob("Trainer/model/*")) < needed
    assert pipeline.served() == served
    assert len(history.list_runs(pipeline.places)) == runs_before + 1
    pipeline.run()
    assert sorted(pipeline.newest().of("cached")) == sorted(DATA_STEPS + MODEL_STEPS)
