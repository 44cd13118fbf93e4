"""Where a model comes from: its data, seed, settings, code and parent."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from components.deployment import registry
from components.deployment.registry import CANDIDATE
from facemodel.saved_model import metadata
from facemodel.saved_model.metadata import METADATA
from facemodel.saved_model.versions import newest_model
from pipeline.runs.history import list_runs, open_store
from pipeline.runs.places import PipelinePaths

_VERDICTS = {"ModelBlessing": "blessed", "InfraBlessing": "blessed", "PushedModel": "pushed"}
"""The property that says it, by the artifact's type."""


class LineageError(ValueError):
    """A folder that is no model, or one that says nothing about its origin."""


def read_facts(model: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads what a SavedModel, or the newest version in a folder, says about itself.

    Raises:
      LineageError: if it is none of this project's.
    """
    return metadata.read_facts(_version_folder(model))


def _version_folder(model: str | os.PathLike[str]) -> pathlib.Path:
    path = pathlib.Path(model)
    if not path.is_dir():
        raise LineageError(f"{model}: no such folder")
    path = newest_model(path) or path
    if not (path / METADATA).is_file():
        below = ", ".join(_models_below(path))
        hint = f"; look into: {below}" if below else ""
        raise LineageError(f"{model}: no SavedModel of this project (it has no {METADATA}){hint}")
    return path


def _models_below(folder: pathlib.Path) -> list[str]:
    """The folders in a folder that are models, or hold versions of one."""
    return sorted(
        path.name
        for path in folder.iterdir()
        if (path / METADATA).is_file() or registry.versions(path)
    )


def lineage(model: str | os.PathLike[str], places: PipelinePaths | None = None) -> dict[str, Any]:
    """Says what made a model.

    Args:
      model: a SavedModel's folder, or one of versions.
      places: Paths of the pipeline whose ML Metadata is asked, too.

    Returns:
      By name: model, version, code, and if a pipeline made it, data, training, parent; if ML
      Metadata knows it, the run, its configuration, and the artifacts before and after it with
      their verdicts. What is not there any more is marked so.

    Raises:
      LineageError: if it is none of this project's.
    """
    path = _version_folder(model)
    try:
        found = _stated(metadata.read_facts(path))
    except (AttributeError, KeyError, TypeError) as error:
        raise LineageError(f"{path / METADATA}: is incomplete ({_reason(error)})") from None
    source = registry.source_of(path)
    if source:
        found["pushed from"] = _marked(source)
    if places:
        found |= _recorded(places, source or str(path.resolve().parent))
    return {"model": str(path), **found}


def _reason(error: Exception) -> str:
    return f"it lacks {error.args[0]}" if isinstance(error, KeyError) else str(error)


def _stated(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts from the metadata of a model."""
    origin = facts.get("origin", {})
    found: dict[str, Any] = {
        "face model": f"{facts['model_name']} {facts['model_version']}",
        "code": {"facerelief": facts["facerelief_version"], "digest": origin.get("code")},
    }
    if origin:
        return found | {
            "data": origin["data"] | {"digest": origin["data_digest"]},
            "training": origin["trainer"],
            "export": origin["export"],
            "parent": origin["parent"],
        }
    names = ("weights_sha256", "model_sha256", "start", "iterations")
    return found | {"exported from": {name: facts[name] for name in names if name in facts}}


def _marked(uri: str) -> str:
    """A URI; one of this machine says if nothing is there any more."""
    lost = uri.startswith("/") and not os.path.exists(uri)
    return f"{uri} (removed)" if lost else uri


def _recorded(places: PipelinePaths, uri: str) -> dict[str, Any]:
    """Facts from ML Metadata about the model artifact with that URI."""
    if not places.metadata.is_file():
        return {"made in run": f"unknown: {places.root} holds no runs of the pipeline"}
    store = open_store(places)
    artifacts = [a for a in store.get_artifacts_by_uri(uri) if a.type == "Model"]
    if not artifacts:
        return {"made in run": f"unknown: {places.root} does not know this model"}
    number = artifacts[0].id
    contexts = {context.id for context in store.get_contexts_by_artifact(number)}
    runs = [run for run in list_runs(places) if run.context in contexts]
    first = runs[-1] if runs else None
    config = first.config if first else None
    return {
        "made in run": first.name if first else None,
        "configuration": _marked(str(config)) if config else "(removed)",
        "made from": _inputs(store, number),
        "judged by": _judgements(store, number),
    }


def _inputs(store, artifact: int) -> dict[str, str]:
    """The artifacts that the step which made one took."""
    made = _executions(store, artifact, "OUTPUT")
    events = store.get_events_by_execution_ids(made[:1])
    numbers = [event.artifact_id for event in events if event.type == event.INPUT]
    return {a.type: _marked(a.uri) for a in store.get_artifacts_by_id(numbers)}


def _judgements(store, artifact: int) -> dict[str, Any]:
    """The newest verdicts of the steps that took the model, and the baseline."""
    took = _executions(store, artifact, "INPUT")
    events = store.get_events_by_execution_ids(took)
    numbers = {event.artifact_id for event in events if event.type == event.OUTPUT}
    made = sorted(store.get_artifacts_by_id(list(numbers)), key=lambda a: a.id)
    found = {a.type: a for a in made}  # the newest of each type
    judgements: dict[str, Any] = {}
    if evaluation := found.get("ModelEvaluation"):
        judgements["ModelEvaluation"] = _marked(evaluation.uri)
    for name in [name for name in _VERDICTS if name in found]:
        judgements[name] = _judgement(found[name], _VERDICTS[name])
    if baseline := found.get("Model"):
        judgements["compared with"] = _compared_with(baseline)
    return judgements


def _judgement(artifact, word: str) -> dict[str, str]:
    """Verdict of a step from a property, 1 or 0."""
    value = artifact.custom_properties.get(word)
    verdict = "unknown" if value is None else word if value.int_value else f"not {word}"
    return {"verdict": verdict, "artifact": _marked(artifact.uri)}


def _compared_with(baseline) -> str:
    """Which served model a step took for a baseline."""
    properties = baseline.custom_properties
    if properties["version"].string_value == CANDIDATE:
        return "nothing was served yet"
    return _marked(properties["copied_from"].string_value)


def _executions(store, artifact: int, kind: str) -> list[int]:
    """Numbers of the steps that had an artifact as INPUT or OUTPUT."""
    events = store.get_events_by_artifact_ids([artifact])
    return [event.execution_id for event in events if event.type == getattr(event, kind)]
