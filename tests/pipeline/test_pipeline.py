"""The pipeline's steps as TFX compiles them."""

import json

import pytest
from google.protobuf import text_format
from tfx.dsl.compiler import compiler, placeholder_utils
from tfx.orchestration.portable import data_types

from components.records.beam_runs import local_flags
from components.settings import DataSettings
from pipeline import config, local_runner, pipeline
from pipeline.runs.places import PipelinePaths

pytestmark = pytest.mark.e2e  # importing TFX alone takes longer than a fast test may


def test_training_waits_for_the_gate_and_every_own_step_has_its_codes_digest():
    made = pipeline.create_pipeline(
        config.PAPER, name="p", root="root", serving_dir="served", checkpoint_dir="checkpoints"
    )
    nodes = {node.id: node for node in made.components}
    assert "AnomalyGate" in {node.id for node in nodes["Trainer"].upstream_nodes}
    assert next(node.id for node in made.components) == "FaceExampleGen"
    own = {name: node for name, node in nodes.items() if "code" in node.exec_properties}
    assert set(own) == {
        "AnomalyGate", "FaceExampleGen", "FaceInfraValidator", "FacePusher", "FaceReport",
        "LastBlessedModel",
    }  # fmt: skip
    assert len({node.exec_properties["code"] for node in own.values()}) == len(own)
    assert "code" in json.loads(nodes["Trainer"].exec_properties["custom_config"])
    assert "code" in nodes["Evaluator"].exec_properties["eval_config"]
    settings = nodes["FaceExampleGen"].exec_properties["data"]
    assert DataSettings.from_json(settings) == config.PAPER.data


def test_more_beam_processes_change_nothing_that_the_cache_looks_at(tmp_path):
    """TFX's cache looks at the compiled steps; the arguments reach them all the same."""
    compiled, found = [], []
    for workers in (1, 2):
        settings = config.load(overrides=[f"resources.beam_workers={workers}"])
        made = local_runner.create(settings, PipelinePaths(tmp_path))
        steps = {step.id: step for step in made.components}
        compiled.append(text_format.MessageToString(compiler.Compiler().compile(made)))
        found.append(beam_arguments_of(steps["StatisticsGen"]))
    assert compiled[0] == compiled[1]
    assert [set(each) for each in found] == [set(local_flags(workers)) for workers in (1, 2)]


def test_another_model_server_changes_infra_validation_and_nothing_else(tmp_path, monkeypatch):
    properties = []
    for program in ("", "/bin/false"):
        monkeypatch.setenv("TF_SERVING_BIN", program)
        made = local_runner.create(config.PAPER, PipelinePaths(tmp_path))
        properties.append({step.id: step.exec_properties for step in made.components})
    own, other = properties
    assert [name for name in own if own[name] != other[name]] == ["FaceInfraValidator"]
    assert own["FaceInfraValidator"]["server"] == "facerelief serve"
    assert other["FaceInfraValidator"]["server"] == "/bin/false"


def beam_arguments_of(step):
    placeholders = step.executor_spec.encode().beam_pipeline_args_placeholders
    context = placeholder_utils.ResolutionContext(exec_info=data_types.ExecutionInfo())
    resolve = placeholder_utils.resolve_placeholder_expression
    return [resolve(placeholder, context) for placeholder in placeholders]
