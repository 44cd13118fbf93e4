"""KFP's messages to a step and from it: ExecutorInput and ExecutorOutput.

A step gets its inputs as open-source KFP v2 describes them: without types, with numbers for names,
under minio:// URIs, and with an output executor-logs.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from kubeflow.ir import IrError, IrStep
from pipeline.kfp_entrypoint import LOGS, staged_path

BUCKET = "minio://mlpipeline/v2/artifacts"


class StepFailed(RuntimeError):
    """A step's process ended with an error, or without what it has to leave."""

    exit_code = 1


@dataclasses.dataclass(frozen=True)
class StepRun:
    """One run of a pipeline.

    Attributes:
      root: folder for everything: objects/, runs/ and cache/.
      pipeline: Name of the pipeline.
      run_id: different for each run.
      parameters: values of the pipeline's own parameters, by name.
    """

    root: pathlib.Path
    pipeline: str
    run_id: str
    parameters: Mapping[str, Any]

    def uri(self, step: str, key: str) -> str:
        """Where an output goes."""
        return f"{BUCKET}/{self.pipeline}/{self.run_id}/{step}/{key}"

    def object_path(self, uri: str) -> pathlib.Path:
        """The file or folder that stands for an object."""
        return pathlib.Path(staged_path(uri, str(self.root / "objects")))

    def folder(self, step: str) -> pathlib.Path:
        """Where a step's log and its description are kept."""
        return self.root / "runs" / self.run_id / step


def executor_input(
    step: IrStep, run: StepRun, done: Mapping[str, pb.ExecutorOutput]
) -> pb.ExecutorInput:
    """The ExecutorInput that KFP's driver makes for a step.

    Args:
      step: Step to run.
      run: Run that it belongs to.
      done: Outputs of the steps before it, by name.
    """
    message = pb.ExecutorInput()
    for key, selector in step.task.inputs.parameters.items():
        value = _parameter(step, key, selector, run, done)
        json_format.ParseDict(value, message.inputs.parameter_values[key])
    for key, selector in step.task.inputs.artifacts.items():
        source = selector.task_output_artifact
        found = done[source.producer_task].artifacts.get(source.output_artifact_key)
        if found is None:
            raise IrError(f"{step.name}: {source.producer_task} has no output {key!r}")
        message.inputs.artifacts[key].CopyFrom(found)
        for artifact in message.inputs.artifacts[key].artifacts:
            artifact.type.Clear()
            artifact.type.instance_schema = ""
    for key, output in step.component.output_definitions.artifacts.items():
        message.outputs.artifacts[key].artifacts.add(
            uri=run.uri(step.name, key), type=output.artifact_type, metadata=output.metadata
        )
    message.outputs.artifacts[LOGS].artifacts.add(
        uri=run.uri(step.name, LOGS), type=pb.ArtifactTypeSchema(schema_title="system.Artifact")
    )
    outputs = run.folder(step.name) / "kfp_outputs"
    for key in step.component.output_definitions.parameters:
        message.outputs.parameters[key].output_file = str(outputs / key)
    message.outputs.output_file = str(outputs / "output_metadata.json")
    return message


def _parameter(
    step: IrStep,
    key: str,
    selector: pb.TaskInputsSpec.InputParameterSpec,
    run: StepRun,
    done: Mapping[str, pb.ExecutorOutput],
) -> Any:
    """The value of a step's parameter."""
    kind = selector.WhichOneof("kind")
    if kind == "runtime_value":
        value = json_format.MessageToDict(selector.runtime_value.constant)
    elif kind == "component_input_parameter":
        name = selector.component_input_parameter
        if name not in run.parameters:
            raise IrError(f"{step.name}: the pipeline's parameter {name!r} has no value")
        value = run.parameters[name]
    elif kind == "task_output_parameter":
        source = selector.task_output_parameter
        produced = done[source.producer_task.removesuffix("_task")].parameter_values
        if source.output_parameter_key not in produced:
            raise IrError(f"{step.name}: {key} gets no value from {source.producer_task}")
        value = json_format.MessageToDict(produced[source.output_parameter_key])
    else:
        raise IrError(f"{step.name}: {key} comes from {kind}, which is not supported")
    return value


def cache_key(step: IrStep, message: pb.ExecutorInput) -> str:
    """The same for steps that do the same with the same inputs (in another run, too)."""
    container = step.executor.container
    content = {
        "command": [container.image, *container.command, *container.args],
        "inputs": json_format.MessageToDict(message.inputs),
        "outputs": json_format.MessageToDict(step.component.output_definitions),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def command_line(step: IrStep, message: pb.ExecutorInput, staging: pathlib.Path) -> list[str]:
    """Command and arguments with values in place of KFP's placeholders."""
    values = {"{{$}}": json_format.MessageToJson(message, indent=None)}
    for side, box in (("inputs", message.inputs), ("outputs", message.outputs)):
        for key, found in box.artifacts.items():
            if found.artifacts:
                uri = found.artifacts[0].uri
                values[f"{{{{$.{side}.artifacts['{key}'].uri}}}}"] = uri
                path = staged_path(uri, str(staging))
                values[f"{{{{$.{side}.artifacts['{key}'].path}}}}"] = path
    for key, value in message.inputs.parameter_values.items():
        plain = json_format.MessageToDict(value)
        text = plain if isinstance(plain, str) else json.dumps(plain)
        values[f"{{{{$.inputs.parameters['{key}']}}}}"] = text
    for key, parameter in message.outputs.parameters.items():
        values[f"{{{{$.outputs.parameters['{key}'].output_file}}}}"] = parameter.output_file
    container = step.executor.container
    words = [*container.command, *container.args]
    for placeholder, value in values.items():
        words = [word.replace(placeholder, value) for word in words]
    if not words:
        raise IrError(f"{step.name}: has no command, and the image's own is not known here")
    return [sys.executable if words[0] in ("python", "python3") else words[0], *words[1:]]


def import_artifact(
    step: IrStep, run: StepRun, done: Mapping[str, pb.ExecutorOutput]
) -> pb.ExecutorOutput:
    """Makes an artifact of something that exists already."""
    importer = step.executor.importer
    name = importer.artifact_uri.runtime_parameter
    if name:
        uri = _parameter(step, name, step.task.inputs.parameters[name], run, done)
    else:
        uri = json_format.MessageToDict(importer.artifact_uri.constant)
    [key] = step.component.output_definitions.artifacts
    output = pb.ExecutorOutput()
    output.artifacts[key].artifacts.add(
        uri=uri, type=importer.type_schema, metadata=importer.metadata, name=artifact_id(uri)
    )
    return output


def collect(step: IrStep, message: pb.ExecutorInput) -> pb.ExecutorOutput:
    """What the driver knew of the outputs, with what the step says of them."""
    path = pathlib.Path(message.outputs.output_file)
    said = pb.ExecutorOutput()
    if path.exists():
        try:
            json_format.Parse(path.read_text(encoding="utf-8"), said)
        except json_format.ParseError as error:
            raise StepFailed(f"{step.name}: {path} is no ExecutorOutput ({error})") from None
    output = pb.ExecutorOutput()
    for key, found in message.outputs.artifacts.items():
        if key == LOGS:
            continue
        artifact = output.artifacts[key].artifacts.add()
        artifact.CopyFrom(found.artifacts[0])
        if said.artifacts[key].artifacts:
            theirs = said.artifacts[key].artifacts[0]
            _check_metadata(step, key, theirs)
            artifact.uri = theirs.uri or artifact.uri
            artifact.metadata.MergeFrom(theirs.metadata)
        artifact.metadata.update({"display_name": key, "store_session_info": "{}"})
        artifact.name = artifact_id(artifact.uri)
    for key, parameter in message.outputs.parameters.items():
        value = output.parameter_values[key]
        if key in said.parameter_values:
            value.CopyFrom(said.parameter_values[key])
        elif os.path.exists(parameter.output_file):
            value.string_value = pathlib.Path(parameter.output_file).read_text(encoding="utf-8")
        else:
            raise StepFailed(f"{step.name}: left no value for its output {key!r}")
    return output


def _check_metadata(step: IrStep, key: str, artifact: pb.RuntimeArtifact) -> None:
    for name, value in artifact.metadata.fields.items():
        if value.WhichOneof("kind") in (None, "null_value"):
            raise StepFailed(f"{step.name}: KFP cannot store {name!r} of {key!r} without a value")


def artifacts_of(box: Any) -> list[pb.RuntimeArtifact]:
    """All artifacts of an ExecutorInput's inputs or outputs, or of an ExecutorOutput."""
    return [artifact for found in box.artifacts.values() for artifact in found.artifacts]


def artifact_id(uri: str) -> str:
    """A number, as ML Metadata gives one to each artifact; KFP calls artifacts so."""
    return str(int(hashlib.sha256(uri.encode()).hexdigest()[:12], 16))
