"""A Spark standalone cluster on the loopback address: a master and two workers.

    with cluster.running() as spark:
        pipeline = beam.Pipeline(options=PipelineOptions(spark.beam_args))

Ports are those that are free, and are read from the logs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from pipeline.runs.places import try_to_hold
from pipeline.spark import sessions, tools
from pipeline.spark.tools import SparkError

WORKERS = 2
_START_S = 90.0
_ADDRESS = "127.0.0.1"
_TASKS_PER_EXECUTOR = 4
_OPEN_PACKAGES = (
    "java.lang java.lang.invoke java.lang.reflect java.io java.net java.nio java.util "
    "java.util.concurrent java.util.concurrent.atomic sun.nio.ch sun.nio.cs sun.security.action "
    "sun.util.calendar"
)
"""What Spark's own launcher opens on Java 17; drivers that come over REST go without."""
_CAUSE = re.compile(r"^(?:Caused by: )?((?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt)\b.*)")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
      folder: Folder of its logs.
      rest_url: URL where it takes jobs.
      jar: Beam's runner.
      sessions: Sessions of its processes.
    """

    folder: pathlib.Path
    rest_url: str
    jar: pathlib.Path
    sessions: tuple[int, ...]

    @property
    def beam_args(self) -> list[str]:
        """The options with which a Beam pipeline runs on it."""
        environment = json.dumps({"command": str(self.folder / "boot")})
        return [
            "--runner=SparkRunner",
            "--spark_submit_uber_jar",
            f"--spark_rest_url={self.rest_url}",
            f"--spark_job_server_jar={self.jar}",
            "--environment_type=PROCESS",
            f"--environment_config={environment}",
            # Without it each stage starts Python and TensorFlow anew.
            "--environment_cache_millis=600000",
        ]

    def processes(self, *, of: str = "") -> dict[int, str]:
        """Process id -> command line of its processes whose command line has a text in it."""
        running = sessions.members(self.sessions)
        return {process: line for process, line in running.items() if of in line}

    def cause(self) -> str | None:
        """Cause of the newest driver's failure: the innermost exception in its log."""
        logs = sorted(self.folder.glob("work*/driver-*/stderr"), key=os.path.getmtime)
        lines = logs[-1].read_text(errors="replace").splitlines() if logs else []
        found = [match[1] for line in lines if (match := _CAUSE.match(line.strip()))]
        python = [line for line in found if " [while running" in line]
        cause = (python or found or [None])[-1]
        return cause and cause.split(" [while running")[0]


@contextlib.contextmanager
def running(*, executors: int = WORKERS) -> Iterator[Cluster]:
    """Starts a cluster, and ends all of its processes with the body.

    Its folder goes as well; the logs stay until the next run if the body raises an Exception.

    Args:
      executors: Number of executors of one core, for each job.

    Raises:
      SparkError: if Java, Spark or Maven is missing or the cluster does not come up.
    """
    tools.check_java()
    spark, jar = tools.find_spark(), tools.runner_jar()
    programs: list[subprocess.Popen] = []
    with _run_folder() as folder:
        try:
            url = _start(programs, spark, folder, executors)
            yield Cluster(folder, url, jar, tuple(program.pid for program in programs))
        finally:
            sessions.end(programs)


@contextlib.contextmanager
def _run_folder() -> Iterator[pathlib.Path]:
    """A new folder; those of runs that are over go, also of runs that were killed."""
    for old in tools.STORE.glob("run-*/.lock"):
        with contextlib.suppress(FileNotFoundError), old.open("r+") as lock:
            if try_to_hold(lock):
                shutil.rmtree(old.parent, ignore_errors=True)
    folder = pathlib.Path(tempfile.mkdtemp(dir=tools.STORE, prefix="run-"))
    with (folder / ".lock").open("w") as lock:
        try_to_hold(lock)
        try:
            yield folder
        except Exception:  # not Ctrl-C
            _leave_logs(folder)
            raise
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)


def _start(
    programs: list[subprocess.Popen], spark: pathlib.Path, folder: pathlib.Path, executors: int
) -> str:
    """Adds master and workers to programs; gives the address for jobs when all are registered."""
    _write_boot(folder / "boot")
    environment = _environment(spark, folder)
    run = [str(spark / "bin" / "spark-class")]
    master_log, prefix = folder / "master.log", "org.apache.spark.deploy"
    command = [*run, f"{prefix}.master.Master", "--host", _ADDRESS, "--port", "0"]
    command += ["--webui-port", "0"]
    options = {"SPARK_MASTER_OPTS": " ".join(_settings(_MASTER))}
    programs.append(sessions.start(command, log=master_log, environment=environment | options))
    master = _await(r"Starting Spark master at (\S+)", master_log, programs[0])
    port = _await(r"REST server .* with port (\d+)", master_log, programs[0])
    options = {"JAVA_TOOL_OPTIONS": " ".join([*_settings(_jobs(executors)), *_opened()])}
    for number in range(WORKERS):
        command = [*run, f"{prefix}.worker.Worker", "--host", _ADDRESS, "--webui-port", "0"]
        # The driver of a job has a core, too.
        command += ["--cores", str(executors + 1), "--memory", f"{executors + 2}g"]
        command += ["--work-dir", str(folder / f"work{number}"), master]
        log = folder / f"worker{number}.log"
        programs.append(sessions.start(command, log=log, environment=environment | options))
    for number, program in enumerate(programs[1:]):
        _await(r"Successfully registered with (master)", folder / f"worker{number}.log", program)
    return f"http://{_ADDRESS}:{port}"


def _write_boot(path: pathlib.Path) -> None:
    """The command of the workers' environment: a program without arguments."""
    log = shlex.quote(str(path.with_name("python.log")))
    command = f"exec {shlex.quote(sys.executable)} -m pipeline.spark.boot"
    path.write_text(f'#!/bin/sh\n{command} "$@" >>{log} 2>&1\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _environment(spark: pathlib.Path, folder: pathlib.Path) -> dict[str, str]:
    """Environment of the cluster's programs, without the user's settings for another Spark."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SPARK_")}
    (folder / "conf").mkdir()
    return kept | {
        "SPARK_HOME": str(spark),
        "SPARK_CONF_DIR": str(folder / "conf"),
        "SPARK_LOCAL_IP": _ADDRESS,
        "SPARK_LOCAL_DIRS": str(folder / "local"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(tools.CHECKOUT), kept.get("PYTHONPATH")])),
    }


_MASTER = {
    "spark.master.rest.enabled": "true",
    "spark.master.rest.host": _ADDRESS,
    "spark.master.rest.port": "0",
}


def _jobs(executors: int) -> dict[str, object]:
    """Settings of every driver and executor; Beam's submission over REST brings none.

    A task that fails tries another executor, where a Python worker may still live: an executor
    keeps asking the one that it had. Both executors are on one node. A task that fails on both of
    them ends the job soon, as it would fail on a third one.
    """
    exclude = "spark.excludeOnFailure"
    return {
        "spark.cores.max": executors,
        "spark.executor.cores": 1,
        "spark.executor.memory": "1g",
        "spark.default.parallelism": _TASKS_PER_EXECUTOR * executors,
        "spark.driver.host": _ADDRESS,
        "spark.driver.bindAddress": _ADDRESS,
        "spark.ui.enabled": "false",
        "spark.task.maxFailures": 3,
        f"{exclude}.enabled": "true",
        f"{exclude}.task.maxTaskAttemptsPerExecutor": 1,
        f"{exclude}.task.maxTaskAttemptsPerNode": 2,
        f"{exclude}.unschedulableTaskSetTimeout": "10s",
        f"{exclude}.stage.maxFailedExecutorsPerNode": 4,
        f"{exclude}.application.maxFailedExecutorsPerNode": 4,
    }


def _settings(values: dict[str, object]) -> list[str]:
    return [f"-D{name}={value}" for name, value in values.items()]


def _opened() -> list[str]:
    return [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPEN_PACKAGES.split()]


def _await(pattern: str, log: pathlib.Path, program: subprocess.Popen) -> str:
    """The first group of a pattern, when the log of a program that runs has it."""
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        ended = program.poll() is not None
        text = log.read_text(errors="replace")
        if found := re.search(pattern, text):
            return found[1]
        if ended:
            break
        time.sleep(0.1)
    said = next((line for line in reversed(text.splitlines()) if line.strip()), "nothing")
    state = "ended" if ended else f"took longer than {_START_S:.0f} s"
    raise SparkError(f"Spark's {log.stem} {state} while starting; {log} ends with: {said}")


def _leave_logs(folder: pathlib.Path) -> None:
    shutil.rmtree(folder / "local", ignore_errors=True)
    for jar in folder.rglob("*.jar"):
        jar.unlink(missing_ok=True)
