"""A model server as a process: which of its ends are the model's fault."""

import socket

import pytest

from components.deployment import server_process
from components.deployment.server_process import (
    SERVER_VARIABLE,
    ServerBusy,
    ServerError,
    running_server,
)


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Makes the server a shell's script."""

    def use(script):
        program = tmp_path / "server"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv(SERVER_VARIABLE, str(program))

    return use


def end_of(folder):
    """The error of a server that ends before it is ready."""
    with (
        pytest.raises((ServerBusy, ServerError)) as caught,
        running_server(str(folder), name="tiny", start_seconds=30.0),
    ):
        pytest.fail("it cannot be ready")
    return caught.value


@pytest.mark.parametrize("script", ["kill -KILL $$", "/bin/sh -c 'kill -KILL $$'; exit $?"])
def test_a_server_that_is_killed_says_nothing_of_the_model(server, tmp_path, script):
    server(script)
    assert isinstance(end_of(tmp_path), ServerBusy)


@pytest.mark.parametrize("script", ["exit 1", "kill -ABRT $$", "kill -SEGV $$"])
def test_a_server_that_ends_or_crashes_by_itself_is_the_models_fault(server, tmp_path, script):
    server(script)
    error = end_of(tmp_path)
    assert isinstance(error, ServerError) and "the server ended with exit code" in str(error)


@pytest.mark.slow
def test_a_server_whose_port_is_taken_says_nothing_of_the_model(server, tmp_path, monkeypatch):
    server("exit 1")
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr(server_process, "_free_port", lambda: other.getsockname()[1])
        assert isinstance(end_of(tmp_path), ServerBusy)
