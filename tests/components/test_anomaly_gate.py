"""AnomalyGate and the schema that records have to keep to."""

import pathlib

import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from pipeline_steps import GROUP, artifact, records_of
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import artifact_utils, standard_artifacts

import components
from components import anomaly_gate
from components.record_schema import curated_schema
from components.settings import SPLITS
from facemodel.morphable.model import MorphableModel

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group(GROUP)]


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


@pytest.mark.slow
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
