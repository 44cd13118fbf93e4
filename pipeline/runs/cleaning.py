"""Removes what old runs of a pipeline left: artifacts, checkpoints, configurations."""

from __future__ import annotations

import pathlib
import shutil
from collections.abc import Iterable

from ml_metadata.proto import metadata_store_pb2 as pb

from facemodel.saved_model.metadata import read_facts
from facemodel.saved_model.versions import newest_model
from pipeline.runs.history import Run, RunsError, list_runs, open_store
from pipeline.runs.places import PipelinePaths, is_running


def clean(places: PipelinePaths, *, keep: int) -> list[pathlib.Path]:
    """Removes what only old runs have: artifacts, checkpoints and configurations.

    What newer runs took from the cache stays, and so do pushed models. A later run makes what it
    needs again.

    Args:
      places: Paths of the pipeline.
      keep: Number of the newest runs to keep.

    Returns:
      The folders and files that were removed.

    Raises:
      RunsError: if a run is active.
    """
    if is_running(places):
        raise RunsError(f"{places.root}: a run is going on there")
    runs, store = list_runs(places), open_store(places)
    kept, old = runs[:keep], runs[keep:]
    needed = {artifact.uri for run in kept for artifact in _artifacts(store, run)}
    stale = [pathlib.Path(a.uri) for run in old for a in _artifacts(store, run)]
    stale = [path for path in stale if str(path) not in needed]
    numbers = {step.execution for run in old for step in run.steps}
    left_over = _execution_folders(places, numbers - {_number(uri) for uri in needed})
    found = {
        *stale,
        *left_over,
        *(run.config for run in old if run.config),
        *_stale_checkpoints(places, needed, kept[-1].started),
    }
    inside = {path for path in found if places.root in path.parents and path.exists()}
    return _remove(inside)


def _artifacts(store, run: Run) -> Iterable[pb.Artifact]:
    return store.get_artifacts_by_context(run.context)


def _number(uri: str) -> int:
    """Number of the execution that made an artifact, the last part of its URI."""
    return int(pathlib.PurePosixPath(uri).name)


def _execution_folders(places: PipelinePaths, numbers: set[int]) -> list[pathlib.Path]:
    """Folders that executions wrote, failed ones too: artifacts/<node>/<output>/<number>."""
    return [
        path
        for pattern in ("*/*/*", "*/.system/*/*")
        for path in places.artifacts.glob(pattern)
        if path.name.isdecimal() and int(path.name) in numbers
    ]


def _stale_checkpoints(places: PipelinePaths, needed: set[str], since: float) -> list[pathlib.Path]:
    """Checkpoints of which no kept model was made, and from which no kept run could resume."""
    models = [newest_model(pathlib.Path(uri, "Format-Serving")) for uri in needed]
    facts = [read_facts(model) for model in models if model]
    keys = {found.get("origin", {}).get("run_key") for found in facts}
    others = [path for path in places.checkpoints.glob("*") if path.name not in keys]
    return [path for path in others if path.stat().st_mtime < since]


def _remove(paths: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    removed = sorted(paths)
    for path in removed:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return removed
