"""Model servers as processes, and requests to them; see the fixtures in conftest.py.

TF_SERVING_BIN names a tensorflow_model_server; the same tests then run against it, too.
"""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import grpc
import numpy as np
import tensorflow as tf
from grpc_health.v1 import health_pb2_grpc
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from components.deployment import warmup_requests
from facemodel.morphable import landmarks
from facemodel.morphable.geometry import FaceGeometry
from facemodel.network.regressor import IterativeRegressor, build_network
from facemodel.saved_model import export, metadata

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("TF_SERVING_BIN")
KINDS = ["facerelief", *(["tensorflow_model_server"] if BINARY else [])]
NAME = "tiny"
PATIENCE_S = 180


class Stubs:
    """What a client of a server calls."""

    def __init__(self, address):
        options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
        self.channel = grpc.insecure_channel(address, options=options)
        prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.predict, self.metadata = prediction.Predict, prediction.GetModelMetadata
        self.classify = prediction.Classify
        models = model_service_pb2_grpc.ModelServiceStub(self.channel)
        self.status, self.reload = models.GetModelStatus, models.HandleReloadConfigRequest
        self.health = health_pb2_grpc.HealthStub(self.channel).Check

    def states(self, name=NAME):
        """State name and error code of each version."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        statuses = self.status(request, timeout=PATIENCE_S).model_version_status
        names = get_model_status_pb2.ModelVersionStatus.State
        return {s.version: (names.Name(s.state), s.status.error_code) for s in statuses}


class Server:
    """A server process that has begun to serve."""

    def __init__(self, kind, process, address, log):
        self.kind, self.process, self.address, self._log = kind, process, address, log
        self.stubs = Stubs(address)

    @property
    def log(self):
        return self._log.read_text()


def wait_until(true, what, log=lambda: ""):
    """Returns once a function is true; fails when it takes far too long."""
    ends = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < ends, f"{what} did not come about\n{log()}"
        time.sleep(0.05)


@contextlib.contextmanager
def running(kind, folder, work, *, labels=(), port=0, options=()):
    """Starts a server on the loopback address (a free port if 0) and ends it.

    options are more words for it.
    """
    log, out = work / "server.log", work / "server.out"
    command, port = _command(kind, folder, work, dict(labels), port)
    command += map(str, options)
    with log.open("w") as errors, out.open("w") as printed:
        process = subprocess.Popen(command, cwd=ROOT, stdout=printed, stderr=errors)
    try:
        wait_until(
            lambda: process.poll() is not None or _is_up(kind, out, port), "serving", log.read_text
        )
        assert process.poll() is None, log.read_text()
        port = port or int(out.read_text().rpartition(":")[2])
        server = Server(kind, process, f"127.0.0.1:{port}", log)
        yield server
        server.stubs.channel.close()
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


@contextlib.contextmanager
def rest_running(folder, work, *options):
    """Starts `facerelief serve` with REST; gives its HOST:PORT, and ends it."""
    log, out = work / "server.log", work / "server.out"
    command = [sys.executable, "-m", "pipeline.cli", "serve", "--model", folder, "--port", "0"]
    with log.open("w") as errors, out.open("w") as printed:
        process = subprocess.Popen(
            [*command, "--rest-port", "0", *options], cwd=ROOT, stdout=printed, stderr=errors
        )
    try:
        wait_until(
            lambda: process.poll() is not None or _is_up("facerelief", out, 0),
            "serving",
            log.read_text,
        )
        assert process.poll() is None, log.read_text()
        yield out.read_text().splitlines()[0].split()[-1]
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def _command(kind, folder, work, labels, wanted):
    if kind == "facerelief":
        command = [sys.executable, "-m", "pipeline.cli", "serve", "--port", str(wanted)]
        command += ["--name", NAME, "--poll-seconds", "0.2"]
        command += ["--model", folder] if folder else []
        return [*command, *(f"--label={name}={number}" for name, number in labels.items())], None
    pairs = " ".join(f'version_labels {{ key: "{k}" value: {v} }}' for k, v in labels.items())
    config = work / "models.config"
    config.write_text(
        f'model_config_list {{ config {{ name: "{NAME}" base_path: "{folder}" '
        f'model_platform: "tensorflow" {pairs} }} }}'
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    flags = {
        "port": port,
        "model_config_file": config,
        "allow_version_labels_for_unavailable_models": "true",
        "enable_grpc_healthcheck_service": "true",
        "file_system_poll_wait_seconds": 1,
    }
    return [BINARY, *(f"--{flag}={value}" for flag, value in flags.items())], port


def _is_up(kind, out, port):
    if kind == "facerelief":
        return out.read_text().endswith("\n")
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def add_version(folder, source, number):
    """Copies a SavedModel under a temporary name, then renames it."""
    temporary = folder / f".{number}.tmp"
    shutil.copytree(source, temporary)
    temporary.rename(folder / str(number))
    return folder / str(number)


def with_warm_up(source, folder, requests):
    """A copy of a SavedModel in folder/9 that has warm-up requests."""
    path = add_version(folder, source, 9)
    warmup_requests.write_requests(path, requests)
    return path


def export_tiny(model, folder, *, version):
    """A small SavedModel: no iteration, so that the landmark fit is the answer."""
    regressor = IterativeRegressor(
        FaceGeometry.create(model), build_network(model.coefficient_count), iterations=0
    )
    noise_mm = 0.5 * version  # versions differ in their answers
    config = metadata.ExportConfig(start="landmark_fit", landmark_noise_mm=noise_mm)
    return export.export_saved_model(model, regressor, folder, config=config, version=version)


def face_landmarks(model, count=1):
    """float32 [count, 478, 2] px of faces in pictures of 128 x 128 px."""
    at = (model.triangles, model.landmark_triangles, model.landmark_barycentric)
    vertices = model.vertices(np.linspace(-1, 1, model.coefficient_count, dtype=np.float32))
    frontal = np.asarray(landmarks.embedded_points(vertices, *at))[:, :2] * (0.5, -0.5) + 64
    return np.repeat(frontal[None].astype(np.float32), count, 0)


def pictures(count=1):
    """uint8 [count, 128, 128, 3]."""
    return np.random.default_rng(3).integers(0, 256, (count, 128, 128, 3), dtype=np.uint8)


def predict_request(inputs, *, signature="", name=NAME, version=None, label=None, outputs=()):
    request = predict_pb2.PredictRequest(output_filter=outputs)
    fill_spec(request.model_spec, name=name, signature=signature, version=version, label=label)
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    return request


def metadata_request(*fields, **spec):
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
    fill_spec(request.model_spec, **spec)
    return request


def fill_spec(spec, *, name=NAME, signature="", version=None, label=None):
    spec.name, spec.signature_name = name, signature
    if version is not None:
        spec.version.value = version
    if label is not None:
        spec.version_label = label


def arrays_of(response):
    return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
