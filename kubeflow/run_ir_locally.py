"""Runs a compiled Kubeflow pipeline on this machine, without a cluster and without containers.

    python -m kubeflow.run_ir_locally out/kubeflow/pipeline.yaml --root out/kubeflow/run

Walks the pipeline's graph and starts each step's own command as a process, with the inputs that
open-source KFP v2 would give it (kubeflow/executor_io.py). Steps that ran before with the same
inputs are taken from the cache in ROOT, if the pipeline allows it: so a run that was killed goes on
where it stopped. Images are not used: every step runs in this Python environment.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib
import secrets
import signal
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from rich.console import Console

from facemodel.files import write_bytes
from kubeflow import executor_io, ir, launcher
from kubeflow.executor_io import StepFailed, StepRun
from pipeline.cli import make_single_app
from pipeline.commands.options import CommandError
from pipeline.local_runner import exit_on_sigterm


@dataclasses.dataclass(frozen=True)
class Done:
    """How a step ended.

    Attributes:
      step: Name of the step.
      state: ran, cached or imported.
      seconds: Duration, s.
      output: KFP's ExecutorOutput.
    """

    step: str
    state: str
    seconds: float
    output: pb.ExecutorOutput


def execute(
    program: ir.Program,
    run: StepRun,
    *,
    cache: bool = True,
    retries: int | None = None,
    started: Callable[[str], None] = lambda name: None,
    finished: Callable[[Done], None] = lambda done: None,
) -> dict[str, Done]:
    """Runs all steps, one after the other.

    Args:
      program: the pipeline.
      run: Run to add to.
      cache: True to take finished steps of earlier runs.
      retries: Number of times that a failed step is restarted; the pipeline's if None.
      started: Called with the name of each step.
      finished: Called with how it ended.

    Returns:
      How each step ended, by name.

    Raises:
      StepFailed: by the first step that fails; nothing runs after it.
      IrError: if a step's inputs are unavailable.
    """
    done: dict[str, Done] = {}
    outputs: dict[str, pb.ExecutorOutput] = {}
    for step in program.steps:
        started(step.name)
        begin = time.monotonic()
        state, outputs[step.name] = _run_step(step, run, outputs, cache=cache, retries=retries)
        seconds = time.monotonic() - begin
        done[step.name] = Done(step.name, state, seconds, outputs[step.name])
        finished(done[step.name])
    return done


def _run_step(
    step: ir.IrStep,
    run: StepRun,
    outputs: Mapping[str, pb.ExecutorOutput],
    *,
    cache: bool,
    retries: int | None,
) -> tuple[str, pb.ExecutorOutput]:
    """How a step was done, and what it left."""
    if step.executor.WhichOneof("spec") == "importer":
        return "imported", executor_io.import_artifact(step, run, outputs)
    message = executor_io.executor_input(step, run, outputs)
    entry = run.root / "cache" / f"{executor_io.cache_key(step, message)}.json"
    cache = cache and step.task.caching_options.enable_cache
    if cache and (found := read_cache(entry, run)):
        return "cached", found
    left = step.task.retry_policy.max_retry_count if retries is None else retries
    while True:
        try:
            output = launcher.run_container(step, run, message)
            break
        except StepFailed:
            if left <= 0:
                raise
            left -= 1
    write_cache(entry, run, output)
    return "ran", output


def read_cache(entry: pathlib.Path, run: StepRun) -> pb.ExecutorOutput | None:
    """What a step left, if it is known and all of it is still there."""
    if not entry.is_file():
        return None
    content = json.loads(entry.read_text(encoding="utf-8"))
    if not all(run.object_path(uri).exists() for uri in content["objects"]):
        return None
    return json_format.ParseDict(content["output"], pb.ExecutorOutput())


def write_cache(entry: pathlib.Path, run: StepRun, output: pb.ExecutorOutput) -> None:
    """Remembers what a step left."""
    uris = [artifact.uri for artifact in executor_io.artifacts_of(output)]
    content = {
        "objects": [uri for uri in uris if run.object_path(uri).exists()],
        "output": json_format.MessageToDict(output),
    }
    entry.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(entry, json.dumps(content).encode())


def new_run(program: ir.Program, root: pathlib.Path, parameters: dict[str, Any]) -> StepRun:
    """A run with a name of its own."""
    run_id = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(2)}"
    known = {**program.parameters, **parameters}
    return StepRun(root.resolve(), program.name, run_id, known)


def read_parameters(texts: list[str]) -> dict[str, Any]:
    """Reads NAME=VALUE, the value being YAML.

    Raises:
      IrError: if one isn't like that.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            if not (name and equals):
                raise ValueError
            values[name] = yaml.safe_load(value)
        except (ValueError, yaml.YAMLError):
            raise ir.IrError(f"--param should be NAME=VALUE, got {text!r}") from None
    return values


def main(
    file: Annotated[pathlib.Path, typer.Argument(metavar="FILE", help="Compiled pipeline, .yaml.")],
    root: Annotated[
        pathlib.Path, typer.Option(help="Folder for artifacts, logs and the cache.")
    ] = pathlib.Path("out/kubeflow/run"),
    param: Annotated[
        list[str] | None, typer.Option(help="A parameter of the pipeline, NAME=VALUE.")
    ] = None,
    cache: Annotated[bool, typer.Option(help="Take finished steps of earlier runs.")] = True,
    retries: Annotated[
        int | None,
        typer.Option(min=0, help="Start a failed step again so often; else as compiled."),
    ] = None,
) -> None:
    """Run a compiled Kubeflow pipeline here, step by step.

    FILE has to be compiled with --here, as make kubeflow-local does, so without a cluster's
    volumes. Ends with code 1 if a step fails, 2 if the file cannot be run. A second call goes on
    where the first one stopped.

    Example: python -m kubeflow.run_ir_locally out/kubeflow/pipeline.yaml --root out/kubeflow/run
    """
    console = Console(highlight=False, soft_wrap=True)
    exit_on_sigterm()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
    try:
        program = ir.load_to_run_here(file)
        run = new_run(program, root, read_parameters(param or []))
        console.print(f"{program.name}: {len(program.steps)} steps, logs in {run.folder('')}")
        _show(console, program, run, cache=cache, retries=retries)
    except KeyboardInterrupt:
        message = "interrupted; the next call goes on from here"
        raise CommandError(message, exit_code=130) from None
    console.print(f"done; artifacts in {run.root / 'objects'}", markup=False)


def _show(console: Console, program: ir.Program, run: StepRun, **options: Any) -> None:
    """Runs all steps, and says which one is running and how each ended."""
    count = itertools.count(1)
    with console.status("") as status:
        execute(
            program,
            run,
            started=lambda name: status.update(f"{name} ({next(count)}/{len(program.steps)})"),
            finished=lambda done: console.print(
                f"{done.state:<8} {done.step:<24} {done.seconds:7.1f} s", markup=False
            ),
            **options,
        )


if __name__ == "__main__":
    make_single_app(main)()
