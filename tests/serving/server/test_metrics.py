"""The metrics: what is counted, under which labels, and that clients cannot make up labels."""

import pathlib
import types

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.server.metrics import GRPC, REST, Metrics, measured
from serving.server.prometheus import OTHER, PrometheusMetrics


def samples(metrics, name):
    """Values of a metric by its labels, as (name, value) pairs in order."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        tuple(sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name == f"facerelief_serving_{name}"
    }


def labels(**values):
    return tuple(sorted(values.items()))


@pytest.fixture
def metrics():
    metrics = PrometheusMetrics()
    metrics.model_loaded("face", 3, seconds=2.5, signatures=["serving_default", "metadata"])
    return metrics


def answered(metrics, model="face", signature="", code="OK", seconds=0.03, protocol=GRPC):
    metrics.request(
        model, signature, method="Predict", protocol=protocol, code=code, seconds=seconds
    )


def test_requests_are_counted_by_what_they_were(metrics):
    for protocol in (GRPC, REST, REST):
        answered(metrics, protocol=protocol)
    answered(metrics, signature="metadata", code="NOT_FOUND")
    where = {"model": "face", "signature": "serving_default", "method": "Predict"}
    assert samples(metrics, "requests_total") == {
        labels(**where, protocol="grpc", code="OK"): 1,
        labels(**where, protocol="rest", code="OK"): 2,
        labels(**{**where, "signature": "metadata"}, protocol="grpc", code="NOT_FOUND"): 1,
    }
    assert samples(metrics, "request_seconds_count") == {
        labels(**where, protocol="grpc"): 1,
        labels(**where, protocol="rest"): 2,
    }
    assert sum(samples(metrics, "request_seconds_sum").values()) == pytest.approx(0.09)


def test_names_that_clients_make_up_make_no_labels(metrics):
    for k in range(100):
        answered(metrics, model=f"m{k}", code="NOT_FOUND")
        answered(metrics, signature=f"s{k}", code="FAILED_PRECONDITION")
    counted = samples(metrics, "requests_total")
    assert sorted(counted.values()) == [100, 100]
    assert {dict(key)["signature"] for key in counted} == {OTHER}


def test_batches_queue_and_loads_are_told(metrics):
    for size in (1, 8, 8):
        metrics.batch("face", "", size)
    metrics.queue_depth("face", "", 5)
    metrics.queue_depth("face", "", 2)
    where = {"model": "face", "signature": "serving_default"}
    assert samples(metrics, "batch_size_sum") == {labels(**where): 17}
    assert samples(metrics, "batch_size_bucket")[labels(**where, le="4.0")] == 1
    assert samples(metrics, "queue_depth") == {labels(**where): 2}
    assert samples(metrics, "model_load_seconds") == {labels(model="face", version="3"): 2.5}
    assert b"process_resident_memory_bytes" in metrics.text()


def test_two_servers_share_nothing(metrics):
    answered(metrics)
    assert samples(PrometheusMetrics(), "requests_total") == {}


def test_loads_are_measured(tmp_path):
    reported = []

    class Reports(Metrics):
        def model_loaded(self, model, version, *, seconds, signatures):
            reported.append((model, version, seconds >= 0, list(signatures)))

    loaded = types.SimpleNamespace(signatures={"serving_default": None})
    load = measured(lambda path: loaded, Reports(), "face")
    assert load(tmp_path / "7") is loaded and load(pathlib.Path("one_model")) is loaded
    signatures = ["serving_default"]
    assert reported == [("face", 7, True, signatures), ("face", 1, True, signatures)]
