"""The pipeline's own steps, each on its own: records, checks, training, blessings, push."""

import dataclasses
import json
import logging
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import types

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from google.protobuf import json_format, text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_serving.apis import predict_pb2
from tfx.components.evaluator import executor as evaluator_executor
from tfx.components.util import examples_utils
from tfx.dsl.compiler import compiler, placeholder_utils
from tfx.orchestration.portable import data_types
from tfx.types import artifact_utils, standard_artifacts

import components
from components import (
    anomaly_gate,
    face_example_gen,
    face_metrics,
    infra_validator,
    last_blessed_model,
    pusher,
    report,
    report_page,
    split_reconstruction,
    trainer,
    verdict,
)
from components.deployment import registry
from components.deployment.inference import ExportedModel, batches, labels
from components.deployment.server_process import ServerBusy, ServerError
from components.record_schema import curated_schema
from components.records.beam_runs import local_flags
from components.settings import (
    SPLITS,
    DataSettings,
    EvaluatorSettings,
    ExportSettings,
    ReportSettings,
    TrainerSettings,
)
from components.trainer_arguments import TrainerArguments, run_key
from facemodel.morphable.model import MorphableModel
from facemodel.network.checkpoints import checkpoint_steps
from facemodel.network.weights import WeightsError
from facemodel.saved_model.metadata import METADATA, read_facts
from pipeline import config, local_runner, pipeline
from pipeline.runs.places import PipelinePaths

pytestmark = pytest.mark.e2e  # importing TFX alone takes longer than a fast test may

DATA = DataSettings(face_model="tiny", train=20, eval=9, test=5, image_size=48, shard_samples=8)
TRAINER = TrainerSettings(
    samples=24, batch_size=4, size=32, iterations=3, init="none", level=0, steps_per_round=2,
    checkpoint_seconds=0,
)  # fmt: skip


def artifact(kind, folder, **fields):
    made = kind()
    made.uri = str(folder)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def records_of(examples, split):
    folder = pathlib.Path(artifact_utils.get_split_uri([examples], split))
    files = sorted(str(path) for path in folder.iterdir())
    return list(tf.data.TFRecordDataset(files).as_numpy_iterator())


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    """The Examples of FaceExampleGen."""
    made = artifact(standard_artifacts.Examples, tmp_path_factory.mktemp("examples"))
    face_example_gen.FaceExampleGen.test_call(
        examples=made, data=DATA.to_json(), code="", beam_pipeline=TestPipeline()
    )
    return made


def test_splits_are_neighbouring_ranges_of_one_seed(examples):
    indices = {
        split: [int(labels(record)["sample/index"][0]) for record in records_of(examples, split)]
        for split in SPLITS
    }
    assert indices == {
        "train": [*range(20)],
        "eval": [*range(20, 29)],
        "test": [*range(29, 34)],
    }
    assert artifact_utils.decode_split_names(examples.split_names) == list(SPLITS)
    assert examples_utils.get_payload_format_string(examples) == "FORMAT_TF_EXAMPLE"
    folder = pathlib.Path(examples.uri, "Split-train")
    assert [path.name for path in sorted(folder.iterdir())] == [
        f"train-{k:05d}-of-00003.tfrecord" for k in range(3)
    ]


def anomalies_of(examples, schema, folder):
    """What ExampleValidator writes about each split."""
    for split in SPLITS:
        pattern = str(pathlib.Path(examples.uri, f"Split-{split}", "*"))
        found = tfdv.validate_statistics(tfdv.generate_statistics_from_tfrecord(pattern), schema)
        path = folder / f"Split-{split}" / anomaly_gate.ANOMALIES_FILE
        path.parent.mkdir(parents=True)
        path.write_bytes(found.SerializeToString())
    names = artifact_utils.encode_split_names(list(SPLITS))
    return artifact(standard_artifacts.ExampleAnomalies, folder, split_names=names)


def tiny_schema():
    model = MorphableModel.tiny()
    lengths = {
        "face/coefficients": model.coefficient_count,
        "face/albedo_coefficients": len(model.albedo),
    }
    return text_format.Parse(curated_schema(lengths), schema_pb2.Schema())


def test_good_records_pass_the_gate_and_bad_ones_end_the_run(examples, tmp_path):
    schema = tiny_schema()
    report = artifact(components.Report, tmp_path / "report")
    good = anomalies_of(examples, schema, tmp_path / "good")
    anomaly_gate.AnomalyGate.test_call(anomalies=good, report=report, code="")
    assert "No anomalies in train, eval, test" in (tmp_path / "report/index.html").read_text()
    features = {feature.name: feature for feature in schema.feature}
    features["image/height"].int_domain.min = 64
    features["slice/yaw_bin"].name = "slice/yaw"
    bad = anomalies_of(examples, schema, tmp_path / "bad")
    with pytest.raises(anomaly_gate.AnomaliesError) as caught:
        anomaly_gate.AnomalyGate.test_call(anomalies=bad, report=report, code="")
    for split in SPLITS:
        assert f"{split}: image/height: " in str(caught.value)
        assert f"{split}: slice/yaw_bin: New column" in str(caught.value)


def test_the_schema_names_every_feature(examples):
    features = tf.train.Example.FromString(records_of(examples, "test")[0]).features.feature
    assert {feature.name for feature in tiny_schema().feature} == set(features)


def arguments(checkpoints, **changes):
    fields = {
        "data": DATA.to_json(),
        "trainer": TRAINER.to_json(),
        "export": ExportSettings(warmup_requests=1).to_json(),
        "code": "code",
        "checkpoint_dir": str(checkpoints),
        "model_name": "tiny",
    }
    return fields | changes


def train(examples, folder, checkpoints, **changes):
    """Calls run_fn as TFX does, and returns the SavedModel's folder."""
    logging.getLogger("absl").setLevel(logging.INFO)
    trainer.run_fn(
        types.SimpleNamespace(
            custom_config=arguments(checkpoints, **changes),
            train_files=[f"{examples.uri}/Split-train/*"],
            eval_files=[f"{examples.uri}/Split-eval/*"],
            serving_model_dir=str(folder / "Format-Serving"),
            model_run_dir=str(folder / "run"),
        )
    )
    assert logging.getLogger("absl").level == logging.INFO  # TFX still says which step runs
    return folder / "Format-Serving"


@pytest.fixture(scope="module")
def model(examples, tmp_path_factory):
    """A trained and exported model."""
    folder = tmp_path_factory.mktemp("model")
    train(examples, folder, folder / "checkpoints")
    return artifact(standard_artifacts.Model, folder)


def coefficients(path, records):
    return ExportedModel(path)(records)["coefficients"]


def test_the_exported_model_says_where_it_comes_from(model, examples):
    path = pathlib.Path(model.uri, "Format-Serving")
    origin = read_facts(path)["origin"]
    assert DataSettings.from_json(json.dumps(origin["data"])) == DATA
    assert TrainerSettings.from_json(json.dumps(origin["trainer"])) == TRAINER
    assert origin["parent"] == {"init": "none"}
    warmup = tf.data.TFRecordDataset(str(path / "assets.extra/tf_serving_warmup_requests"))
    assert len(list(warmup)) == 3
    assert np.isfinite(coefficients(path, records_of(examples, "test"))).all()
    assert (pathlib.Path(model.uri) / "run/curve.csv").read_text().count("\n") == 4
    assert list((pathlib.Path(model.uri) / "run/train").glob("events*"))


def test_weights_of_another_face_model_are_refused(examples, tmp_path):
    shipped = dataclasses.replace(TRAINER, init="shipped").to_json()
    with pytest.raises(WeightsError, match="trained for face model .*, not for tiny"):
        train(examples, tmp_path, tmp_path / "checkpoints", trainer=shipped)
    assert not (tmp_path / "Format-Serving").exists()


class Killed(Exception):
    """Stands for the end of the process."""


@pytest.mark.slow
def test_a_killed_training_goes_on_and_ends_where_it_would_have(
    model, examples, tmp_path, monkeypatch
):
    def killed(self, epoch, logs=None):
        if self.model.steps_done == 4:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(trainer.LogProgress, "on_epoch_end", killed)
        with pytest.raises(Killed):
            train(examples, tmp_path / "a", tmp_path / "checkpoints")
    assert not (tmp_path / "a/Format-Serving").exists()
    (folder,) = (tmp_path / "checkpoints").iterdir()
    assert max(checkpoint_steps(folder)) == 4
    steps = []
    with monkeypatch.context() as patch:
        patch.setattr(
            trainer.LogProgress,
            "on_epoch_end",
            lambda self, *_: steps.append(self.model.steps_done),
        )
        path = train(examples, tmp_path / "b", tmp_path / "checkpoints")
    assert steps == [6]
    records = records_of(examples, "test")
    whole = coefficients(pathlib.Path(model.uri, "Format-Serving"), records)
    np.testing.assert_allclose(coefficients(path, records), whole, atol=1e-5)
    os.utime(folder, (0, 0))
    again = train(examples, tmp_path / "c", tmp_path / "checkpoints")
    assert folder.stat().st_mtime > 0  # so that cleaning leaves what is in use
    models = [pathlib.Path(model.uri, "Format-Serving"), path, again]
    assert len({read_facts(each)["origin"]["weights"] for each in models}) == 1  # to the last bit


@pytest.mark.slow
def test_two_devices_train_in_mixed_precision_and_export(examples, tmp_path):
    """In a process of its own, because devices are set up before anything else."""
    code = f"""
import dataclasses, pathlib, sys, types
sys.path[:0] = [{str(pathlib.Path(__file__).parent)!r}]
import tensorflow as tf
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
import test_steps as tests
from components import trainer
trainer.strategy_of = lambda settings: tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
settings = dataclasses.replace(tests.TRAINER, precision="mixed_bfloat16").to_json()
examples = types.SimpleNamespace(uri={examples.uri!r})
folder = pathlib.Path({str(tmp_path)!r})
tests.train(examples, folder, folder / "checkpoints", trainer=settings)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    found = coefficients(tmp_path / "Format-Serving", records_of(examples, "test"))
    assert np.isfinite(found).all()
    assert np.ptp(found, axis=0).max() > 0


def test_other_settings_code_or_records_train_anew():
    base = TrainerArguments(**arguments("here"))
    key = run_key(base, "records")
    moved = TrainerArguments(**arguments("elsewhere"))
    assert run_key(moved, "records") == key
    for changes in ({"code": "other"}, {"trainer": TrainerSettings().to_json()}):
        changed = TrainerArguments(**arguments("here", **changes))
        assert run_key(changed, "records") != key
    assert run_key(base, "others") != key


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


def test_a_model_that_no_server_takes_is_not_blessed(model, examples, tmp_path, monkeypatch):
    monkeypatch.setenv("TF_SERVING_BIN", "/bin/false")
    blessing = artifact(standard_artifacts.InfraBlessing, tmp_path / "blessing")
    infra_validator.FaceInfraValidator.test_call(
        model=model,
        examples=examples,
        blessing=blessing,
        settings="{}",
        model_name="tiny",
        server="false",
        code="",
    )
    assert blessing.get_int_custom_property("blessed") == 0
    (file,) = (tmp_path / "blessing").iterdir()
    assert file.name == "INFRA_NOT_BLESSED"
    assert "the server ended with exit code 1" in file.read_text()


@pytest.mark.slow
def test_a_model_that_a_server_takes_is_blessed(model, examples, tmp_path):
    """By `facerelief serve` as a process."""
    blessing = artifact(standard_artifacts.InfraBlessing, tmp_path / "blessing")
    infra_validator.FaceInfraValidator.test_call(
        model=model,
        examples=examples,
        blessing=blessing,
        settings='{"requests": 2}',
        model_name="tiny",
        server="facerelief serve",
        code="",
    )
    assert blessing.get_int_custom_property("blessed") == 1
    (file,) = (tmp_path / "blessing").iterdir()
    assert (file.name, file.read_text()) == ("INFRA_BLESSED", "")


def evaluated(model, examples, folder, **bounds):
    """What TFX's Evaluator writes about a model that is compared with itself."""
    evaluation = artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")
    blessing = artifact(standard_artifacts.ModelBlessing, folder / "blessing")
    eval_config = face_metrics.eval_config(
        EvaluatorSettings(**bounds), face_model="tiny", iterations=TRAINER.iterations, code=""
    )
    evaluator_executor.Executor().Do(
        {"examples": [examples], "model": [model], "baseline_model": [model]},
        {"evaluation": [evaluation], "blessing": [blessing]},
        {
            "eval_config": json_format.MessageToJson(eval_config),
            "example_splits": json.dumps(["eval"]),
        },
    )
    return evaluation, blessing


@pytest.mark.slow
@pytest.mark.parametrize("most_mm", [100.0, 0.5])
def test_the_report_has_errors_faces_origin_and_the_verdict(model, examples, tmp_path, most_mm):
    evaluation, blessing = evaluated(model, examples, tmp_path, max_error_mm=most_mm)
    report_artifact = artifact(components.Report, tmp_path / "report")
    report.FaceReport.test_call(
        model=model,
        examples=examples,
        baseline=baseline_of(model, tmp_path, "baseline"),
        evaluation=evaluation,
        blessing=blessing,
        report=report_artifact,
        data=DATA.to_json(),
        settings=ReportSettings(faces=5, shown=2).to_json(),
        code="",
    )
    page = (tmp_path / "report/index.html").read_text()
    assert "No model of this kind was served yet" in page and "served</text>" not in page
    said = verdict.objections(evaluation.uri)
    if most_mm == 100.0:
        assert said == []
        assert '<b class="good">blessed' in page
    else:
        (one,) = said
        error = re.fullmatch(r"all faces: error (\d+\.\d+) mm, should be at most 0\.5", one)[1]
        assert f"<td>{float(error):.2f}</td>" in page
        assert f'<b class="bad">not blessed</b>.</p><ul><li>{one}</li></ul>' in page
    assert page.count("<img") == 4 * 4  # photo, crop, shading and error of two best and two worst
    shown = [int(number) for number in re.findall(r"<h4>sample (\d+): ", page)]
    assert len(set(shown)) == 4 and set(shown) <= set(range(29, 34))
    rows = {row.key: row for row in report.slice_rows(evaluation.uri)}
    assert rows[()].count == 9
    assert sum(row.count for key, row in rows.items() if key and key[0][0] == "slice/yaw_bin") == 9
    for words in ("Best of 5 faces", "iteration 1", "data_digest", "learning_rate"):
        assert words in page


class Answering:
    """A stub that answers from outputs, for what a server may get wrong."""

    def __init__(self, **outputs):
        self._outputs = outputs

    def Predict(self, request, timeout):
        response = predict_pb2.PredictResponse()
        for name, value in self._outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(np.float32(value)))
        return response


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"coefficients": [[1, 2]]}, "lacks vertices"),
        ({"coefficients": [[1, 2]], "vertices": [[[np.nan] * 3]]}, "are not finite"),
        ({"coefficients": [[1, 2.1]], "vertices": [[[0, 0, 0]]]}, "differs from the model .* 0.1"),
        ({"coefficients": [[1, np.nan]], "vertices": [[[0, 0, 0]]]}, "differs from the model"),
    ],
)
def test_wrong_answers_are_told(examples, outputs, message):
    records, ask = records_of(examples, "eval")[:1], infra_validator.check_answers
    right = {"coefficients": [[1, 2]], "vertices": [[[0, 0, 0]]]}
    expected = np.float32([[1, 2]])
    ask(Answering(**right), records, name="tiny", timeout=1.0, expected=expected)
    with pytest.raises(ServerError, match=message):
        ask(Answering(**outputs), records, name="tiny", timeout=1.0, expected=expected)
    with pytest.raises(ServerError, match="no records"):
        ask(Answering(**right), [], name="tiny", timeout=1.0, expected=expected[:0])


def test_a_server_that_is_not_ready_in_time_is_no_verdict(model, examples, tmp_path, monkeypatch):
    sleeper = tmp_path / "sleeper"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setenv("TF_SERVING_BIN", str(sleeper))
    with pytest.raises(ServerBusy, match="not ready in time"):
        infra_validator.FaceInfraValidator.test_call(
            model=model,
            examples=examples,
            blessing=artifact(standard_artifacts.InfraBlessing, tmp_path / "blessing"),
            settings='{"start_seconds": 1.0}',
            model_name="tiny",
            server="sleeper",
            code="",
        )
    assert not (tmp_path / "blessing").exists()


@pytest.mark.parametrize("errors", [[3.0, float("inf")], [float("nan")] * 2, [2.0, 1.5]])
def test_the_page_shows_models_whose_error_is_not_finite(errors):
    rows = [report_page.SliceRow((), 7, errors, [2.0, 1.6])]
    page = report_page.Page({"run_key": "k"}, ["all faces: error 3 mm"], rows, "7").to_html()
    assert "not blessed" in page and f"{errors[-1]:.2f}" in page
    drawn = re.findall(r'points="([^"]*)"', page)
    assert drawn and not any(word in " ".join(drawn) for word in ("nan", "inf"))


def push(model, folder, *, blessed=True, servable=True, compared_with):
    blessings = {
        "model_blessing": (standard_artifacts.ModelBlessing, "BLESSED", blessed),
        "infra_blessing": (standard_artifacts.InfraBlessing, "INFRA_BLESSED", servable),
    }
    inputs = {}
    for name, (kind, file, good) in blessings.items():
        place = pathlib.Path(tempfile.mkdtemp(dir=folder))
        (place / (file if good else f"NOT_{file}")).touch()
        inputs[name] = artifact(kind, place)
    pushed = artifact(standard_artifacts.PushedModel, tempfile.mkdtemp(dir=folder))
    pusher.FacePusher.test_call(
        model=model,
        baseline=compared_with,
        pushed_model=pushed,
        serving_dir=str(folder / "served"),
        code="",
        **inputs,
    )
    return pushed


def baseline_of(model, folder, name):
    found = artifact(standard_artifacts.Model, folder / name)
    last_blessed_model.LastBlessedModel.test_call(
        model=model, baseline=found, serving_dir=str(folder / "served"), code=""
    )
    return found


def test_only_models_blessed_twice_are_pushed_and_then_compared_with(model, tmp_path):
    first = baseline_of(model, tmp_path, "first")
    assert first.get_string_custom_property("version") == "candidate"
    for blessed, servable in ((False, True), (True, False)):
        pushed = push(model, tmp_path, blessed=blessed, servable=servable, compared_with=first)
        assert pushed.get_int_custom_property("pushed") == 0
        assert not (tmp_path / "served").exists()
    pushed = push(model, tmp_path, compared_with=first)
    assert pushed.get_int_custom_property("pushed") == 1
    version = pushed.get_string_custom_property("pushed_version")
    destination = pathlib.Path(pushed.get_string_custom_property("pushed_destination"))
    assert destination == tmp_path / "served" / version
    assert (destination / "assets.extra/pushed_from").read_text().strip() == model.uri
    second = baseline_of(model, tmp_path, "second")
    assert second.get_string_custom_property("version") == version
    copied = pathlib.Path(second.uri, "Format-Serving", "saved_model.pb")
    assert copied.read_bytes() == (destination / "saved_model.pb").read_bytes()
    facts = destination / METADATA
    facts.write_text(facts.read_text().replace('"model_name": "tiny"', '"model_name": "other"'))
    third = baseline_of(model, tmp_path, "third")
    assert third.get_string_custom_property("version") == "candidate"


def test_a_version_names_the_artifact_and_not_the_copy_that_a_container_sees(model, tmp_path):
    staged = artifact(standard_artifacts.Model, model.uri)
    staged.set_string_custom_property(registry.STORED_AT, "minio://bucket/model")
    push(staged, tmp_path, compared_with=baseline_of(staged, tmp_path, "nothing"))
    (version,) = registry.versions(tmp_path / "served").values()
    assert registry.source_of(version) == "minio://bucket/model"


def copy_of(model, folder, name):
    """Another model: the same files, said to come from another training."""
    shutil.copytree(model.uri, folder / name)
    facts = folder / name / "Format-Serving" / METADATA
    changed = json.loads(facts.read_text())
    changed["origin"]["run_key"] = name
    facts.write_text(json.dumps(changed))
    return artifact(standard_artifacts.Model, folder / name)


def result_of(pushed):
    return pathlib.Path(pushed.uri, "result.txt").read_text()


def test_a_verdict_that_is_older_than_what_is_served_pushes_nothing(model, tmp_path):
    served, other, late = tmp_path / "served", *(copy_of(model, tmp_path, n) for n in "ab")
    nothing = baseline_of(model, tmp_path, "nothing")
    push(model, tmp_path, compared_with=nothing)
    (first,) = registry.versions(served)
    against_first = baseline_of(other, tmp_path, "first")
    assert "pushed:" in result_of(push(other, tmp_path, compared_with=against_first))
    newest = max(registry.versions(served))
    for stale in (nothing, against_first):
        pushed = push(late, tmp_path, compared_with=stale)
        assert pushed.get_int_custom_property("pushed") == 0
        assert f"and {newest} is served now" in result_of(pushed)
    assert list(registry.versions(served)) == [first, newest]
    assert "pushed:" in result_of(push(other, tmp_path, compared_with=against_first))
    assert list(registry.versions(served)) == [first, newest]


def test_a_model_that_was_rolled_back_does_not_come_back(model, tmp_path):
    other = copy_of(model, tmp_path, "other")
    push(model, tmp_path, compared_with=baseline_of(model, tmp_path, "nothing"))
    against_first = baseline_of(other, tmp_path, "first")
    push(other, tmp_path, compared_with=against_first)
    registry.withdraw(tmp_path / "served")
    pushed = push(other, tmp_path, compared_with=against_first)
    assert pushed.get_int_custom_property("pushed") == 0
    assert "it was withdrawn" in result_of(pushed)
    assert len(registry.versions(tmp_path / "served")) == 1


def test_beam_and_the_function_reconstruct_the_same(model, examples, tmp_path):
    path = pathlib.Path(model.uri, "Format-Serving")
    records = records_of(examples, "test")
    exported = ExportedModel(path)
    expected = [
        line
        for batch in batches(records, 2)
        for line in split_reconstruction.reconstruct_batch(exported, batch)
    ]
    assert [json.loads(line)["index"] for line in expected] == [*range(29, 34)]
    with TestPipeline() as pipeline:
        lines = (
            pipeline | beam.Create(records) | split_reconstruction.ReconstructRecords(str(path), 2)
        )
        rounded = lines | beam.Map(_rounded)
        assert_that(rounded, equal_to([_rounded(line) for line in expected]))


def _rounded(line):
    values = json.loads(line)
    return values["index"], np.round(values["coefficients"], 3).tolist()


@pytest.mark.slow
def test_the_records_are_those_of_facerelief_synthesize(tmp_path):
    """Byte by byte, though the command draws with one thread and the step here with eight."""
    code = f"""
import os, tempfile
os.environ |= {{"TF_NUM_INTRAOP_THREADS": "8", "OMP_NUM_THREADS": "8"}}
import test_steps as tests
data = tests.DataSettings(recipe="lifelike", seed=3, train=10, eval=5, test=4)
made = tests.artifact(tests.standard_artifacts.Examples, {str(tmp_path / "step")!r})
pipeline = tests.beam.Pipeline()
step = tests.face_example_gen.FaceExampleGen
step.test_call(examples=made, data=data.to_json(), code="", beam_pipeline=pipeline)
"""
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    words = "--recipe lifelike --seed 3 -n 10 --eval 5 --test 4 -o"
    command = [sys.executable, "-m", "pipeline.cli", "synthesize", *words.split()]
    subprocess.run([*command, str(tmp_path / "command")], check=True)
    split_files = [*(tmp_path / "step").glob("Split-*/*.tfrecord")]
    assert len(split_files) == len(SPLITS)
    for file in split_files:
        assert file.read_bytes() == (tmp_path / "command" / file.name).read_bytes()
