"""Synthesis on Beam: equal to the function, the same bytes however it is split, atomic files."""

import copy
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import time

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import assert_that, equal_to

from components.records import synthesis
from components.records.shards import ShardFiles, write_atomically
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis.distributions import Normal
from facemodel.synthesis.recipes import SynthesisConfig
from pipeline.datasets import plan as dataset_plan
from pipeline.datasets import unfinished
from pipeline.datasets import write as datasets
from pipeline.datasets.unfinished import DatasetError
from pipeline.spark import sessions

CONFIG = SynthesisConfig.lifelike(image_size=48, relative_scale=Normal(0.22, 0.01, 0.2, 0.25))
JOB = synthesis.SynthesisJob(CONFIG, seed=5, count=20, load_model=MorphableModel.tiny)


def records_of(paths):
    return [record.numpy() for record in tf.data.TFRecordDataset([str(path) for path in paths])]


def digest(records):
    return hashlib.sha256(b"".join(records)).hexdigest()


@pytest.fixture(scope="module", autouse=True)
def one_tracing(expected):
    """Beam jobs of this process share one compiled function, which is not that of `expected`.

    Tracing it takes seconds, and it depends neither on the range of indices nor on the files.
    """
    make, made = synthesis.Synthesizer, {}

    def shared(job):
        key = (repr(job.config), job.load_model().name)
        if key not in made:
            made[key] = make(job)
        found = copy.copy(made[key])
        found._job = job
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesis, "Synthesizer", shared)
        yield


@pytest.fixture(scope="module")
def expected():
    """All records, made by the plain function, batch by batch."""
    synthesizer = synthesis.Synthesizer(JOB)
    return [
        pair for batch in JOB.batches for pair in synthesis.synthesize_batch(synthesizer, batch)
    ]


def test_the_function_makes_every_index_once(expected):
    assert [index for index, _ in expected] == list(range(20))


def test_beam_and_the_function_agree(expected):
    with test_pipeline.TestPipeline() as pipeline:
        pairs = pipeline | beam.Create([2, 0, 1]) | synthesis.Synthesize(JOB)
        assert_that(pairs, equal_to(expected))


def test_a_sample_has_the_same_bytes_whatever_the_count(expected):
    longer = synthesis.Synthesizer(synthesis.SynthesisJob(CONFIG, 5, 200, MorphableModel.tiny))
    assert synthesis.synthesize_batch(longer, 2)[:4] == expected[16:]


@pytest.mark.parametrize(
    ("first", "count"),
    [
        (5, 2),
        (6, 10),
        pytest.param(0, 3, marks=pytest.mark.slow),
        pytest.param(16, 4, marks=pytest.mark.slow),
    ],
)
def test_a_split_is_a_range_of_the_same_records(tmp_path, expected, first, count):
    """Also where it starts and ends inside batches, through Beam and in files."""
    job = dataclasses.replace(JOB, first=first, count=count)
    wanted = expected[first : first + count]
    with test_pipeline.TestPipeline() as pipeline:
        pairs = pipeline | beam.Create(job.batches) | synthesis.Synthesize(job)
        assert_that(pairs, equal_to(wanted))
    files = ShardFiles(str(tmp_path), "eval", len(job.batches))
    counters = synthesis.write_shards(job, files.shards(job.indices))
    paths = [files.path(shard) for shard in range(files.count)]
    assert records_of(paths) == [record for _, record in wanted]
    assert counters["samples_out"] == count


@pytest.mark.parametrize("changes", [{"count": 0}, {"count": -3}, {"first": -1}])
def test_a_job_without_samples_is_an_error(changes):
    with pytest.raises(ValueError, match="count should be at least 1"):
        dataclasses.replace(JOB, **changes)


@pytest.mark.parametrize("shards", [1, 3])
def test_shards_hold_the_same_records_in_order(tmp_path, expected, shards):
    files = ShardFiles(str(tmp_path), "train", shards)
    counters = synthesis.write_shards(JOB, files.shards(JOB.indices))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"train-{k:05d}-of-{shards:05d}.tfrecord" for k in range(shards)]
    assert records_of(tmp_path / name for name in names) == [record for _, record in expected]
    assert counters["batches_in"] == 3
    assert counters["samples_out"] == 20
    assert counters["bytes_out"] == sum(len(record) for _, record in expected)


def test_a_failed_shard_leaves_nothing(tmp_path):
    def records():
        yield b"half"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(str(tmp_path / "x.tfrecord"), records())
    assert not list(tmp_path.iterdir())


def plan(job=JOB, **counts):
    return dataset_plan.Plan(job, counts or {"train": job.count}, "tiny seed-0", 1, 1.0, 1000)


def test_a_dataset_folder_is_complete_and_repeatable(tmp_path, expected):
    sizes = []
    for name in ("a", "b"):
        datasets.write(plan(), tmp_path / name, progress=sizes.append)
    first, second = (sorted((tmp_path / name).iterdir()) for name in ("a", "b"))
    assert [path.name for path in first] == [
        "contact_sheet.png",
        "dataset.json",
        "train-00000-of-00001.tfrecord",
    ]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    description = json.loads(first[1].read_text())
    assert description["splits"]["train"]["count"] == 20
    assert SynthesisConfig.from_json(json.dumps(description["config"])) == CONFIG
    assert description["model_version"] == "tiny seed-0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def write_until(folder, shards, **options):
    """Starts a run that fails after some shards, as a full disk or a kill would end it."""
    written, real = [], write_atomically

    def write(path, records):
        if len(written) == shards:
            next(records)
            raise OSError("No space left on device")
        written.append(path)
        real(path, records)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesis, "write_atomically", write)
        with pytest.raises(Exception, match="No space left"):
            datasets.write(plan(**SPLIT), folder, **options)


SPLIT = {"train": 10, "eval": 6, "test": 4}


def test_splits_hold_neighbouring_records_and_resume_makes_the_same(tmp_path, expected):
    folder, names = tmp_path / "faces", ("train", "eval", "test")
    write_until(folder, 2)
    assert not folder.exists()
    left = tmp_path / ".faces.unfinished"
    assert len(list(left.glob("*.tfrecord"))) == 2
    assert not list(left.glob("*.part"))
    with pytest.raises(DatasetError, match="--resume continues it"):
        datasets.write(plan(**SPLIT), folder)
    other = plan(dataclasses.replace(JOB, seed=6), **SPLIT)
    with pytest.raises(DatasetError, match="had seed 5, this one has 6"):
        datasets.write(other, folder, resume=True)
    with pytest.raises(DatasetError, match="had splits"):
        datasets.write(plan(), folder, resume=True)
    spoiled, kept = sorted(left.glob("*.tfrecord"))
    spoiled.write_bytes(spoiled.read_bytes()[:-1])
    before = kept.stat().st_mtime_ns
    description = datasets.write(plan(**SPLIT), folder, resume=True)
    assert (folder / kept.name).stat().st_mtime_ns == before  # moved, not written again
    files = [folder / f"{name}-00000-of-00001.tfrecord" for name in names]
    assert records_of(files) == [record for _, record in expected]
    assert [description["splits"][name]["first_index"] for name in names] == [0, 10, 16]
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["contact_sheet.png", "dataset.json", *(path.name for path in files)]
    )
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_overwriting_forgets_an_interrupted_run(tmp_path):
    folder = tmp_path / "faces"
    write_until(folder, 1)
    datasets.write(plan(dataclasses.replace(JOB, count=1)), folder, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_two_processes_do_not_write_one_folder(tmp_path):
    with (
        unfinished.open_staging(tmp_path / "faces", {}, resume=False, overwrite=False),
        pytest.raises(DatasetError, match="another process is writing it"),
        unfinished.open_staging(tmp_path / "faces", {}, resume=True, overwrite=False),
    ):
        pass


def test_an_existing_folder_is_kept_unless_overwritten(tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(DatasetError, match="exists already"):
        datasets.write(plan(), folder)
    with pytest.raises(DatasetError, match="holds no data set"):
        datasets.write(plan(), folder, overwrite=True)
    (folder / datasets.DESCRIPTION).write_text("{}")
    datasets.write(plan(), folder, overwrite=True)
    assert not (folder / "mine.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_an_empty_folder_is_filled_also_when_it_is_the_working_directory(
    tmp_path, expected, monkeypatch
):
    folder = tmp_path / "faces"
    folder.mkdir()
    before = folder.stat().st_ino
    monkeypatch.chdir(folder)
    datasets.write(plan(), pathlib.Path("."))
    assert folder.stat().st_ino == before
    names = {path.name for path in folder.iterdir()}
    assert {datasets.DESCRIPTION, "train-00000-of-00001.tfrecord"} <= names
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_a_failed_run_leaves_the_old_data_and_nothing_new(tmp_path):
    folder = tmp_path / "faces"
    folder.mkdir()
    (folder / datasets.DESCRIPTION).write_text("old")
    missing = functools.partial(MorphableModel.load, tmp_path / "none.npz")
    broken = plan(synthesis.SynthesisJob(CONFIG, 5, 20, missing))
    with pytest.raises(Exception, match=r"none\.npz"):
        datasets.write(broken, folder, overwrite=True)
    assert (folder / datasets.DESCRIPTION).read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["faces"]


def test_a_full_disk_is_an_error_beforehand(tmp_path):
    with pytest.raises(DatasetError, match="MB are needed"):
        datasets.check_target(tmp_path / "faces", 10**18, overwrite=False)


def test_one_sample_alone_is_the_stored_one(expected):
    sample = datasets.make_one(JOB, 17)
    stored = tf.train.Example.FromString(expected[17][1]).features.feature["image/encoded"]
    np.testing.assert_array_equal(
        tf.io.decode_png(stored.bytes_list.value[0]).numpy(), sample["image"]
    )


@pytest.mark.slow
def test_one_and_two_workers_write_the_same_bytes(tmp_path):
    """Two processes with one thread each against this process."""
    for workers in (1, 2):
        files = ShardFiles(str(tmp_path / str(workers)), "train", 2)
        (tmp_path / str(workers)).mkdir()
        synthesis.write_shards(JOB, files.shards(JOB.indices), workers=workers)
    one, two = (records_of(sorted((tmp_path / str(k)).iterdir())) for k in (1, 2))
    assert digest(one) == digest(two)


def test_bad_requests_are_one_line_on_stderr(tmp_path):
    from typer.testing import CliRunner

    from pipeline import cli

    (tmp_path / "faces").mkdir()
    (tmp_path / "faces" / "mine.txt").write_text("mine")
    configs = {
        "nose: unknown; there are": '{"nose": 1}',
        "image_size: should lie in": '{"image_size": -3}',
        "blur: low 0.9 is above high 0.1": '{"blur": [0.9, 0.1]}',
        "should be JSON": "blur",
    }
    new = ["-o", str(tmp_path / "new")]
    bad = {
        "exists already": ["-o", str(tmp_path / "faces")],
        "recipe: should be one of": [*new, "--recipe", "cartoon"],
        "no such face model": [*new, "--model", str(tmp_path / "none.npz")],
        "it lacks": [*new, "--model", str(tmp_path / "old.npz")],
        "a data set needs samples": [*new, "-n", "0"],
        "pipeline runner: CartoonRunner": [*new, "--beam=--runner=CartoonRunner"],
    }
    np.savez(tmp_path / "old.npz", vertices=np.zeros((4, 3)))
    for number, (message, text) in enumerate(configs.items()):
        (tmp_path / f"{number}.json").write_text(text)
        bad[message] = [*new, "--config", str(tmp_path / f"{number}.json")]
    before = sorted(tmp_path.iterdir())
    for message, arguments in bad.items():
        result = CliRunner().invoke(cli.make_app(), ["synthesize", *arguments])
        assert result.exit_code == 2
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_one_line_and_leaves_nothing_finished(tmp_path, workers):
    """The limit on a file's size stands for the disk's end, in the middle of a shard."""
    limit = 500_000
    arguments = ["synthesize", "-n", "16", "-o", str(tmp_path / "faces"), "--workers", str(workers)]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *arguments],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("error: "))
    assert "could not be written" in line
    assert list(tmp_path.iterdir()) == []


def command(folder, *words):
    """`facerelief synthesize` of 328 small faces in 22 files."""
    config = folder.with_name("small.json")
    config.write_text('{"image_size": 64}')
    arguments = ["-n", "320", "--eval", "8", "--seed", "5", "--shard-samples", "16"]
    arguments += ["--recipe", "paper"]
    arguments += ["--config", str(config), "-o", str(folder), *words]
    return [sys.executable, "-m", "pipeline.cli", "synthesize", *arguments]


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_a_killed_worker_ends_the_run_and_resume_makes_the_same_bytes(tmp_path):
    """And whatever has a file's final name has all of its bytes, at any time."""
    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    whole = content(tmp_path / "whole")
    folder = tmp_path / "faces"
    left = tmp_path / ".faces.unfinished"
    log = tmp_path / "log"
    run = sessions.start(command(folder, "--workers", "2"), log=log, environment=os.environ)
    killed = False
    while run.poll() is None:
        seen = {path.name: path.read_bytes() for path in left.glob("*.tfrecord")}
        assert seen.items() <= whole.items()
        workers = [
            process
            for process, line in sessions.members([run.pid]).items()
            if "sdk_worker_main" in line and not line.startswith("/bin/sh")
        ]
        if seen and not killed:
            assert len(workers) == 2
            os.kill(workers[0], signal.SIGKILL)
            killed = True
        time.sleep(0.1)
    assert killed
    assert run.returncode == 2
    errors = [line for line in log.read_text().splitlines() if line.startswith("error: ")]
    # Beam says that it was killed, or, where that comes first, that the connection was lost.
    assert len(errors) == 1 and re.search("a worker process was (killed|lost)", errors[0])
    assert sessions.members([run.pid]) == {}
    files = {name for name in content(left) if name.endswith(".tfrecord")}
    assert 0 < len(files) < 22
    assert set(content(left)) == files | set(unfinished.OWN_FILES)
    subprocess.run(command(folder, "--workers", "2", "--resume"), check=True, capture_output=True)
    assert content(folder) == whole
