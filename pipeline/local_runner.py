"""Runs the pipeline on this machine, step by step, in one process.

`facerelief pipeline` does it, and so does the tfx command line, which runs this file as a script:

    tfx pipeline create --engine=local --pipeline_path=pipeline/local_runner.py
    tfx run create --engine=local --pipeline_name=facerelief

There the options come from the environment: FACERELIEF_CONFIG (a YAML file), FACERELIEF_SET
(overrides, quoted as for a shell) and FACERELIEF_ROOT (out/pipeline).
"""

from __future__ import annotations

import datetime
import hashlib
import logging
import os
import pathlib
import re
import shlex
import signal
import sys

if __name__ == "__main__":
    # The folder of this script comes first on the path and would hide the package of its name.
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from components.settings import SettingsError
from facemodel.files import write_bytes
from pipeline import config as configuration
from pipeline.places import DEFAULT_ROOT, Places, RunError, lock

NAME = "facerelief"

_STEP = re.compile(r"Component \S+ is (running|finished)|An? cached execution|Execution \d+ failed")

_log = logging.getLogger("pipeline.local_runner")


def write_schema(config: configuration.PipelineConfig, places: Places) -> pathlib.Path:
    """Writes the curated schema for the face model, under a name that changes with its content."""
    from components.face_models import load_face_model
    from components.record_schema import curated_schema

    lengths = {}
    if config.data.face_model != "default":
        model = load_face_model(config.data.face_model)
        lengths = {
            "face/coefficients": model.coefficient_count,
            "face/albedo_coefficients": len(model.albedo),
        }
    text = curated_schema(lengths)
    path = places.schemas / hashlib.sha256(text.encode()).hexdigest()[:16] / "schema.pbtxt"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, text.encode())
    return path


def create(config: configuration.PipelineConfig, places: Places, *, name: str = NAME):
    """The pipeline with the paths of a root."""
    from tfx import v1 as tfx

    from components.synthesis import local_flags
    from pipeline.pipeline import create_pipeline

    return create_pipeline(
        config,
        name=name,
        root=str(places.artifacts),
        serving_dir=str(places.serving),
        checkpoint_dir=str(places.checkpoints),
        schema_file=str(write_schema(config, places)),
        metadata_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(places.metadata)
        ),
        beam_args=local_flags(config.resources.beam_workers),
    )


def run(
    config: configuration.PipelineConfig,
    root: str | os.PathLike[str] = DEFAULT_ROOT,
    *,
    name: str = NAME,
) -> Places:
    """Runs all steps; those that ran before with the same inputs, settings and code are skipped.

    Args:
      config: of the pipeline; logged and stored.
      root: folder for everything.
      name: of the pipeline.

    Raises:
      RunError: if a run is going on there.
    """
    from tfx import v1 as tfx

    places = Places(pathlib.Path(root))
    _log.info("configuration:\n%s", config.to_yaml())
    with lock(places, patience_s=1.0):
        pipeline = create(config, places, name=name)
        stored = places.configs / f"{datetime.datetime.now().isoformat()}.yaml"
        stored.parent.mkdir(exist_ok=True)
        stored.write_text(config.to_yaml(), encoding="utf-8")
        tfx.orchestration.LocalDagRunner().run(pipeline)
        places.finished_mark(stored).touch()
    return places


def summary(places: Places, config: configuration.PipelineConfig) -> str:
    """What the newest run did, where its report is and what is served, for people."""
    from components import served_models
    from pipeline.runs import list_runs

    newest = list_runs(places)[0]
    reports = sorted(places.artifacts.glob("FaceReport/report/*"), key=lambda p: int(p.name))
    folder = places.serving / config.pusher.name
    served = max(served_models.versions(folder), default=None)
    return "\n".join(
        [
            f"{newest.state}: {len(newest.of('done'))} steps ran, "
            f"{len(newest.of('cached'))} came from the cache",
            f"report: {reports[-1] / 'index.html' if reports else 'none'}",
            f"served: {folder / str(served) if served else 'nothing yet'}",
        ]
    )


def show_log() -> None:
    """Writes to standard error which step runs, what this project logs and what goes wrong."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(_concerns_people)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in ("absl", "components", "pipeline"):
        logging.getLogger(name).setLevel(logging.INFO)


def _concerns_people(record: logging.LogRecord) -> bool:
    """Of what TFX logs, only the steps and errors."""
    if record.name != "absl":
        return True
    return record.levelno >= logging.ERROR or bool(_STEP.match(record.getMessage()))


def end_at_sigterm() -> None:
    """Lets SIGTERM end this process as Ctrl-C does, so that processes of its steps end with it."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def main() -> None:
    """Runs with the options of the environment; FACERELIEF_SET is split as a shell would."""
    show_log()
    end_at_sigterm()
    try:
        config = configuration.load(
            file=os.environ.get("FACERELIEF_CONFIG") or None,
            overrides=shlex.split(os.environ.get("FACERELIEF_SET", "")),
        )
        run(config, os.environ.get("FACERELIEF_ROOT") or DEFAULT_ROOT)
    except (SettingsError, RunError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
