"""Local runs of a pipeline, read from ML Metadata."""

from __future__ import annotations

import dataclasses
import pathlib

import ml_metadata
from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline.runs.places import PipelinePaths, finished_mark, is_running

_STATES = {
    pb.Execution.COMPLETE: "done",
    pb.Execution.CACHED: "cached",
    pb.Execution.FAILED: "failed",
    pb.Execution.CANCELED: "cancelled",
}


class RunsError(ValueError):
    """A folder without runs, or one whose runs cannot be cleaned."""


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of a run.

    Attributes:
      node: Name of the step.
      state: done, cached, failed, cancelled, running or interrupted.
      execution: Number in ML Metadata.
      seconds: Duration, s.
    """

    node: str
    state: str
    execution: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
      name: when it started, in local time.
      steps: Steps in the order of their start.
      finished: True if it came to its end.
      going_on: True if it is running now.
      context: Number in ML Metadata; later runs have higher ones.
      started: s since 1970.
      config: File of its configuration.
    """

    name: str
    steps: tuple[Step, ...]
    finished: bool
    going_on: bool
    context: int
    started: float
    config: pathlib.Path | None

    @property
    def state(self) -> str:
        """Running, complete, failed or interrupted."""
        if self.going_on:
            return "running"
        if any(step.state == "failed" for step in self.steps):
            return "failed"
        return "complete" if self.finished else "interrupted"

    def of(self, state: str) -> list[str]:
        """The steps in a state."""
        return [step.node for step in self.steps if step.state == state]


def open_store(places: PipelinePaths) -> ml_metadata.MetadataStore:
    """Opens ML Metadata; raises RunsError if there is none, or its file is no such database."""
    if not places.metadata.is_file():
        raise RunsError(f"{places.root}: holds no runs of the pipeline")
    config = pb.ConnectionConfig()
    config.sqlite.filename_uri = str(places.metadata)
    config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE
    try:
        return ml_metadata.MetadataStore(config)
    except (RuntimeError, ml_metadata.errors.StatusError) as error:
        words = " ".join(str(error).split()).removeprefix("Error when executing query: ")
        reason = words.partition(" query: ")[0]
        raise RunsError(f"{places.metadata}: cannot be read as ML Metadata ({reason})") from None


def list_runs(places: PipelinePaths) -> list[Run]:
    """All runs, newest first.

    Raises:
      RunsError: if there were none.
    """
    store = open_store(places)
    contexts = sorted(store.get_contexts_by_type("pipeline_run"), key=lambda c: -c.id)
    before = [context.id for context in contexts[1:]] + [0]
    busy = is_running(places)
    return [
        _run(store, context, places.config_after(number), busy and context is contexts[0])
        for context, number in zip(contexts, before, strict=True)
    ]


def newest_number(places: PipelinePaths) -> int:
    """The newest run's number in ML Metadata; 0 if there is none."""
    if not places.metadata.is_file():
        return 0
    contexts = open_store(places).get_contexts_by_type("pipeline_run")
    return max((context.id for context in contexts), default=0)


def _run(store, context: pb.Context, config: pathlib.Path | None, going_on: bool) -> Run:
    executions = sorted(store.get_executions_by_context(context.id), key=lambda e: e.id)
    return Run(
        name=context.name,
        steps=tuple(_step(store, execution, going_on) for execution in executions),
        finished=bool(config and finished_mark(config).exists()),
        going_on=going_on,
        context=context.id,
        started=context.create_time_since_epoch / 1e3,
        config=config,
    )


def _step(store, execution: pb.Execution, going_on: bool) -> Step:
    contexts = store.get_contexts_by_execution(execution.id)
    nodes = [context.name.split(".", 1)[-1] for context in contexts if context.type == "node"]
    unfinished = "running" if going_on else "interrupted"
    state = _STATES.get(execution.last_known_state, unfinished)
    taken_ms = execution.last_update_time_since_epoch - execution.create_time_since_epoch
    return Step(nodes[0] if nodes else execution.type, state, execution.id, taken_ms / 1e3)
