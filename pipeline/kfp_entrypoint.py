"""Entrypoint of containers on Kubeflow: TFX's own, with what open-source KFP leaves out.

    python -m pipeline.kfp_entrypoint --executor_class_path CLASS --json_serialized_... JSON

kubeflow/compile.py puts this command into every step. Open-source KFP v2 describes a step's inputs
and outputs in a way that TFX 1.16 cannot read (its driver, launcher and metadata client, KFP 2.5):

- Input artifacts have no type. It is taken from the step's own input definitions.
- URIs begin with minio://, s3:// or gs://; the launcher has copied what is there to /minio, /s3 or
  /gcs and uploads from there. The step sees these paths, and the URI of an input as its property
  stored_at; KFP sees its URIs again.
- There may be an output `executor-logs`, which TFX knows no type of. It is left out.
- Metadata of outputs may not be empty values, which TFX may leave.
- Output folders are not made. They are made here, as TFX's local orchestrator does.
"""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Mapping, Sequence

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from components.deployment.registry import STORED_AT
from pipeline.beam_arguments import from_environment

STAGING_ROOT = "KFP_STAGING_ROOT"
"""Environment variable: where /minio, /s3 and /gcs are; the file system's root if not set."""

LOGS = "executor-logs"
STAGES = {"minio://": "minio", "s3://": "s3", "gs://": "gcs"}
VALUES = {"tfx.Boolean", "tfx.Bytes", "tfx.Float", "tfx.Integer", "tfx.JsonValue", "tfx.String"}
"""Types of artifacts that are a file and not a folder."""


def staged_path(uri: str, root: str = "/") -> str:
    """Where KFP's launcher puts what a URI names; other URIs stay as they are."""
    for scheme, folder in STAGES.items():
        if uri.startswith(scheme):
            return os.path.join(root, folder, uri.removeprefix(scheme))
    return uri


def localize(
    executor_input: pipeline_spec_pb2.ExecutorInput,
    inputs_spec: pipeline_spec_pb2.ComponentInputsSpec,
    *,
    root: str = "/",
) -> dict[str, str]:
    """Changes what KFP says into what TFX can read, in place; inputs get the property stored_at.

    Args:
      executor_input: KFP's ExecutorInput of a step.
      inputs_spec: the step's input definitions.
      root: the folder with minio/, s3/ and gcs/.

    Returns:
      URIs by the paths that replaced them.
    """
    executor_input.outputs.artifacts.pop(LOGS, None)
    for name, found in executor_input.inputs.artifacts.items():
        for artifact in found.artifacts:
            if not any(value for _, value in artifact.type.ListFields()):
                artifact.type.CopyFrom(inputs_spec.artifacts[name].artifact_type)
            artifact.metadata.update({STORED_AT: artifact.uri})
    uris = {}
    for side in (executor_input.inputs, executor_input.outputs):
        for artifact in (one for found in side.artifacts.values() for one in found.artifacts):
            path = staged_path(artifact.uri, root)
            uris[path], artifact.uri = artifact.uri, path
    return uris


def restore(executor_output: pipeline_spec_pb2.ExecutorOutput, uris: Mapping[str, str]) -> None:
    """Puts the URIs back for the paths in what a step said of its outputs, in place.

    Metadata without a value is dropped: KFP's launcher fails on it.
    """
    for found in executor_output.artifacts.values():
        for artifact in found.artifacts:
            artifact.uri = _uri(artifact.uri, uris)
            for name, value in list(artifact.metadata.fields.items()):
                if value.WhichOneof("kind") in (None, "null_value"):
                    del artifact.metadata.fields[name]
                elif value.HasField("string_value"):
                    value.string_value = _uri(value.string_value, uris)


def _uri(text: str, uris: Mapping[str, str]) -> str:
    """The URI of a path, or of one below it; any other text as it is."""
    for path, uri in uris.items():
        if text == path or text.startswith(f"{path}/"):
            return uri + text.removeprefix(path)
    return text


def make_folders(executor_input: pipeline_spec_pb2.ExecutorInput) -> None:
    """Makes the folder of every output, or the one that its file goes to."""
    for found in executor_input.outputs.artifacts.values():
        for artifact in found.artifacts:
            path = pathlib.Path(artifact.uri)
            is_file = _title(artifact.type) in VALUES
            (path.parent if is_file else path).mkdir(parents=True, exist_ok=True)


def _title(kind: pipeline_spec_pb2.ArtifactTypeSchema) -> str:
    schema = yaml.safe_load(kind.instance_schema) if kind.instance_schema else {}
    return kind.schema_title or schema.get("title", "")


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one step."""
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor as tfx_entrypoint

    words = list(sys.argv[1:] if argv is None else argv) + from_environment()
    args, beam_args = tfx_entrypoint._parse_flags(words)
    executor_input = json_format.Parse(
        args.json_serialized_invocation_args,
        pipeline_spec_pb2.ExecutorInput(),
        ignore_unknown_fields=True,
    )
    inputs_spec = json_format.Parse(
        args.json_serialized_inputs_spec_args or "{}", pipeline_spec_pb2.ComponentInputsSpec()
    )
    uris = localize(executor_input, inputs_spec, root=os.environ.get(STAGING_ROOT, "/"))
    make_folders(executor_input)
    args.json_serialized_invocation_args = json_format.MessageToJson(executor_input)
    tfx_entrypoint.main((args, beam_args))
    _restore_file(pathlib.Path(executor_input.outputs.output_file), uris)


def _restore_file(path: pathlib.Path, uris: Mapping[str, str]) -> None:
    executor_output = json_format.Parse(
        path.read_text(encoding="utf-8"), pipeline_spec_pb2.ExecutorOutput()
    )
    restore(executor_output, uris)
    path.write_text(json_format.MessageToJson(executor_output), encoding="utf-8")


if __name__ == "__main__":
    main()
