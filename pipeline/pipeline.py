"""The pipeline: which steps there are and what goes from one to the next."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Sequence

from ml_metadata.proto import metadata_store_pb2
from tfx import v1 as tfx

from components import face_metrics
from components.anomaly_gate import AnomalyGate
from components.code_digest import code_digest
from components.deployment.server_process import server_label
from components.face_example_gen import FaceExampleGen
from components.infra_validator import FaceInfraValidator
from components.last_blessed_model import LastBlessedModel
from components.pusher import FacePusher
from components.record_schema import SCHEMA_FILE
from components.report import FaceReport
from components.split_reconstruction import SplitReconstruction
from components.trainer_arguments import TrainerArguments
from pipeline.config import PipelineConfig
from pipeline.named_files import named_file

SERVER_MODULE = "pipeline.commands.serve"
"""Module that infra validation starts, beside its own code."""


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
      config: Configuration of all steps.
      name: Name of the pipeline.
      root: Folder of the artifacts.
      serving_dir: Folder of good models, pushed as serving_dir/<config.pusher.name>/<version>.
      checkpoint_dir: Folder of training's checkpoints, from which a killed run resumes.
      schema_file: Schema of the records, .pbtxt; the package's own if None. Steps are cached by its
        path: runners give a path that changes with its content.
      metadata_config: Connection to ML Metadata; None where the orchestrator has one (Kubeflow).
      beam_args: Beam options of every step that runs on Beam.
    """
    served = os.path.join(serving_dir, config.pusher.name)
    data = data_steps(config, schema_file=schema_file or str(SCHEMA_FILE))
    model = model_steps(config, data, served=served, checkpoint_dir=checkpoint_dir)
    return tfx.dsl.Pipeline(
        pipeline_name=name,
        pipeline_root=root,
        components=[*data.values(), *model.values()],
        enable_cache=config.cache,
        metadata_connection_config=metadata_config,
        beam_pipeline_args=list(beam_args),
    )


def data_steps(config: PipelineConfig, *, schema_file: str) -> dict:
    """The steps that make the records and check them, by name."""
    example_gen = FaceExampleGen(
        data=config.data.to_json(),
        code=code_digest("components.face_example_gen", files=_files(config, "data.face_model")),
    )
    examples = example_gen.outputs["examples"]
    statistics_gen = tfx.components.StatisticsGen(examples=examples)
    schema_gen = tfx.components.ImportSchemaGen(schema_file=schema_file)
    validator = tfx.components.ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema_gen.outputs["schema"]
    )
    gate = AnomalyGate(
        anomalies=validator.outputs["anomalies"], code=code_digest("components.anomaly_gate")
    )
    return {
        "example_gen": example_gen,
        "statistics_gen": statistics_gen,
        "schema_gen": schema_gen,
        "validator": validator,
        "gate": gate,
    }


def model_steps(config: PipelineConfig, data: dict, *, served: str, checkpoint_dir: str) -> dict:
    """The steps that train a model, judge it and push it, by name."""
    examples = data["example_gen"].outputs["examples"]
    trainer = _trainer(config, data, checkpoint_dir)
    model = trainer.outputs["model"]
    baseline = LastBlessedModel(
        model=model, serving_dir=served, code=code_digest("components.last_blessed_model")
    )
    evaluator = _evaluator(config, examples, model, baseline.outputs["baseline"])
    infra_validator = FaceInfraValidator(
        model=model,
        examples=examples,
        settings=config.infra_validator.to_json(),
        model_name=config.pusher.name,
        server=server_label(),
        code=code_digest("components.infra_validator", SERVER_MODULE),
    )
    pusher = FacePusher(
        model=model,
        baseline=baseline.outputs["baseline"],
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=infra_validator.outputs["blessing"],
        serving_dir=served,
        code=code_digest("components.pusher"),
    )
    steps = {
        "trainer": trainer,
        "baseline": baseline,
        "evaluator": evaluator,
        "infra_validator": infra_validator,
        "pusher": pusher,
        "report": _report(config, examples, model, evaluator, baseline),
    }
    if config.reconstruction.enabled:
        steps["reconstruction"] = _reconstruction(config, examples, model, pusher)
    return steps


def _trainer(config: PipelineConfig, data: dict, checkpoint_dir: str):
    """Trains only on records that keep to the schema."""
    files = _files(config, "data.face_model", "trainer.init")
    arguments = TrainerArguments(
        data=config.data.to_json(),
        trainer=config.trainer.to_json(),
        export=config.export.to_json(),
        code=code_digest("components.trainer", files=files),
        checkpoint_dir=checkpoint_dir,
        model_name=config.pusher.name,
    )
    trainer = tfx.components.Trainer(
        run_fn="components.trainer.run_fn",
        examples=data["example_gen"].outputs["examples"],
        train_args=tfx.proto.TrainArgs(num_steps=config.trainer.steps),
        eval_args=tfx.proto.EvalArgs(),
        custom_config=dataclasses.asdict(arguments),
    )
    trainer.add_upstream_node(data["gate"])
    return trainer


def _evaluator(config: PipelineConfig, examples, model, baseline):
    """TFX's Evaluator with this project's metric."""
    eval_config = face_metrics.eval_config(
        config.evaluator,
        face_model=config.data.face_model,
        iterations=config.trainer.iterations,
        code=code_digest("components.face_metrics", files=_files(config, "data.face_model")),
    )
    return tfx.components.Evaluator(
        examples=examples,
        example_splits=[config.evaluator.split],
        model=model,
        baseline_model=baseline,
        eval_config=eval_config,
    )


def _report(config: PipelineConfig, examples, model, evaluator, baseline):
    return FaceReport(
        model=model,
        examples=examples,
        baseline=baseline.outputs["baseline"],
        evaluation=evaluator.outputs["evaluation"],
        blessing=evaluator.outputs["blessing"],
        data=config.data.to_json(),
        settings=config.report.to_json(),
        code=code_digest("components.report", files=_files(config, "data.face_model")),
    )


def _reconstruction(config: PipelineConfig, examples, model, pusher):
    """Makes the step that runs after the pusher."""
    reconstruction = SplitReconstruction(
        model=model,
        examples=examples,
        settings=config.reconstruction.to_json(),
        code=code_digest("components.split_reconstruction"),
    )
    reconstruction.add_upstream_node(pusher)
    return reconstruction


def _files(config: PipelineConfig, *fields: str) -> list[pathlib.Path]:
    """The files that fields name, whose bytes count for the cache; ConfigError for lost ones."""
    return [path for field in fields if (path := named_file(config, field))]
