"""A model server as a process, while something is asked of it; it ends with this process."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_service_pb2_grpc,
    prediction_service_pb2_grpc,
)

from components.deployment.child_process import die_with_parent, log_tail
from facemodel.config import ConfigError

SERVER_VARIABLE = "TF_SERVING_BIN"
_STOP_SECONDS = 20.0
_TRANSIENT = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Ends that no model brings about: memory that ran out, a machine that shuts down."""


class ServerError(RuntimeError):
    """A model server that ends by itself, or does not answer as it should: the model's fault."""


class ServerBusy(RuntimeError):
    """A model server that was late, killed or without its port: says nothing of the model."""


def server_binary() -> str | None:
    """The program that SERVER_VARIABLE names; None if it is empty or not set.

    Raises:
      ConfigError: if there is no such program.
    """
    binary = os.environ.get(SERVER_VARIABLE)
    if binary and not shutil.which(binary):
        raise ConfigError(SERVER_VARIABLE, f"should name a program, and {binary!r} is none")
    return binary or None


def server_label() -> str:
    """Name of the server for the cache: the program of SERVER_VARIABLE, or this project's."""
    return os.environ.get(SERVER_VARIABLE) or "facerelief serve"


def server_command(base: str, *, name: str, port: int) -> list[str]:
    """How to start the server on the loopback address.

    Args:
      base: folder of the model's versions.
      name: Name of the served model.
      port: Port for gRPC.

    Raises:
      ConfigError: as server_binary.
    """
    if binary := server_binary():
        return [
            binary,
            f"--port={port}",
            f"--model_name={name}",
            f"--model_base_path={os.path.abspath(base)}",
        ]
    options = ["--model", base, "--name", name, "--port", str(port)]
    return [sys.executable, "-m", "pipeline.cli", "serve", *options]


@contextlib.contextmanager
def running_server(
    base: str, *, name: str, start_seconds: float
) -> Iterator[prediction_service_pb2_grpc.PredictionServiceStub]:
    """Starts a server, waits until it serves the model, and ends it after the body.

    Args:
      base: folder of the model's versions.
      name: Name of the served model.
      start_seconds: Time to wait at most, s.

    Yields:
      A stub of its prediction service.

    Raises:
      ServerError: if the server ends, or an error of gRPC's or such in the body says that the model
        is to blame; with the end of the server's log.
      ServerBusy: if it is not ready, or does not answer, in time; if it is killed, or another
        program has its port.
    """
    port = _free_port()
    with tempfile.NamedTemporaryFile() as log:
        command = die_with_parent(server_command(base, name=name, port=port))
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            options = [("grpc.max_receive_message_length", -1), ("grpc.enable_http_proxy", 0)]
            with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
                _wait(process, channel, name, time.monotonic() + start_seconds)
                yield prediction_service_pb2_grpc.PredictionServiceStub(channel)
        except (grpc.RpcError, ServerError, ServerBusy) as error:
            kind = ServerBusy if _excused(error, process.poll(), port) else ServerError
            raise kind(
                f"{_describe(error)}; the server's log ends:\n{log_tail(log.name)}"
            ) from None
        finally:
            _end(process)


def _excused(error: Exception, status: int | None, port: int) -> bool:
    """Whether the model is not to blame for an error.

    Args:
      error: about the server.
      status: Return code of its process, as Popen has it; None while it runs.
      port: Port that it was to listen on.
    """
    if status is None:
        late = isinstance(error, grpc.Call) and error.code() in _TRANSIENT
        return late or isinstance(error, ServerBusy)
    number = -status if status < 0 else status - 128  # a shell adds 128
    return number in _FROM_OUTSIDE or _taken(port)


def _taken(port: int) -> bool:
    """Whether a program has a port that the server, which has ended, does not have any more."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _describe(error: Exception) -> str:
    if isinstance(error, grpc.Call):
        return f"{error.code().name}: {error.details()}"
    return str(error)


def _wait(process, channel, name: str, deadline: float) -> None:
    """Returns when a version is available."""
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise ServerError(f"the server ended with exit code {process.returncode}")
        with contextlib.suppress(grpc.RpcError):
            response = stub.GetModelStatus(request, timeout=5.0)
            if any(status.state == available for status in response.model_version_status):
                return
        time.sleep(0.25)
    raise ServerBusy("the server was not ready in time")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _end(process) -> None:
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
