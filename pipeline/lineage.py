"""Where a model comes from: its data, seed, settings, code and parent."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from components import served_models
from facemodel import saved_model
from facemodel.saved_model import METADATA
from pipeline.places import Places


class LineageError(ValueError):
    """A folder that is no model, or one that says nothing about its origin."""


def read_facts(model: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads what a SavedModel, or the newest version in a folder, says about itself.

    Raises:
      LineageError: if it is none of this project's.
    """
    return saved_model.read_facts(_version_folder(model))


def _version_folder(model: str | os.PathLike[str]) -> pathlib.Path:
    path = pathlib.Path(model)
    present = served_models.versions(path)
    if present:
        path = present[max(present)]
    if not (path / METADATA).is_file():
        raise LineageError(f"{model}: no SavedModel of this project (it has no {METADATA})")
    return path


def lineage(model: str | os.PathLike[str], places: Places | None = None) -> dict[str, Any]:
    """Says what made a model.

    Args:
      model: a SavedModel's folder, or one of versions.
      places: of the pipeline whose ML Metadata is asked, too, if it knows the model.

    Returns:
      By name: model, version, code, and if a pipeline made it, data, training, parent; if ML
      Metadata knows it, the run and the artifacts before it.

    Raises:
      LineageError: if it is none of this project's.
    """
    path, facts = _version_folder(model), read_facts(model)
    origin = facts.get("origin", {})
    found: dict[str, Any] = {
        "model": str(path),
        "face model": f"{facts['model_name']} {facts['model_version']}",
        "code": {"facerelief": facts["facerelief_version"], "digest": origin.get("code")},
    }
    if origin:
        found |= {
            "data": origin["data"] | {"digest": origin["data_digest"]},
            "training": origin["trainer"],
            "export": origin["export"],
            "parent": origin["parent"],
        }
    else:
        names = ("weights_sha256", "model_sha256", "start", "iterations")
        found["exported from"] = {name: facts[name] for name in names if name in facts}
    source = served_models.source_of(path)
    if source:
        found["pushed from"] = source
    if places and places.metadata.is_file():
        found |= _recorded(places, source or str(path.parent))
    return found


def _recorded(places: Places, uri: str) -> dict[str, Any]:
    """What ML Metadata knows about the model artifact with that URI."""
    from pipeline.runs import open_store

    store = open_store(places)
    artifacts = [a for a in store.get_artifacts_by_uri(uri) if a.type == "Model"]
    if not artifacts:
        return {}
    contexts = store.get_contexts_by_artifact(artifacts[0].id)
    runs = sorted(context.name for context in contexts if context.type == "pipeline_run")
    return {
        "made in run": runs[0] if runs else None,
        "made from": _inputs(store, artifacts[0].id),
        "judged by": _judgements(store, artifacts[0].id),
    }


def _inputs(store, artifact: int) -> dict[str, str]:
    """The artifacts that the step which made one took."""
    made = _executions(store, artifact, "OUTPUT")
    events = store.get_events_by_execution_ids(made[:1])
    numbers = [event.artifact_id for event in events if event.type == event.INPUT]
    return {a.type: a.uri for a in store.get_artifacts_by_id(numbers)}


def _judgements(store, artifact: int) -> dict[str, str]:
    """Blessings and the baseline of the steps that took the model."""
    took = _executions(store, artifact, "INPUT")
    events = store.get_events_by_execution_ids(took)
    numbers = sorted({event.artifact_id for event in events if event.type == event.OUTPUT})
    found = {a.type: a for a in store.get_artifacts_by_id(numbers)}  # the newest of each type
    wanted = ("ModelEvaluation", "ModelBlessing", "InfraBlessing", "PushedModel")
    judgements = {name: found[name].uri for name in wanted if name in found}
    if baseline := found.get("Model"):
        judgements["compared with"] = baseline.custom_properties["copied_from"].string_value
    return judgements


def _executions(store, artifact: int, kind: str) -> list[int]:
    """Numbers of the steps that had an artifact as INPUT or OUTPUT."""
    events = store.get_events_by_artifact_ids([artifact])
    return [event.execution_id for event in events if event.type == getattr(event, kind)]
