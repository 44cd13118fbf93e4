"""The KServe example: KServe's own fields by name, what it passes on by Kubernetes' schema."""

import pathlib

import pytest
import test_manifests
import typer.main
import yaml
from test_manifests import by_kind, read

from pipeline.cli import make_app
from serving.server.batching_parameters import read_batching_parameters

EXAMPLE = test_manifests.MANIFESTS / "kserve-example.yaml"
OF_PREDICTOR = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "model"}
OF_MODEL = {"modelFormat", "runtimeVersion", "protocolVersion", "storageUri"}
"""Fields of KServe 0.14 (v1beta1 PredictorSpec, ModelSpec) that are none of a pod or container."""


def services():
    return [one for one in read(EXAMPLE) if one["kind"] == "InferenceService"]


def pod_of(service):
    """The pod that KServe makes of a predictor, as far as the example says it."""
    predictor = dict(service["spec"]["predictor"])
    container = dict(predictor.get("model", {}))
    spec = {key: value for key, value in predictor.items() if key not in OF_PREDICTOR}
    if container:
        left = {key: value for key, value in container.items() if key not in OF_MODEL}
        spec["containers"] = [{"name": "kserve-container", "image": "x:1", **left}]
    annotations = service["metadata"].get("annotations", {})
    metadata = {"name": "pod", "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def own():
    return services()[1]["spec"]["predictor"]


def test_what_kserve_passes_on_is_valid():
    assert [one["apiVersion"] for one in services()] == ["serving.kserve.io/v1beta1"] * 2
    for service in services():
        assert set(service) == {"apiVersion", "kind", "metadata", "spec"}
        assert set(service["spec"]) == {"predictor"}
        test_manifests.validate(pod_of(service))
    test_manifests.validate(by_kind(read(EXAMPLE), "ConfigMap"))


def test_a_field_of_nobody_is_seen():
    service = services()[1]
    service["spec"]["predictor"]["scaleTargets"] = 3
    with pytest.raises(test_manifests.kubernetes_validate.ValidationError, match="scaleTargets"):
        test_manifests.validate(pod_of(service))


def test_its_options_are_those_of_the_server():
    [container] = own()["containers"]
    command, *words = container["args"]
    serve = typer.main.get_command(make_app()).commands[command]
    options = dict(word.removeprefix("--").partition("=")[::2] for word in words)
    known = {name for option in serve.params for name in option.opts}
    assert {f"--{name}" for name in options} <= known
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    assert (ports["grpc"], ports["http1"]) == (options["port"], options["rest-port"])
    mounted = {one["mountPath"] for one in container["volumeMounts"]}
    files = ("model", "tls-cert", "tls-key", "token-file", "batching-parameters-file")
    assert all(str(pathlib.PurePosixPath(options[name]).parent) in mounted for name in files)
    assert {one["name"] for one in container["volumeMounts"]} == {
        v["name"] for v in own()["volumes"]
    }


def test_probes_and_metrics_are_where_the_server_has_them():
    from serving.server.rest import HEALTH_PATH, METRICS_PATH

    [container] = own()["containers"]
    annotations = services()[1]["metadata"]["annotations"]
    assert annotations["prometheus.io/path"] == METRICS_PATH
    assert annotations["prometheus.io/port"] == "8501"
    for probe in ("startupProbe", "readinessProbe"):
        get = container[probe]["httpGet"]
        assert (get["path"], get["port"], get["scheme"]) == (HEALTH_PATH, 8501, "HTTPS")
    # REST says 503 to more connections than it takes, which is no reason to kill a pod.
    [grpc] = [port["containerPort"] for port in container["ports"] if port["name"] == "grpc"]
    assert container["livenessProbe"]["tcpSocket"] == {"port": grpc}
    assert "httpGet" not in container["livenessProbe"]


def test_its_batching_parameters_can_be_read(tmp_path):
    config = by_kind(read(EXAMPLE), "ConfigMap")
    [(name, text)] = config["data"].items()
    (tmp_path / name).write_text(text)
    assert read_batching_parameters(tmp_path / name).max_batch_size == 16
    [volume] = [v for v in own()["volumes"] if "configMap" in v]
    assert volume["configMap"]["name"] == config["metadata"]["name"]


def test_it_is_yaml_that_kubectl_reads_alike():
    """0440 is octal for Kubernetes' reader and for this one."""
    modes = [v["secret"]["defaultMode"] for v in own()["volumes"] if "secret" in v]
    assert modes == [0o440] * 2 == [yaml.safe_load("0440")] * 2
