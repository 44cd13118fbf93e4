"""What a container on Kubeflow makes of KFP's description of its inputs and outputs."""

import ast
import importlib.util
import pathlib

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

from pipeline import kfp_entrypoint

EXAMPLES = {"instanceSchema": "title: tfx.Examples\ntype: object\n"}
MODEL = {"instanceSchema": "title: tfx.Model\ntype: object\n"}


def one(uri, **more):
    return {"artifacts": [{"uri": uri, **more}]}


def executor_input(inputs=None, outputs=None):
    content = {
        "inputs": {"artifacts": inputs or {}},
        "outputs": {"artifacts": outputs or {}, "outputFile": "/tmp/kfp_outputs/out.json"},
    }
    return json_format.ParseDict(content, pipeline_spec_pb2.ExecutorInput())


def inputs_spec(**types):
    artifacts = {name: {"artifactType": kind} for name, kind in types.items()}
    return json_format.ParseDict({"artifacts": artifacts}, pipeline_spec_pb2.ComponentInputsSpec())


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("minio://bucket/a/b", "/minio/bucket/a/b"),
        ("s3://bucket/a", "/s3/bucket/a"),
        ("gs://bucket/a", "/gcs/bucket/a"),
        ("/models/facerelief", "/models/facerelief"),
        ("hdfs://x/y", "hdfs://x/y"),
    ],
)
def test_paths_are_those_of_the_launcher(uri, path):
    assert kfp_entrypoint.staged_path(uri) == path


def test_types_and_paths_are_filled_in(tmp_path):
    message = executor_input(
        {"examples": one("minio://b/examples", type={"instanceSchema": ""}, name="17")},
        {"model": one("s3://b/model", type=MODEL)},
    )
    uris = kfp_entrypoint.localize(message, inputs_spec(examples=EXAMPLES), root=str(tmp_path))
    [examples] = message.inputs.artifacts["examples"].artifacts
    assert examples.type.instance_schema == EXAMPLES["instanceSchema"]
    assert examples.uri == str(tmp_path / "minio/b/examples") and examples.name == "17"
    assert message.outputs.artifacts["model"].artifacts[0].uri == str(tmp_path / "s3/b/model")
    assert sorted(uris.values()) == ["minio://b/examples", "s3://b/model"]
    assert dict(examples.metadata) == {"stored_at": "minio://b/examples"}
    assert not message.outputs.artifacts["model"].artifacts[0].metadata


def test_a_type_that_is_there_stays(tmp_path):
    message = executor_input({"model": one("/models/1", type=MODEL)})
    kfp_entrypoint.localize(message, inputs_spec(model=EXAMPLES), root=str(tmp_path))
    assert (
        message.inputs.artifacts["model"].artifacts[0].type.instance_schema
        == MODEL["instanceSchema"]
    )


def test_the_logs_are_left_out():
    logs = one("minio://b/logs", type={"schemaTitle": "system.Artifact"})
    message = executor_input(outputs={"executor-logs": logs, "model": one("minio://b/m")})
    kfp_entrypoint.localize(message, inputs_spec())
    assert list(message.outputs.artifacts) == ["model"]


def test_uris_come_back():
    message = executor_input(outputs={"model": one("minio://b/m")})
    uris = kfp_entrypoint.localize(message, inputs_spec())
    metadata = {"from": "/minio/b/m/1", "near": "/minio/b/mm", "none": None, "size": 2}
    said = {"artifacts": {"model": one("/minio/b/m", metadata=metadata), "other": one("/else")}}
    output = json_format.ParseDict(said, pipeline_spec_pb2.ExecutorOutput())
    kfp_entrypoint.restore(output, uris)
    [model] = output.artifacts["model"].artifacts
    assert model.uri == "minio://b/m"
    assert json_format.MessageToDict(model.metadata) == {
        "from": "minio://b/m/1",
        "near": "/minio/b/mm",
        "size": 2,
    }
    assert output.artifacts["other"].artifacts[0].uri == "/else"


def test_output_folders_are_made(tmp_path):
    number = {"instanceSchema": "title: tfx.Integer\n"}
    message = executor_input(
        outputs={
            "model": one(str(tmp_path / "a/model"), type=MODEL),
            "count": one(str(tmp_path / "b/count"), type=number),
        }
    )
    kfp_entrypoint.make_folders(message)
    assert (tmp_path / "a/model").is_dir()
    assert (tmp_path / "b").is_dir() and not (tmp_path / "b/count").exists()


def test_tfx_still_has_the_entrypoint_that_is_called():
    """kfp_entrypoint calls a private function: TFX offers no other way in."""
    module = "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_run_executor"
    source = pathlib.Path(importlib.util.find_spec(module).origin).read_text(encoding="utf-8")
    functions = {
        node.name: len(node.args.args)
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef)
    }
    advice = f"TFX changed what pipeline/kfp_entrypoint.py calls: {module} has {functions}"
    assert functions.get("_parse_flags") == functions.get("main") == 1, advice
