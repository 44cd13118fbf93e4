"""The pipeline: which steps there are and what goes from one to the next."""

from __future__ import annotations

from collections.abc import Sequence

from ml_metadata.proto import metadata_store_pb2
from tfx import v1 as tfx

from pipeline.config import PipelineConfig


def create_pipeline(
    config: PipelineConfig,
    *,
    name: str,
    root: str,
    serving_dir: str,
    checkpoint_dir: str,
    schema_file: str | None = None,
    metadata_config: metadata_store_pb2.ConnectionConfig | None = None,
    beam_args: Sequence[str] = (),
) -> tfx.dsl.Pipeline:
    """Puts the steps together; knows no path of its own.

    Args:
      config: of all steps.
      name: of the pipeline.
      root: where artifacts go.
      serving_dir: where good models are pushed, as serving_dir/<config.pusher.name>/<version>.
      checkpoint_dir: where training keeps its checkpoints, so that a killed run can go on.
      schema_file: of the records, a .pbtxt; the package's own if None. Steps are cached by its
        path: runners give a path that changes with its content.
      metadata_config: of ML Metadata; None where the orchestrator has its own (Kubeflow).
      beam_args: of every step that runs on Beam.
    """
    raise NotImplementedError
