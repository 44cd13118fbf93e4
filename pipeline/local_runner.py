"""Runs the pipeline on this machine, step by step, in one process.

`facerelief pipeline` does it, and so does the tfx command line, which runs this file as a script:

    tfx pipeline create --engine=local --pipeline_path=pipeline/local_runner.py
    tfx run create --engine=local --pipeline_name=facerelief

There the options come from the environment: FACERELIEF_CONFIG (a YAML file), FACERELIEF_SET
(overrides, quoted as for a shell) and FACERELIEF_ROOT (out/pipeline).
"""

from __future__ import annotations

import hashlib
import logging
import os
import pathlib
import re
import shlex
import signal
import sys
from typing import TYPE_CHECKING

if __name__ == "__main__":
    # The folder of this script comes first on the path and would hide the package of its name.
    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from facemodel.config import ConfigError
from facemodel.files import write_bytes
from pipeline import config as configuration
from pipeline.runs.places import DEFAULT_ROOT, PipelinePaths, RunError, finished_mark, lock
from serving.quiet import without_notices

if TYPE_CHECKING:
    from pipeline.runs.history import Run

NAME = "facerelief"
PATTERN_SIGNS = "*?[]"
_OWN_PACKAGES = ("components", "facemodel", "pipeline", "serving")
"""What goes wrong there says so in one sentence; other errors are shown with their traceback."""

_STEP = re.compile(r"Component \S+ is (running|finished)|An? cached execution|Execution \d+ failed")

_ADVICE = re.compile(r"Instructions for updating:|Couldn't find python-snappy")

_log = logging.getLogger("pipeline.local_runner")  # also as __main__


def write_schema(config: configuration.PipelineConfig, places: PipelinePaths) -> pathlib.Path:
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


def create(config: configuration.PipelineConfig, places: PipelinePaths, *, name: str = NAME):
    """The pipeline with the paths of a root."""
    from tfx import v1 as tfx

    from components.records.beam_runs import local_flags
    from pipeline.beam_arguments import local_placeholders
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
        beam_args=local_placeholders(
            config.resources.beam_args or local_flags(config.resources.beam_workers)
        ),
    )


def run(
    config: configuration.PipelineConfig,
    root: str | os.PathLike[str] = DEFAULT_ROOT,
    *,
    name: str = NAME,
) -> Run | None:
    """Runs all steps; those that ran before with the same inputs, settings and code are skipped.

    Args:
      config: Configuration of the pipeline; logged and stored.
      root: folder for everything.
      name: Name of the pipeline.

    Returns:
      What ran; None if nothing did, as `tfx pipeline create` only reads the pipeline.

    Raises:
      ConfigError: if a file that the configuration names cannot be used.
      RunError: if the root cannot be a folder, another run is active there, or a step fails.
    """
    _check_root(pathlib.Path(root))
    with without_notices():
        from components.deployment.server_process import server_binary
        from pipeline.named_files import checked
        from pipeline.runs.history import list_runs, newest_number

        config, places = checked(config), PipelinePaths(pathlib.Path(root))
        server_binary()
        if config.resources.beam_workers == 1:
            _warm_up_xla()
    _log.info("configuration:\n%s", config.to_yaml())
    with lock(places, patience_s=1.0):
        pipeline = create(config, places, name=name)
        before = newest_number(places)
        stored = places.new_config(before)
        stored.parent.mkdir(exist_ok=True)
        write_bytes(stored, config.to_yaml().encode())
        _run_steps(pipeline, places, before)
        number = newest_number(places)
        if number == before:
            stored.unlink()
            return None
        finished_mark(stored).touch()
    return next(found for found in list_runs(places) if found.context == number)


def _warm_up_xla() -> None:
    """Has XLA compile something, as its first work in a process is what it logs notices of.

    Only where records are made in this process, too: other processes may need the GPU's memory.
    """
    import tensorflow as tf

    tf.function(lambda: tf.zeros([]), jit_compile=True)()


def _check_root(root: pathlib.Path) -> None:
    """Raises RunError if the root, or the nearest folder above that exists, is no folder.

    TFX reads what its steps have written by patterns, so the path may not be one.
    """
    if found := set(PATTERN_SIGNS) & set(str(root.resolve())):
        raise RunError(f"{root}: TFX would take {' '.join(sorted(found))} for a pattern of names")
    existing = next(path for path in (root, *root.parents) if path.exists())
    if not existing.is_dir():
        raise RunError(f"{existing} is not a folder")


def _run_steps(pipeline, places: PipelinePaths, before: int) -> None:
    """Raises RunError, naming the step, for whatever a step of a run after a number raises."""
    from tfx import v1 as tfx

    from pipeline.runs.history import list_runs, newest_number

    try:
        tfx.orchestration.LocalDagRunner().run(pipeline)
    except Exception as error:
        begun = newest_number(places) > before
        failed = list_runs(places)[0].of("failed") if begun else []
        if not failed:
            raise
        if type(error).__module__.split(".")[0] not in _OWN_PACKAGES:
            _log.error("what went wrong:", exc_info=error)
        raise RunError(f"{failed[-1]} failed: {error}") from error


def show_log() -> None:
    """Writes to standard error which step runs, what this project logs and what goes wrong."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(_is_user_facing)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    for name in ("absl", "components", "pipeline"):
        logging.getLogger(name).setLevel(logging.INFO)


def _is_user_facing(record: logging.LogRecord) -> bool:
    """Of what TFX logs, only the steps and errors; no advice to the authors of programs."""
    if record.levelno >= logging.ERROR:
        return True
    if record.name == "absl":
        return bool(_STEP.match(record.getMessage()))
    return not _ADVICE.search(record.getMessage())


def exit_on_sigterm() -> None:
    """Lets SIGTERM end this process as Ctrl-C does, so that processes of its steps end with it."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def main() -> None:
    """Runs with the options of the environment; FACERELIEF_SET is split as a shell would."""
    show_log()
    exit_on_sigterm()
    try:
        config = configuration.load(
            file=os.environ.get("FACERELIEF_CONFIG") or None,
            overrides=shlex.split(os.environ.get("FACERELIEF_SET", "")),
        )
        root = os.environ.get("FACERELIEF_ROOT") or DEFAULT_ROOT
        if found := run(config, root):
            from pipeline.runs.outcome import summary

            text = summary(PipelinePaths(pathlib.Path(root)), found, model_name=config.pusher.name)
            _log.info("%s", text)
    except (ConfigError, RunError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
