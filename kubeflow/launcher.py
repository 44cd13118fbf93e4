"""Runs a step's command as a process, as KFP's launcher does in a container.

Its inputs are copied from the object store, which is a folder here, to a folder of its own before
it starts, and its outputs are copied back when it ends: it sees what it declares and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from components.deployment.child_process import die_with_parent, log_tail
from kubeflow import executor_io
from kubeflow.executor_io import BUCKET, StepFailed, StepRun, artifacts_of
from kubeflow.ir import IrStep
from pipeline.kfp_entrypoint import STAGING_ROOT, staged_path

ENDING_S = 20
"""How long an interrupted step may take to end."""


def run_container(step: IrStep, run: StepRun, message: pb.ExecutorInput) -> pb.ExecutorOutput:
    """Starts a step's command as a process and takes over what it leaves.

    Raises:
      StepFailed: with the end of its log.
    """
    folder = run.folder(step.name)
    staging = folder / "staging"
    _prepare(run, message, folder, staging)
    log = folder / "log.txt"
    variables = {each.name: each.value for each in step.executor.container.env}
    environment = {**os.environ, **variables, STAGING_ROOT: str(staging)}
    words = executor_io.command_line(step, message, staging)
    code = _run_process(words, log, folder, environment)
    if code:
        raise StepFailed(f"{step.name} ended with code {code}; see {log}\n{log_tail(log)}")
    output = executor_io.collect(step, message)
    for artifact in artifacts_of(output):
        if artifact.uri.startswith(BUCKET):
            _copy(_staged(artifact, staging), run.object_path(artifact.uri))
    shutil.rmtree(staging)
    return output


def _prepare(
    run: StepRun, message: pb.ExecutorInput, folder: pathlib.Path, staging: pathlib.Path
) -> None:
    """Makes a step's folders, with its inputs in them and nothing of an earlier attempt."""
    for leftover in (staging, folder / "kfp_outputs"):
        shutil.rmtree(leftover, ignore_errors=True)
    (folder / "kfp_outputs").mkdir(parents=True)
    (folder / "executor_input.json").write_text(json_format.MessageToJson(message))
    for artifact in artifacts_of(message.inputs):
        _copy(run.object_path(artifact.uri), _staged(artifact, staging))
    for artifact in artifacts_of(message.outputs):
        _staged(artifact, staging).parent.mkdir(parents=True, exist_ok=True)


def _staged(artifact: pb.RuntimeArtifact, staging: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(staged_path(artifact.uri, str(staging)))


def _copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a file or a folder; nothing if there is none, as object stores have no folders.

    What is not in the object store stays where it is.
    """
    if source == target:
        return
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _run_process(
    words: list[str], log: pathlib.Path, folder: pathlib.Path, environment: dict[str, str]
) -> int:
    """Exit code of a command; ends its whole process group when this one is interrupted.

    The command itself also ends when this process is killed.
    """
    with log.open("ab") as stream:
        process = subprocess.Popen(
            die_with_parent(words),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait()
        except BaseException:
            _end(process)
            raise


def _end(process: subprocess.Popen) -> None:
    """Asks a process to end, and then ends it with all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDING_S)
