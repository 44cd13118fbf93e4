"""The pipeline as Kubeflow gets it: KFP reads it, and it has the resources of the configuration."""

import dataclasses
import json
import pathlib

import pytest
import yaml
from google.protobuf import json_format
from kfp import components
from kfp.kubernetes import kubernetes_executor_config_pb2
from kfp.pipeline_spec import pipeline_spec_pb2 as pb
from typer.testing import CliRunner

from kubeflow import compile as kubeflow_compile
from kubeflow import ir
from pipeline import config as configuration
from pipeline.cli import make_single_app
from pipeline.config import PAPER, StepResources

IMAGE = "registry.example.com/facerelief:7"


def compiled(config=PAPER, **changes):
    config = dataclasses.replace(config, **changes)
    places = kubeflow_compile.StepPaths.cluster(config)
    return kubeflow_compile.compile_pipeline(config, image=IMAGE, places=places)


@pytest.fixture(scope="module")
def documents():
    return compiled()


@pytest.fixture(scope="module")
def program(documents):
    return ir.parse(documents[0])


def containers(program):
    """Container specs by step."""
    return {
        step.name: step.executor.container
        for step in program.steps
        if step.executor.HasField("container")
    }


def test_kfp_reads_it(documents):
    kubeflow_compile.check(documents)
    loaded = components.load_component_from_text(yaml.safe_dump_all(documents))
    assert loaded.name == "facerelief"


def test_all_steps_are_there_in_an_order_that_works(program):
    names = [step.name for step in program.steps]
    wanted = ["FaceExampleGen", "AnomalyGate", "Trainer", "Evaluator", "FacePusher"]
    assert [name for name in names if name in wanted] == wanted


def test_every_step_runs_this_entrypoint_in_the_image(program):
    for container in containers(program).values():
        assert container.image == IMAGE
        assert list(container.command) == ["python", "-m", "pipeline.kfp_entrypoint"]


def test_resources_and_retries_are_those_of_the_configuration(program):
    resources = PAPER.resources
    own = {"FaceExampleGen", "Trainer", "Evaluator"}
    for step in program.steps:
        name = {"FaceExampleGen": "example_gen"}.get(step.name, step.name.lower())
        wanted = getattr(resources, name if step.name in own else "default")
        found = step.executor.container.resources
        assert found.cpu_limit == wanted.cpu
        assert found.memory_limit == pytest.approx(wanted.memory_gib * 1.073741824, abs=1e-3)
        assert found.accelerator.count == wanted.gpus
        assert step.task.retry_policy.max_retry_count == wanted.retries
    assert containers(program)["Trainer"].resources.accelerator.type == "nvidia.com/gpu"


def test_beam_has_no_more_processes_than_a_step_has_cores(program):
    def workers(step):
        [variable] = containers(program)[step].env
        assert variable.name == "FACERELIEF_BEAM_ARGS"
        return json.loads(variable.value)

    assert PAPER.resources.beam_workers == 16 and PAPER.resources.evaluator.cpu == 4
    many = "--direct_running_mode=multi_processing"
    assert workers("FaceExampleGen") == [many, "--direct_num_workers=16"]
    assert workers("Evaluator") == [many, "--direct_num_workers=4"]
    one = ["--direct_running_mode=in_memory", "--direct_num_workers=1"]
    assert workers("StatisticsGen") == one


def test_a_step_without_retries_has_no_policy(documents):
    spec = json.loads(json.dumps(documents[0]))
    del spec["root"]["dag"]["tasks"]["Trainer"]["retryPolicy"]
    trainer = StepResources(cpu=3, memory_gib=1, gpus=2, gpu_type="amd.com/gpu", retries=0)
    resources = dataclasses.replace(PAPER.resources, trainer=trainer)
    kubeflow_compile.set_resources(spec, resources)
    assert "retryPolicy" not in spec["root"]["dag"]["tasks"]["Trainer"]
    assert spec["deploymentSpec"]["executors"]["Trainer_executor"]["container"]["resources"] == {
        "cpuLimit": 3.0,
        "memoryLimit": 1.074,
        "accelerator": {"type": "amd.com/gpu", "count": "2"},
    }


def test_steps_are_cached_if_the_configuration_says_so(program):
    assert all(step.task.caching_options.enable_cache for step in program.steps)
    uncached = ir.parse(compiled(cache=False)[0])
    assert not any(step.task.caching_options.enable_cache for step in uncached.steps)


def test_volumes_are_mounted_where_their_paths_are_used(documents):
    platform = json_format.ParseDict(documents[1], pb.PlatformSpec())
    mounts = {}
    for label, content in platform.platforms["kubernetes"].deployment_spec.executors.items():
        config = json_format.ParseDict(
            json_format.MessageToDict(content),
            kubernetes_executor_config_pb2.KubernetesExecutorConfig(),
        )
        mounts[label] = {mount.mount_path: mount.constant for mount in config.pvc_mount}
    models = {"/mnt/models": "facerelief-models"}
    assert mounts == {
        "Trainer_executor": {"/mnt/checkpoints": "facerelief-checkpoints"},
        "LastBlessedModel_executor": models,
        "FacePusher_executor": models,
    }


def test_a_training_setting_changes_the_trainer_and_nothing_before(documents):
    trainer = dataclasses.replace(PAPER.trainer, learning_rate=5e-4)
    before, after = (
        one[0]["root"]["dag"]["tasks"] for one in (documents, compiled(trainer=trainer))
    )
    assert [name for name in before if before[name] != after[name]] == ["Trainer"]


def test_more_processes_change_nothing_that_caches_look_at(program):
    resources = dataclasses.replace(PAPER.resources, beam_workers=2)
    fewer = ir.parse(compiled(resources=resources)[0])
    assert containers(fewer)["FaceExampleGen"].env != containers(program)["FaceExampleGen"].env
    for before, after in zip(program.steps, fewer.steps, strict=True):
        assert before.task == after.task
        for part in ("image", "command", "args"):
            found = [getattr(step.executor.container, part) for step in (before, after)]
            assert found[0] == found[1]


def test_paths_of_this_machine_stay_here(documents, tmp_path):
    checkout = str(pathlib.Path(__file__).resolve().parents[2])
    assert checkout not in yaml.safe_dump_all(documents)
    config = configuration.load(profile="small", overrides=["data.face_model=tiny"])
    places = kubeflow_compile.StepPaths.here(tmp_path, config)
    [spec] = kubeflow_compile.compile_pipeline(config, image=IMAGE, places=places)
    assert str(tmp_path / "serving") in yaml.safe_dump(spec)
    assert pathlib.Path(places.schema).is_file()


def run_compile(*options):
    app = make_single_app(kubeflow_compile.main)
    return CliRunner().invoke(app, ["--image", IMAGE, *options])


def test_the_file_has_its_configuration_in_it(tmp_path):
    path = tmp_path / "build/pipeline.yaml"
    result = run_compile("-o", str(path), "--set", "trainer.batch_size=64")
    assert result.exit_code == 0, result.output
    assert "#   batch_size: 64\n" in path.read_text(encoding="utf-8")
    assert ir.load(path).name == "facerelief"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_for_a_cluster_is_not_run_here(tmp_path, documents):
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    with pytest.raises(ir.IrError, match="mounts volumes at /mnt/checkpoints, /mnt/models; "):
        ir.load_to_run_here(path)
    path.write_text(yaml.safe_dump_all(documents[:1]), encoding="utf-8")
    assert ir.load_to_run_here(path).name == "facerelief"


def test_impossible_settings_are_one_line(tmp_path):
    path = tmp_path / "pipeline.yaml"
    result = run_compile("-o", str(path), "--set", "trainer.batch=64")
    assert result.exit_code == 2 and "error: trainer.batch: unknown" in result.output
    assert not path.exists()


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("data.face_model", "should be default, as in the image"),
        ("trainer.init", "should be shipped or none, as in the image"),
    ],
)
def test_files_that_are_not_in_the_image_are_refused(tmp_path, field, message):
    here = tmp_path / "here.npz"
    here.touch()
    result = run_compile("-o", str(tmp_path / "p.yaml"), "--set", f"{field}={here}")
    assert result.exit_code == 2 and f"error: {field}: {message}" in result.output
    assert not (tmp_path / "p.yaml").exists()


def test_a_file_that_is_missing_is_named_before_anything_is_compiled(tmp_path):
    options = ["-o", str(tmp_path / "p.yaml"), "--here", str(tmp_path / "root")]
    result = run_compile(*options, "--set", "trainer.init=gone.npz")
    assert result.exit_code == 2
    assert "error: trainer.init: should be shipped, none or a file" in result.output
    assert not list(tmp_path.iterdir())
