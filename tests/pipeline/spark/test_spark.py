"""The Spark cluster on this machine: the same bytes, lost processes, and nothing left running."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from pipeline.spark import cluster, measure, sessions, tools

ROOT = pathlib.Path(__file__).resolve().parents[3]
SPARK = [sys.executable, "-m", "pipeline.spark"]
DRAW = ["synthesize", "--eval", "40", "--test", "9", "--seed", "5", "--recipe", "paper"]
DRAW += ["--shard-samples", "16", "-n"]
COUNT = 480
needs_spark = [pytest.mark.slow, pytest.mark.spark]


def wait_for(condition, seconds, what):
    """The first true value of a function."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for {what}")


@contextlib.contextmanager
def started(command, log, **options):
    """A program that prints into a file and does not outlive the body."""
    with log.open("w") as output:
        program = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT, **options)
    try:
        yield program
    finally:
        program.kill()
        program.wait()


# What is missing is said in one sentence.


def program(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("java", "said"),
    [
        (None, "there is no java on the path"),
        ("echo 'openjdk version \"1.8.0_392\"' >&2", "is Java 8"),
        ("echo 'openjdk version \"21.0.1\" 2023-10-17' >&2", "is Java 21"),
        ("exit 3", "does not start"),
    ],
)
def test_a_missing_or_wrong_java_is_one_sentence(tmp_path, java, said):
    if java:
        program(tmp_path, "java", java)
    kept = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    done = subprocess.run(
        [*SPARK, "synthesize", "-o", str(tmp_path / "faces")],
        env={**kept, "PATH": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: Spark needs Java 11 or 17, and ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "faces").exists()


def test_a_missing_maven_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "STORE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(tools.SparkError, match="built by Maven, and there is no mvn on the path"):
        tools.runner_jar()


def test_a_failing_maven_leaves_no_jar_and_names_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "STORE", tmp_path / "store")
    program(tmp_path, "mvn", "echo '[INFO] reading'; echo '[ERROR] no network'; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(tools.SparkError, match=r"\[ERROR\] no network \(.*maven\.log\)"):
        tools.runner_jar()
    assert sorted(path.name for path in tools.STORE.iterdir()) == [".lock", "maven.log"]


def test_a_jar_is_built_once_for_its_sources(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "STORE", tmp_path / "store")
    count = tmp_path / "count"
    build = 'for word; do case "$word" in -D*) folder="${word#*=}"; esac; done\n'
    program(tmp_path, "mvn", f'{build}echo 1 >>{count}; echo jar >"$folder/beam-spark-1.jar"')
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    first = tools.runner_jar()
    assert tools.runner_jar() == first
    changed = tmp_path / "jar"
    changed.mkdir()
    (changed / "pom.xml").write_text("<project/>")
    monkeypatch.setattr(tools, "_SOURCES", changed)
    second = tools.runner_jar()
    assert second != first
    assert [path.suffix for path in tools.STORE.glob("*.jar")] == [".jar"]
    assert count.read_text() == "1\n1\n"


def test_a_missing_spark_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "SPARK_HOME", tmp_path)
    with pytest.raises(tools.SparkError, match="`make spark` does it"):
        tools.find_spark()


# Sessions end with everything in them.


@pytest.mark.slow
def test_a_session_ends_with_its_children_however_stubborn(tmp_path):
    stubborn = "trap '' TERM; while :; do sleep 0.2; done"
    command = ["/bin/sh", "-c", f"(sleep 600) & (setpgrp 2>/dev/null; {stubborn}) & exec sleep 600"]
    begun = sessions.start(command, log=tmp_path / "log", environment=dict(os.environ))
    wait_for(lambda: len(sessions.members([begun.pid])) >= 3, 5, "three processes")
    sessions.end([begun])
    assert sessions.members([begun.pid]) == {}
    assert begun.returncode == -signal.SIGTERM


def test_a_session_ends_when_its_starter_is_killed(tmp_path):
    code = (
        "import os, pathlib, time\nfrom pipeline.spark import sessions\n"
        f"begun = sessions.start(['sleep', '600'], log=pathlib.Path({str(tmp_path / 'a')!r}),"
        " environment=dict(os.environ))\nprint(begun.pid, flush=True)\ntime.sleep(600)"
    )
    with started([sys.executable, "-c", code], tmp_path / "log") as starter:
        text = wait_for((tmp_path / "log").read_text, 20, "the session's id")
        assert sessions.members([int(text)])
        starter.kill()
        wait_for(lambda: not sessions.members([int(text)]), 5, "the session's end")


def test_a_program_that_does_not_come_up_is_one_sentence(tmp_path):
    log = tmp_path / "master.log"
    command = ["/bin/sh", "-c", "echo starting; echo 'no such class' >&2; exit 1"]
    begun = sessions.start(command, log=log, environment=dict(os.environ))
    with pytest.raises(tools.SparkError) as error:
        cluster._await("Starting Spark master at (.*)", log, begun)
    assert str(error.value) == (
        f"Spark's master ended while starting; {log} ends with: no such class"
    )


# The measurement leaves out start and end.


def data_set(folder, times):
    names = [f"{number}.tfrecord" for number in range(len(times))]
    for name, time_s in zip(names, times):
        (folder / name).write_bytes(b"")
        os.utime(folder / name, (0, time_s))
    splits = {"train": {"count": 10 * len(names), "files": names}}
    (folder / "dataset.json").write_text(json.dumps({"splits": splits}))
    return folder


def test_a_steady_rate_does_not_depend_on_start_and_end(tmp_path):
    """Ten samples every two seconds; with two workers, every second."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one = data_set(tmp_path / "one", [1000, 1500, *range(1502, 1522, 2), 1900])
    assert measure.steady_rate(one, 1) == pytest.approx(5.0)
    two = data_set(tmp_path / "two", [100, 300, 333, 350, *range(351, 371), 400, 500])
    assert measure.steady_rate(two, 2) == pytest.approx(10.0)
    few = data_set(tmp_path, [1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="5 files are too few for 2 workers"):
        measure.steady_rate(few, 2)


def test_a_run_takes_away_what_killed_runs_left_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "STORE", tmp_path)
    (tmp_path / "run-killed").mkdir()
    (tmp_path / "run-killed" / ".lock").touch()
    with cluster._run_folder() as other, cluster._run_folder() as own:
        assert sorted(tmp_path.iterdir()) == sorted([other, own])
    assert list(tmp_path.iterdir()) == []
    for ending, left in ((RuntimeError, ["run.log"]), (KeyboardInterrupt, [])):
        with contextlib.suppress(ending), cluster._run_folder() as folder:
            (folder / "run.log").touch()
            raise ending
        assert [path.name for path in tmp_path.glob("run-*/run.log")] == left


# On the cluster.


def synthesize(folder, *words, count=COUNT):
    """Runs `facerelief synthesize` to its end."""
    command = [sys.executable, "-m", "pipeline.cli", *DRAW, str(count), "-o", str(folder), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def installed():
    """Spark and Beam's runner, as make gets them; without Java it says so."""
    done = subprocess.run(["make", "spark"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def spark(installed):
    with cluster.running() as started:
        yield started
    assert started.processes() == {}
    assert not started.folder.exists()


@pytest.fixture(scope="module")
def direct(tmp_path_factory):
    """The data set as Beam's local runner writes it."""
    folder = tmp_path_factory.mktemp("direct") / "faces"
    synthesize(folder)
    return content(folder)


@contextlib.contextmanager
def drawing(spark, folder):
    """The same command on the cluster, from when its first file is there."""
    flags = [f"--beam={flag}" for flag in spark.beam_args]
    command = [sys.executable, "-m", "pipeline.cli", *DRAW, str(COUNT), "-o", str(folder), *flags]
    log = folder.with_name("log")
    with started(command, log) as program:
        first_file(program, folder, log)
        yield program
        assert program.wait(600) == 0, log.read_text()


def finished(folder):
    return list(folder.with_name(f".{folder.name}.unfinished").glob("*.tfrecord"))


def first_file(program, folder, log):
    wait_for(lambda: finished(folder) or program.poll() is not None, 600, "the first file")
    assert program.poll() is None, log.read_text()


class TestCluster:
    pytestmark = needs_spark

    def test_it_writes_the_bytes_of_the_local_runner(self, spark, direct, tmp_path):
        with drawing(spark, tmp_path / "faces"):
            assert len(spark.processes(of="CoarseGrainedExecutorBackend")) == 2
        assert content(tmp_path / "faces") == direct

    @pytest.mark.parametrize("victim", ["CoarseGrainedExecutorBackend", "sdk_worker_main"])
    def test_it_survives_the_loss_of_a_process(self, spark, direct, tmp_path, victim):
        folder = tmp_path / "faces"
        with drawing(spark, folder):
            lost = min(spark.processes(of=victim))
            os.kill(lost, signal.SIGKILL)
            assert len(finished(folder)) < sum(name.endswith(".tfrecord") for name in direct) / 2
        assert lost not in spark.processes()
        assert content(folder) == direct


class TestCommand:
    """`python -m pipeline.spark`, which starts a cluster of its own."""

    pytestmark = needs_spark

    def test_ctrl_c_ends_everything_and_the_run_can_be_resumed(self, installed, direct, tmp_path):
        """Also where a shell had started it in the background, which ignores Ctrl-C."""
        folder = tmp_path / "faces"
        command = [*SPARK, *DRAW, str(COUNT), "-o", str(folder)]
        ignoring = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)}
        before = set(tools.STORE.glob("run-*"))
        with started(command, tmp_path / "log", start_new_session=True, **ignoring) as program:
            first_file(program, folder, tmp_path / "log")
            (place,) = set(tools.STORE.glob("run-*")) - before
            assert len(users_of(place)) >= 6  # master, workers, driver, executors, Python
            program.send_signal(signal.SIGINT)
            assert program.wait(60) != 0
        assert users_of(place) == {}
        assert not place.exists()
        assert not folder.exists()
        synthesize(folder, "--resume")
        assert content(folder) == direct

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_it_ends_with_its_starter(self, installed, tmp_path, number):
        log = tmp_path / "log"
        with started([*SPARK, "hold"], log) as program:
            wait_for(lambda: "spark_rest_url" in log.read_text(), 300, "the cluster")
            (boot,) = (
                line for line in log.read_text().splitlines() if "environment_config" in line
            )
            place = pathlib.Path(boot.split('"')[3]).parent
            assert len(users_of(place)) == 3
            program.send_signal(number)
            program.wait(30)
            wait_for(lambda: not users_of(place), 15, "the cluster's end")

    def test_what_failed_on_a_worker_is_said(self, installed, tmp_path):
        model = tmp_path / "model.npz"
        model.write_bytes((ROOT / "facemodel/data/default_model.npz").read_bytes())
        log = tmp_path / "log"
        command = [*SPARK, *DRAW, str(COUNT), "-o", str(tmp_path / "faces"), "--model", str(model)]
        with started(command, log) as program:
            wait_for(lambda: "samples (" in log.read_text(), 300, "the plan")
            model.unlink()
            assert program.wait(600) == 2
        errors = [line for line in log.read_text().splitlines() if line.startswith("error: ")]
        assert "the runner's own logs say more" in errors[0]
        assert f"{model}: no such face model" in errors[1]
        logs = pathlib.Path(errors[1].rpartition("its logs: ")[2])
        assert list(logs.glob("work*/driver-*/stderr"))


class TestPipeline:
    """FaceExampleGen and StatisticsGen, by way of the pipeline's settings."""

    pytestmark = needs_spark

    def test_it_makes_the_records_of_the_local_runner(self, spark, tmp_path):
        from components.records.beam_runs import loopback_only

        with loopback_only():
            on_spark = data_steps(tmp_path / "spark", spark.beam_args)
        assert data_steps(tmp_path / "local") == on_spark
        records, statistics = on_spark
        assert len(records) == 4
        assert {split: count for split, (count, _) in statistics.items()} == {
            "Split-train": 20,
            "Split-eval": 9,
            "Split-test": 5,
        }

    def test_another_runner_runs_no_step_again(self, spark, tmp_path):
        first = data_steps(tmp_path)
        assert data_steps(tmp_path, spark.beam_args) == first
        assert len(list(tmp_path.glob("artifacts/FaceExampleGen/examples/*"))) == 1


def data_steps(root, beam_args=()):
    """Runs the pipeline's first two steps: bytes by file, and each split's count and features."""
    import tensorflow_data_validation as tfdv
    from tfx import v1 as tfx

    from pipeline import local_runner, pipeline
    from pipeline.config import load
    from pipeline.runs.places import PipelinePaths

    data = "{face_model: tiny, train: 20, eval: 9, test: 5, image_size: 48, shard_samples: 12}"
    overrides = [f"data={data}", "trainer.batch_size=4"]
    config = load(overrides=[*overrides, f"resources.beam_args={json.dumps(list(beam_args))}"])
    places = PipelinePaths(root)
    whole = local_runner.create(config, places)
    schema = local_runner.write_schema(config, places)
    tfx.orchestration.LocalDagRunner().run(
        tfx.dsl.Pipeline(
            pipeline_name="data",
            pipeline_root=str(places.artifacts),
            components=[*pipeline.data_steps(config, schema_file=str(schema)).values()],
            enable_cache=True,
            metadata_connection_config=whole.metadata_connection_config,
            beam_pipeline_args=whole.beam_pipeline_args,
        )
    )
    files = root.glob("artifacts/FaceExampleGen/examples/*/Split-*/*")
    statistics = {}
    for path in root.glob("artifacts/StatisticsGen/statistics/*/Split-*/FeatureStats.pb"):
        (found,) = tfdv.load_stats_binary(str(path)).datasets
        names = sorted(str(feature.path.step[0]) for feature in found.features)
        statistics[path.parent.name] = (found.num_examples, names)
    return {path.name: path.read_bytes() for path in files}, statistics


def users_of(place):
    """Processes whose command or environment names a folder."""
    found = {}
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            if str(place).encode() in command + (folder / "environ").read_bytes():
                found[int(folder.name)] = command.replace(b"\0", b" ").decode()
    return found
