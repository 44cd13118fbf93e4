"""Reads a compiled pipeline, KFP's intermediate representation (IR), and orders its steps."""

from __future__ import annotations

import contextlib
import dataclasses
import graphlib
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from pipeline.yaml_values import unreadable


class IrError(ValueError):
    """A file that is no IR, or one with something in it that is not supported."""


@dataclasses.dataclass(frozen=True)
class IrStep:
    """One task with all that belongs to it.

    Attributes:
      name: Name of the task.
      task: Task, with the sources of its inputs.
      component: Component, with its inputs and outputs.
      executor: Executor, with its container.
    """

    name: str
    task: pb.PipelineTaskSpec
    component: pb.ComponentSpec
    executor: pb.PipelineDeploymentConfig.ExecutorSpec


@dataclasses.dataclass(frozen=True)
class Program:
    """A pipeline that can be run.

    Attributes:
      name: Name of the pipeline.
      steps: Steps, each after those that it depends on.
      parameters: default values of the pipeline's own parameters, by name.
    """

    name: str
    steps: tuple[IrStep, ...]
    parameters: Mapping[str, Any]


def read_documents(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The YAML documents of an IR file: the pipeline and perhaps what Kubernetes adds to it.

    Raises:
      IrError: if there is none, or it is no YAML.
    """
    try:
        documents = list(yaml.safe_load_all(pathlib.Path(path).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise IrError(f"{path}: {unreadable(error)}") from None
    if not documents or not all(isinstance(document, dict) for document in documents):
        raise IrError(f"{path}: is no compiled pipeline")
    return documents


def load(path: str | os.PathLike[str]) -> Program:
    """Reads an IR file.

    Raises:
      IrError: naming the file, and the task where there is one that cannot be run.
    """
    spec, *_ = read_documents(path)
    with _naming(path):
        return parse(spec)


def load_to_run_here(path: str | os.PathLike[str]) -> Program:
    """Reads an IR file that mounts no volumes, which only a cluster has.

    Raises:
      IrError: as load; and if it mounts some, with their folders.
    """
    spec, *platforms = read_documents(path)
    with _naming(path):
        program = parse(spec)
        folders = {folder for one in platforms for folder in _mounted(one)}
    if folders:
        raise IrError(
            f"{path}: is for a cluster, it mounts volumes at {', '.join(sorted(folders))}; "
            "to run it here compile it with --here FOLDER, as make kubeflow-local does"
        )
    return program


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Makes an IrError with the file's name of what is no IR."""
    try:
        yield
    except json_format.ParseError as error:
        raise IrError(f"{path}: is no compiled pipeline ({error})") from None


def _mounted(document: Mapping[str, Any]) -> set[str]:
    """Where a PlatformSpec mounts PersistentVolumeClaims."""
    platforms = json_format.ParseDict(document, pb.PlatformSpec()).platforms.values()
    executors = [one for each in platforms for one in each.deployment_spec.executors.values()]
    mounts = [mount for one in executors for mount in one.fields["pvcMount"].list_value.values]
    return {mount.struct_value.fields["mountPath"].string_value for mount in mounts}


def parse(document: Mapping[str, Any]) -> Program:
    """Takes a PipelineSpec apart.

    Raises:
      IrError: if something is missing or not supported.
      json_format.ParseError: if it is no PipelineSpec.
    """
    spec = json_format.ParseDict(document, pb.PipelineSpec())
    if spec.schema_version != "2.1.0":
        raise IrError(f"schemaVersion should be 2.1.0, got {spec.schema_version!r}")
    deployment = json_format.ParseDict(
        document.get("deploymentSpec", {}), pb.PipelineDeploymentConfig()
    )
    tasks = spec.root.dag.tasks
    order = topological_order({name: needs(task) for name, task in tasks.items()})
    defaults = {
        name: json_format.MessageToDict(parameter.default_value)
        for name, parameter in spec.root.input_definitions.parameters.items()
        if parameter.HasField("default_value")
    }
    steps = tuple(_step(name, tasks[name], spec, deployment) for name in order)
    return Program(spec.pipeline_info.name, steps, defaults)


def needs(task: pb.PipelineTaskSpec) -> set[str]:
    """Names of the tasks that have to be done before a task."""
    producers = {
        selector.task_output_artifact.producer_task for selector in task.inputs.artifacts.values()
    } | {
        # TFX adds "_task" to this producer's name, and to no other.
        selector.task_output_parameter.producer_task.removesuffix("_task")
        for selector in task.inputs.parameters.values()
    }
    return (producers | set(task.dependent_tasks)) - {""}


def topological_order(needed: Mapping[str, set[str]]) -> list[str]:
    """Names so that each comes after those it needs; always the same for the same tasks.

    Raises:
      IrError: if a task needs one that is not there, or itself.
    """
    for name, others in needed.items():
        if missing := sorted(others - set(needed)):
            raise IrError(f"{name}: needs {', '.join(missing)}, not in the pipeline")
    sorter = graphlib.TopologicalSorter({name: sorted(needed[name]) for name in sorted(needed)})
    try:
        return list(sorter.static_order())
    except graphlib.CycleError as error:
        raise IrError(f"steps need each other: {' -> '.join(error.args[1])}") from None


def _step(
    name: str,
    task: pb.PipelineTaskSpec,
    spec: pb.PipelineSpec,
    deployment: pb.PipelineDeploymentConfig,
) -> IrStep:
    if task.trigger_policy.condition or task.trigger_policy.strategy:
        raise IrError(f"{name}: conditions and exit handlers are not supported")
    if task.WhichOneof("iterator"):
        raise IrError(f"{name}: loops are not supported")
    component = spec.components.get(task.component_ref.name)
    if component is None:
        raise IrError(f"{name}: there is no component {task.component_ref.name!r}")
    executor = deployment.executors.get(component.executor_label)
    if executor is None:
        raise IrError(f"{name}: there is no executor {component.executor_label!r}")
    kind = executor.WhichOneof("spec")
    if kind not in ("container", "importer"):
        raise IrError(f"{name}: open-source KFP runs no {kind}")
    if executor.container.HasField("lifecycle"):
        raise IrError(f"{name}: open-source KFP runs no driver hooks (FileBasedExampleGen)")
    return IrStep(name, task, component, executor)
