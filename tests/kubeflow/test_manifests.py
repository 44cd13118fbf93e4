"""The Kubernetes manifests: valid by Kubernetes' own schemas, and at one with each other."""

import os
import pathlib
import re
import shutil
import subprocess

import kubernetes_validate
import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2
from typer.testing import CliRunner

from kubeflow import compile as kubeflow_compile
from kubeflow import rollout
from pipeline.cli import make_single_app
from pipeline.config import PAPER

MANIFESTS = pathlib.Path(__file__).resolve().parents[2] / "kubeflow" / "manifests"
KUBERNETES = "1.32"
PATCHES = {"claim.yaml", "fetch-models.yaml", "network-policy.yaml"}
"""Files of object-store/ that are no whole resources; they change those of base/."""


def read(path):
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def base_resources():
    names = read(MANIFESTS / "base/kustomization.yaml")[0]["resources"]
    return [resource for name in names for resource in read(MANIFESTS / "base" / name)]


def by_kind(resources, kind, name=None):
    found = [one for one in resources if one["kind"] == kind]
    [one] = [one for one in found if name is None or one["metadata"]["name"] == name]
    return one


def validate(resource):
    kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def pod_specs(resources):
    """Pod specs by resource name."""
    specs = {}
    for one in resources:
        spec = one.get("spec", {})
        if one["kind"] == "CronJob":
            spec = spec["jobTemplate"]["spec"]
        if "template" in spec:
            specs[one["metadata"]["name"]] = spec["template"]["spec"]
    return specs


@pytest.mark.parametrize(
    "path", sorted(MANIFESTS.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_manifests_are_valid(path):
    if path.name == "kustomization.yaml":
        listed = {
            *read(path)[0]["resources"],
            *(p["path"] for p in read(path)[0].get("patches", [])),
        }
        there = {one.name for one in path.parent.glob("*.yaml")} - {path.name}
        assert listed - {"../base"} == there
    elif not (path.parent.name == "object-store" and path.name in PATCHES):
        for resource in read(path):
            validate(resource)


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl, which is not here")
@pytest.mark.parametrize("folder", ["base", "object-store"])
def test_what_kubectl_makes_of_them_is_valid(folder):
    built = subprocess.run(
        ["kubectl", "kustomize", str(MANIFESTS / folder)],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ, "HOME": "/nonexistent"},
    )
    resources = list(yaml.safe_load_all(built.stdout))
    for resource in resources:
        validate(resource)
    assert {one["metadata"].get("namespace", "facerelief") for one in resources} == {"facerelief"}
    assert "Namespace" not in {one["kind"] for one in resources}
    volume = pod_specs(resources)["facerelief-serving"]["volumes"][0]
    assert ("emptyDir" in volume) == (folder == "object-store")


def test_only_a_file_of_its_own_makes_a_namespace():
    """Else kustomize puts its labels, as of Pod Security, on the namespace that is chosen."""
    [namespace] = read(MANIFESTS / "namespace.yaml")
    validate(namespace)
    [chosen] = {
        read(MANIFESTS / folder / "kustomization.yaml")[0]["namespace"]
        for folder in ("base", "object-store")
    }
    assert (namespace["kind"], namespace["metadata"]["name"]) == ("Namespace", chosen)
    made = [*base_resources(), *read(MANIFESTS / "object-store/object-store.yaml")]
    assert "Namespace" not in {one["kind"] for one in made}


def test_the_validator_sees_mistakes():
    deployment = by_kind(base_resources(), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readyProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readyProbe"):
        validate(deployment)


def test_pods_have_limits_and_no_rights():
    resources = [*base_resources(), *read(MANIFESTS / "object-store/object-store.yaml")]
    specs = pod_specs(resources)
    specs["patch"] = pod_specs(read(MANIFESTS / "object-store/fetch-models.yaml"))[
        "facerelief-serving"
    ]
    assert len(specs) == 4
    for name, spec in specs.items():
        containers = [*spec.get("containers", []), *spec.get("initContainers", [])]
        assert containers
        for container in containers:
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}
            assert (
                re.search(r":[\w.-]+$", container["image"]) and "latest" not in container["image"]
            )
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["readOnlyRootFilesystem"] is True
            assert rights["capabilities"] == {"drop": ["ALL"]}
        if name != "patch":
            assert spec["securityContext"]["runAsNonRoot"] is True
            assert spec["securityContext"]["runAsUser"] == 10001
            assert spec["automountServiceAccountToken"] is False


def test_names_agree():
    resources = base_resources()
    deployment = by_kind(resources, "Deployment")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for service in ("facerelief-serving", "facerelief-serving-pods"):
        assert by_kind(resources, "Service", service)["spec"]["selector"] == labels
    for kind in ("PodDisruptionBudget", "Deployment"):
        assert by_kind(resources, kind)["spec"]["selector"]["matchLabels"] == labels
    assert by_kind(resources, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    target = by_kind(resources, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    volumes = deployment["spec"]["template"]["spec"]["volumes"]
    assert volumes[1]["configMap"]["name"] == rollout.CONFIG_MAP
    config_maps = {one["metadata"]["name"] for one in resources if one["kind"] == "ConfigMap"}
    assert rollout.CONFIG_MAP not in config_maps  # rollouts stay
    claims = {
        one["metadata"]["name"] for one in resources if one["kind"] == "PersistentVolumeClaim"
    }
    assert claims == set(kubeflow_compile.StepPaths.cluster(PAPER).claims.values())
    assert volumes[0]["persistentVolumeClaim"]["claimName"] in claims


def test_metrics_are_where_prometheus_is_told_to_look():
    resources = base_resources()
    template = by_kind(resources, "Deployment")["spec"]["template"]
    told = {
        key.removeprefix("prometheus.io/"): value
        for key, value in template["metadata"]["annotations"].items()
    }
    (server,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert told["scrape"] == "true" and int(told["port"]) == ports["http"]
    config = by_kind(resources, "ConfigMap", "facerelief-monitoring")["data"]
    (file,) = [arg for arg in server["args"] if arg.startswith("--monitoring_config_file=")]
    assert f'path: "{told["path"]}"' in config[pathlib.PurePosixPath(file).name]
    mounts = {mount["name"]: mount["mountPath"] for mount in server["volumeMounts"]}
    assert file.startswith(f"--monitoring_config_file={mounts['monitoring']}/")


def test_secrets_are_referred_to_and_nowhere_written():
    files = list(MANIFESTS.rglob("*.yaml"))
    kinds = {resource["kind"] for path in files for resource in read(path)}
    assert "Secret" not in kinds
    text = (MANIFESTS / "object-store/fetch-models.yaml").read_text(encoding="utf-8")
    assert text.count("secretKeyRef") == 2


def config_of(printed):
    """Parses a printed ConfigMap as TensorFlow Serving parses its file."""
    text = yaml.safe_load(printed)["data"]["models.config"]
    parsed = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    [config] = parsed.model_config_list.config
    return config


def run_rollout(*options):
    return CliRunner().invoke(make_single_app(rollout.main), list(options))


def test_a_rollout_loads_and_labels_versions():
    result = run_rollout("--stable", "4", "--canary", "5", "--keep", "3")
    assert result.exit_code == 0
    config = config_of(result.stdout)
    assert list(config.model_version_policy.specific.versions) == [3, 4, 5]
    assert dict(config.version_labels) == {"stable": 4, "canary": 5}
    assert (config.name, config.base_path) == ("facerelief", "/models/facerelief")
    validate(yaml.safe_load(result.stdout))


def test_a_rollback_undoes_a_rollout():
    forth = config_of(run_rollout("--stable", "4", "--keep", "3").stdout)
    back = config_of(run_rollout("--stable", "3", "--keep", "4").stdout)
    assert forth.model_version_policy == back.model_version_policy
    assert [dict(one.version_labels) for one in (forth, back)] == [{"stable": 4}, {"stable": 3}]


@pytest.mark.parametrize("options", [["--stable", "0"], ["--stable", "x"], ["--name", "a b"], []])
def test_a_rollout_of_nothing_is_refused(options):
    if "--name" in options:
        options = ["--stable", "1", *options]
    assert run_rollout(*options).exit_code == 2
