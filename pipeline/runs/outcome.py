"""Outcome of a pipeline run: verdicts about its model, version and report."""

from __future__ import annotations

import dataclasses
import pathlib

from ml_metadata.proto import metadata_store_pb2 as pb

from pipeline.runs.history import Run, open_store
from pipeline.runs.places import PipelinePaths


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Outcome of a run.

    Attributes:
      evaluation, infra_validation: blessed, or not and why.
      push: Folder to which the model was pushed, or why it was not.
      report: the page about the model.
    """

    evaluation: str
    infra_validation: str
    push: str
    report: str

    def __str__(self) -> str:
        return "\n".join(
            [
                f"evaluation: {self.evaluation}",
                f"infra validation: {self.infra_validation}",
                self.push,
                f"report: {self.report}",
            ]
        )


def outcome(places: PipelinePaths, run: Run) -> Outcome:
    """Reads from ML Metadata, and from what its steps wrote, what a run came to."""
    store = open_store(places)
    found = {step.node: _outputs(store, step.execution) for step in run.steps}

    def output(node: str, key: str) -> pb.Artifact | None:
        return found.get(node, {}).get(key)

    report = output("FaceReport", "report")
    return Outcome(
        evaluation=_evaluation(output("Evaluator", "blessing"), output("Evaluator", "evaluation")),
        infra_validation=_infra_validation(output("FaceInfraValidator", "blessing")),
        push=_push(output("FacePusher", "pushed_model"), "FacePusher" in run.of("cached")),
        report=str(pathlib.Path(report.uri, "index.html")) if report else "none",
    )


def summary(places: PipelinePaths, run: Run, *, model_name: str) -> str:
    """Describes a run, the verdicts about its model, and what is served now."""
    from components.deployment import registry

    folder = places.serving / model_name
    served = max(registry.versions(folder), default=None)
    return "\n".join(
        [
            f"{run.state}: {len(run.of('done'))} steps ran, "
            f"{len(run.of('cached'))} came from the cache",
            str(outcome(places, run)),
            f"served: {folder / str(served) if served else 'nothing yet'}",
        ]
    )


def _outputs(store, execution: int) -> dict[str, pb.Artifact]:
    """A step's output artifacts by name."""
    events = store.get_events_by_execution_ids([execution])
    keys = {e.artifact_id: e.path.steps[0].key for e in events if e.type == pb.Event.OUTPUT}
    return {keys[artifact.id]: artifact for artifact in store.get_artifacts_by_id(list(keys))}


def _evaluation(blessing: pb.Artifact | None, evaluation: pb.Artifact | None) -> str:
    if not blessing or not evaluation or not pathlib.Path(blessing.uri).is_dir():
        return "none"
    if pathlib.Path(blessing.uri, "BLESSED").is_file():
        return "blessed"
    from components.verdict import objections

    return f"not blessed: {'; '.join(objections(evaluation.uri))}"


def _infra_validation(blessing: pb.Artifact | None) -> str:
    if not blessing or not pathlib.Path(blessing.uri).is_dir():
        return "none"
    reason = pathlib.Path(blessing.uri, "INFRA_NOT_BLESSED")
    return f"not blessed: {reason.read_text(encoding='utf-8')}" if reason.is_file() else "blessed"


def _push(pushed: pb.Artifact | None, cached: bool) -> str:
    if not pushed:
        return "not pushed: FacePusher did not run"
    result = pathlib.Path(pushed.uri, "result.txt")
    if not result.is_file():
        return "pushed or not: the files that say so were cleaned away"
    said = result.read_text(encoding="utf-8").strip()
    return f"{said} (in an earlier run)" if cached else said
