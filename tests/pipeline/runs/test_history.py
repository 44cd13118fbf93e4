"""Listing and cleaning local runs, from an ML Metadata store filled as TFX fills it."""

import os
import re
import subprocess
import sys

import pytest
from ml_metadata.proto import metadata_store_pb2 as pb
from typer.testing import CliRunner

from pipeline import cli, local_runner
from pipeline.runs import cleaning, history
from pipeline.runs.places import PipelinePaths, RunError, finished_mark, is_running, lock

DONE, CACHED, FAILED, RUNNING = (
    pb.Execution.COMPLETE,
    pb.Execution.CACHED,
    pb.Execution.FAILED,
    pb.Execution.RUNNING,
)


class Recorder:
    """Writes runs into ML Metadata and their folders onto the disk."""

    def __init__(self, folder):
        self.places = PipelinePaths(folder)
        self.places.configs.mkdir(parents=True)
        self.places.metadata.touch()
        self.store = history.open_store(self.places)
        self.types = {
            name: self.store.put_context_type(pb.ContextType(name=name))
            for name in ("pipeline_run", "node")
        }
        self.step = self.store.put_execution_type(pb.ExecutionType(name="step"))
        self.output = self.store.put_artifact_type(pb.ArtifactType(name="Examples"))
        self.nodes = {}

    def run(self, name, steps, *, finished=True):
        """A run of steps (node, state, artifact of the cache); returns the artifacts by node."""
        config = self.places.new_config(history.newest_number(self.places))
        config.touch()
        if finished:
            finished_mark(config).touch()
        context = self._context("pipeline_run", name)
        found = {}
        for node, state, cached in steps:
            execution = pb.Execution(type_id=self.step, last_known_state=state)
            artifacts = [cached] if cached else []
            (number,) = self.store.put_executions([execution])
            folder = self.places.artifacts / node / "out" / str(number)
            if not cached:
                folder.mkdir(parents=True)
                (folder / "data").touch()
            if state == DONE:
                artifact = pb.Artifact(type_id=self.output, uri=str(folder))
                artifact.id = self.store.put_artifacts([artifact])[0]
                artifacts = [artifact]
            self._join([context, self._node(node)], number, artifacts)
            if artifacts:
                found[node] = artifacts[0]
        return found

    def _context(self, kind, name):
        return self.store.put_contexts([pb.Context(type_id=self.types[kind], name=name)])[0]

    def _node(self, node):
        if node not in self.nodes:
            self.nodes[node] = self._context("node", f"facerelief.{node}")
        return self.nodes[node]

    def _join(self, contexts, execution, artifacts):
        self.store.put_attributions_and_associations(
            [pb.Attribution(artifact_id=a.id, context_id=c) for a in artifacts for c in contexts],
            [pb.Association(execution_id=execution, context_id=context) for context in contexts],
        )


@pytest.fixture
def recorder(tmp_path):
    return Recorder(tmp_path / "root")


@pytest.fixture
def two_runs(recorder):
    """The second run took A from the cache and made B anew."""
    first = recorder.run("2026-01-01", [("A", DONE, None), ("B", DONE, None)])
    second = recorder.run("2026-01-02", [("A", CACHED, first["A"]), ("B", DONE, None)])
    return recorder, first, second


def test_runs_are_listed_newest_first_with_their_steps(two_runs):
    recorder, _, _ = two_runs
    newest, oldest = history.list_runs(recorder.places)
    assert (newest.name, oldest.name) == ("2026-01-02", "2026-01-01")
    assert [(step.node, step.state) for step in newest.steps] == [("A", "cached"), ("B", "done")]
    assert newest.state == oldest.state == "complete"


def test_a_run_is_failed_interrupted_or_running(recorder):
    recorder.run("2026-01-01", [("A", FAILED, None)], finished=False)
    recorder.run("2026-01-02", [("A", DONE, None)], finished=False)
    recorder.run("2026-01-03", [("A", RUNNING, None)], finished=False)
    states = [run.state for run in history.list_runs(recorder.places)]
    assert states == ["interrupted", "interrupted", "failed"]
    assert history.list_runs(recorder.places)[0].of("interrupted") == ["A"]
    with lock(recorder.places):
        assert is_running(recorder.places)
        newest = history.list_runs(recorder.places)[0]
        assert (newest.state, newest.of("running")) == ("running", ["A"])
        with pytest.raises(history.RunsError, match="a run is going on"):
            cleaning.clean(recorder.places, keep=1)
        with pytest.raises(RunError, match="another run is going on"), lock(recorder.places):
            pass
    assert not is_running(recorder.places)


def test_the_order_is_that_of_the_starts_when_clocks_are_put_back(recorder):
    """TFX names runs by local time."""
    recorder.run("2026-10-25T02:30", [("A", DONE, None)])
    recorder.run("2026-10-25T02:10", [("A", DONE, None)], finished=False)
    found = history.list_runs(recorder.places)
    assert [(run.name[-5:], run.state) for run in found] == [
        ("02:10", "interrupted"),
        ("02:30", "complete"),
    ]


def test_an_interrupted_run_stays_so_when_its_files_were_cleaned(recorder):
    recorder.run("1", [("A", DONE, None)])
    recorder.run("2", [("A", DONE, None)], finished=False)
    recorder.places.new_config(history.newest_number(recorder.places)).touch()  # never began
    recorder.run("3", [("A", DONE, None)])
    cleaning.clean(recorder.places, keep=1)
    states = [run.state for run in history.list_runs(recorder.places)]
    assert states == ["complete", "interrupted", "complete"]


HOLDER = """
import sys
from pipeline.runs.places import PipelinePaths, lock
with lock(PipelinePaths(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_asking_whether_a_run_is_going_on_disturbs_nobody(tmp_path):
    places = PipelinePaths(tmp_path / "root")
    assert not is_running(places)
    assert not places.root.exists()
    command = [sys.executable, "-c", HOLDER, str(places.root)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        assert is_running(places) and is_running(places)
        with pytest.raises(RunError), lock(places):
            pass
        process.stdin.close()
    assert not is_running(places)
    with open(places.lock_file) as asking:  # as is_held has it open
        assert asking and not is_running(places)
        with lock(places):
            assert is_running(places)


def folders(recorder):
    return {
        path.relative_to(recorder.places.artifacts).as_posix()
        for path in recorder.places.artifacts.glob("*/*/*")
    }


def test_cleaning_removes_what_only_old_runs_have(two_runs):
    recorder, first, second = two_runs
    served = recorder.places.serving / "facerelief" / "1"
    served.mkdir(parents=True)
    assert len(folders(recorder)) == 3
    removed = cleaning.clean(recorder.places, keep=1)
    kept = {second["A"].uri, second["B"].uri}
    assert folders(recorder) == {uri.removeprefix(f"{recorder.places.artifacts}/") for uri in kept}
    assert first["A"].uri in kept  # the newest run took it from the cache
    assert first["B"].uri in map(str, removed)
    assert served.is_dir()
    assert [*recorder.places.configs.glob("*.yaml")] == [
        history.list_runs(recorder.places)[0].config
    ]
    assert cleaning.clean(recorder.places, keep=1) == []
    assert [run.state for run in history.list_runs(recorder.places)] == ["complete", "complete"]


def test_cleaning_a_folder_that_was_moved_keeps_what_the_newest_run_needs(two_runs, tmp_path):
    """ML Metadata still has the old paths."""
    recorder, first, second = two_runs
    recorder.places.root.rename(tmp_path / "moved")
    places = PipelinePaths(tmp_path / "moved")
    cleaning.clean(places, keep=1)
    left = {path.name for path in places.artifacts.glob("*/*/*")}
    assert left == {found.uri.split("/")[-1] for found in (first["A"], second["B"])}


def test_cleaning_removes_what_failed_steps_left(recorder):
    recorder.run("2026-01-01", [("A", FAILED, None)], finished=False)
    recorder.run("2026-01-02", [("A", DONE, None)])
    cleaning.clean(recorder.places, keep=1)
    assert folders(recorder) == {"A/out/2"}


def test_cleaning_leaves_checkpoints_from_which_a_kept_run_can_go_on(recorder):
    recorder.run("2026-01-01", [("A", DONE, None)])
    recorder.run("2026-01-02", [("A", RUNNING, None)], finished=False)
    started = history.list_runs(recorder.places)[0].started
    for name, moment in (("old", started - 1), ("new", started + 1)):
        folder = recorder.places.checkpoints / name
        folder.mkdir(parents=True)
        os.utime(folder, (moment, moment))
    cleaning.clean(recorder.places, keep=1)
    assert [path.name for path in recorder.places.checkpoints.iterdir()] == ["new"]


def test_the_command_lists_cleans_and_says_when_there_is_nothing(two_runs, tmp_path):
    recorder, _, _ = two_runs
    invoke = CliRunner().invoke
    words = ["runs", "--root", str(recorder.places.root), "--steps", "--clean", "--keep", "1"]
    result = invoke(cli.make_app(), words, catch_exceptions=False)
    assert result.exit_code == 0
    assert "removed " in result.stdout and "complete" in result.stdout
    (headings,) = (
        line for line in result.stdout.splitlines() if "cached" in line and "ran" in line
    )
    rows = [line for line in result.stdout.splitlines() if re.search(r"\d s ", line)]
    assert len(rows) == 4
    assert all(row.rindex(" s ") < headings.index("time") + len("time") for row in rows)
    assert all(row.rindex(" s ") > headings.index("time") for row in rows)
    result = invoke(cli.make_app(), ["runs", "--root", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "holds no runs of the pipeline" in result.stderr


def test_keeping_without_cleaning_is_an_error(two_runs):
    recorder, _, _ = two_runs
    words = ["runs", "--root", str(recorder.places.root), "--keep", "1"]
    result = CliRunner().invoke(cli.make_app(), words)
    assert (result.exit_code, result.stderr) == (2, "error: --keep needs --clean\n")
    assert len(folders(recorder)) == 3


def test_a_file_that_is_no_database_is_named(tmp_path):
    file = tmp_path / "metadata.sqlite"
    file.write_text("This is text, and no database.")
    result = CliRunner().invoke(cli.make_app(), ["runs", "--root", str(tmp_path)])
    assert result.exit_code == 2
    message = "cannot be read as ML Metadata (file is not a database)"
    assert result.stderr == f"error: {file}: {message}\n"


@pytest.mark.e2e
def test_no_step_of_an_earlier_run_is_blamed_for_a_run_that_did_not_begin(recorder):
    recorder.run("1", [("Trainer", FAILED, None)], finished=False)
    no_pipeline, number = None, history.newest_number(recorder.places)
    with pytest.raises(AttributeError):
        local_runner._run_steps(no_pipeline, recorder.places, number)
