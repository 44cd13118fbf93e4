"""Compiles the pipeline for Kubeflow Pipelines v2.

    python -m kubeflow.compile --image registry.example.com/facerelief:1

TFX writes the steps and what goes from one to the next; resources, retries, caching and volumes of
each step are added here, from the configuration. docs/kubeflow.md tells how to run the result.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Annotated, Any

import typer
import yaml

from facemodel.files import file_digest, write_bytes
from pipeline import config as configuration
from pipeline import local_runner
from pipeline.beam_arguments import container_variables
from pipeline.cli import make_single_app
from pipeline.config import ConfigError, PipelineConfig, ResourcesSettings, StepResources
from pipeline.named_files import checked
from serving.quiet import without_notices

NAME = "facerelief"
COMMAND = ["python", "-m", "pipeline.kfp_entrypoint"]
IMAGE_PACKAGES = pathlib.PurePosixPath("/opt/venv/lib/python3.10/site-packages")
"""Where kubeflow/Dockerfile installs this distribution."""

SECTIONS = {"FaceExampleGen": "example_gen", "Trainer": "trainer", "Evaluator": "evaluator"}
"""Steps with resources of their own; the others have resources.default."""

GB_PER_GIB = 1024**3 / 1000**3
BACKOFF = {"backoffDuration": "60s", "backoffFactor": 2.0, "backoffMaxDuration": "3600s"}


def image_schema_file() -> str:
    """The curated schema's path in the image; steps are cached by it, so it has a digest in it."""
    from components.record_schema import SCHEMA_FILE

    checkout = pathlib.Path(__file__).resolve().parents[1]
    folder = SCHEMA_FILE.parent.relative_to(checkout).as_posix()
    return str(IMAGE_PACKAGES / folder / f"{file_digest(SCHEMA_FILE)[:16]}.pbtxt")


@dataclasses.dataclass(frozen=True)
class StepPaths:
    """Paths as the steps see them.

    Attributes:
      serving: Folder of pushed models.
      checkpoints: Folder of training's checkpoints.
      schema: File of the records' schema.
      claims: PersistentVolumeClaims by the folder where they are mounted, in those steps that are
        told of a path in it.
    """

    serving: str
    checkpoints: str
    schema: str
    claims: Mapping[str, str]

    @classmethod
    def cluster(cls, config: PipelineConfig) -> StepPaths:
        """In kubeflow/Dockerfile's image, with the claims of kubeflow/manifests.

        Raises:
          ConfigError: for files that are not in the image, as the schema of another face model.
        """
        for field, value, present in (
            ("data.face_model", config.data.face_model, ("default",)),
            ("trainer.init", config.trainer.init, ("shipped", "none")),
        ):
            if value not in present:
                words = " or ".join(present)
                raise ConfigError(field, f"should be {words}, as in the image, got {value!r}")
        models, checkpoints = "/mnt/models", "/mnt/checkpoints"
        claims = {models: f"{NAME}-models", checkpoints: f"{NAME}-checkpoints"}
        return cls(models, checkpoints, image_schema_file(), claims)

    @classmethod
    def here(cls, root: pathlib.Path, config: PipelineConfig) -> StepPaths:
        """On this machine, below a folder; for kubeflow/run_ir_locally.py."""
        places = local_runner.PipelinePaths(root.resolve())
        schema = local_runner.write_schema(config, places)
        return cls(str(places.serving), str(places.checkpoints), str(schema), {})


def compile_pipeline(
    config: PipelineConfig, *, image: str, places: StepPaths
) -> list[dict[str, Any]]:
    """Makes the pipeline's YAML documents: KFP's, and what only Kubernetes knows.

    Args:
      config: Configuration of the pipeline.
      image: Image that every step runs in.
      places: paths as the steps see them.
    """
    from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as tfx_runner

    from pipeline.pipeline import create_pipeline

    pipeline = create_pipeline(
        config,
        name=NAME,
        root=f"minio://mlpipeline/v2/artifacts/{NAME}",  # KFP's own default; it sets another
        serving_dir=places.serving,
        checkpoint_dir=places.checkpoints,
        schema_file=places.schema,
        beam_args=["--runner=DirectRunner"],
    )
    runner_config = tfx_runner.KubeflowV2DagRunnerConfig(
        default_image=image, default_commands=COMMAND, use_pipeline_spec_2_1=True
    )
    runner = tfx_runner.KubeflowV2DagRunner(config=runner_config)
    spec = runner.run(pipeline, write_out=False)["pipelineSpec"]
    set_resources(spec, config.resources)
    platform = volumes(spec, places.claims)
    return [spec, platform] if platform else [spec]


def set_resources(spec: dict[str, Any], resources: ResourcesSettings) -> None:
    """Gives each step of a PipelineSpec its cores, memory, GPUs and retries, in place."""
    for name, task in spec["root"]["dag"]["tasks"].items():
        wanted = getattr(resources, SECTIONS.get(name, "default"))
        label = spec["components"][task["componentRef"]["name"]]["executorLabel"]
        executor = spec["deploymentSpec"]["executors"][label]
        if "container" in executor:
            executor["container"]["resources"] = limits(wanted)
            workers = min(resources.beam_workers, wanted.cpu)
            args = resources.beam_args or beam_args(workers)
            executor["container"]["env"] = container_variables(args)
        if wanted.retries:
            task["retryPolicy"] = {"maxRetryCount": wanted.retries, **BACKOFF}


def beam_args(workers: float) -> list[str]:
    """Beam's options for as many processes as there are cores for, and one at least."""
    from components.records.beam_runs import local_flags

    return local_flags(max(1, int(workers)))


def limits(wanted: StepResources) -> dict[str, Any]:
    """A ResourceSpec: memory in GB, as KFP counts; Kubernetes requests as much as it limits to."""
    spec: dict[str, Any] = {
        "cpuLimit": wanted.cpu,
        "memoryLimit": round(wanted.memory_gib * GB_PER_GIB, 3),
    }
    if wanted.gpus:
        spec["accelerator"] = {"type": wanted.gpu_type, "count": str(wanted.gpus)}
    return spec


def volumes(spec: Mapping[str, Any], claims: Mapping[str, str]) -> dict[str, Any] | None:
    """The PlatformSpec that mounts each claim in the steps that are told of a path in its folder.

    Returns:
      None if no step is.
    """
    executors: dict[str, Any] = {}
    for task in spec["root"]["dag"]["tasks"].values():
        label = spec["components"][task["componentRef"]["name"]]["executorLabel"]
        told = yaml.safe_dump(task.get("inputs", {}).get("parameters", {}), width=10**6)
        mounts = [
            {"constant": claim, "mountPath": folder}
            for folder, claim in claims.items()
            if folder in told
        ]
        if mounts:
            executors[label] = {"pvcMount": mounts}
    if not executors:
        return None
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def check(documents: list[dict[str, Any]]) -> None:
    """Reads the documents as KFP and this project's own runner do.

    Raises:
      IrError, json_format.ParseError, ValueError: if one of them cannot.
    """
    from google.protobuf import json_format
    from kfp import components
    from kfp.pipeline_spec import pipeline_spec_pb2

    from kubeflow import ir

    ir.parse(documents[0])
    for platform in documents[1:]:
        json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    components.load_component_from_text(yaml.safe_dump_all(documents))


def write(documents: list[dict[str, Any]], config: PipelineConfig, path: pathlib.Path) -> None:
    """Writes a complete file or none; the configuration is a comment in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["Made by kubeflow/compile.py with this configuration:", *config.to_yaml().splitlines()]
    comment = "".join(f"# {line}\n" for line in lines)
    write_bytes(path, (comment + yaml.safe_dump_all(documents)).encode())


def main(
    image: Annotated[str, typer.Option(help="Image of every step, with its tag.")],
    out: Annotated[pathlib.Path, typer.Option("--out", "-o", help="File to write.")] = pathlib.Path(
        "kubeflow/build/pipeline.yaml"
    ),
    profile: Annotated[str, typer.Option(help="small or paper.")] = "paper",
    config: Annotated[pathlib.Path | None, typer.Option(help="YAML with settings.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="One setting, section.field=value.")
    ] = None,
    here: Annotated[
        pathlib.Path | None,
        typer.Option(help="For kubeflow.run_ir_locally: with paths in this folder, no volumes."),
    ] = None,
) -> None:
    """Compile the pipeline for Kubeflow Pipelines v2.

    Example: python -m kubeflow.compile --image registry.example.com/facerelief:1
    --set trainer.samples=100000
    """
    loaded = configuration.load(profile=profile, file=config, overrides=settings or [])
    with without_notices():
        places = StepPaths.cluster(loaded) if here is None else None
        loaded = checked(loaded)
        places = places or StepPaths.here(here, loaded)
        documents = compile_pipeline(loaded, image=image, places=places)
        check(documents)
    write(documents, loaded, out)
    typer.echo(f"wrote {out}: {len(documents[0]['root']['dag']['tasks'])} steps in {image}")


if __name__ == "__main__":
    make_single_app(main)()
