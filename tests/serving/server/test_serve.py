"""The server as a process: how it starts, versions that come and go under load, and how it ends."""

import signal
import socket
import subprocess
import sys
import threading

import grpc
import pytest
from model_servers import (
    KINDS,
    NAME,
    ROOT,
    add_version,
    arrays_of,
    face_landmarks,
    pictures,
    predict_request,
    running,
    wait_until,
    with_warm_up,
)
from typer.testing import CliRunner

from facemodel.morphable.model import MorphableModel
from pipeline.cli import make_app
from pipeline.inference.serve import batching_from, read_labels
from serving.server.server import ModelServer, ServerStartError, check_port
from serving.server.settings import ServerSettings

TINY = MorphableModel.tiny()
FACE = {"image": pictures(), "landmarks": face_landmarks(TINY)}
CODE = grpc.StatusCode


def test_labels_are_read():
    assert read_labels(["stable=1", "canary=20"]) == {"stable": 1, "canary": 20}
    for text in ("stable", "=1", "stable=x", "stable=-1"):
        with pytest.raises(ValueError, match="NAME=VERSION"):
            read_labels([text])


def row_limit(*, batching_file=None, enabled=True, max_rows=None):
    batching = batching_from(enabled=enabled, file=batching_file, max_rows=max_rows)
    return ServerSettings(batching=batching, max_rows=max_rows).row_limit, batching


def test_the_most_rows_of_requests_and_of_batches_do_not_contradict_each_other(tmp_path):
    file = tmp_path / "batching_parameters.txt"
    file.write_text("max_batch_size { value: 600 }")
    assert row_limit(batching_file=file)[0] == 600
    assert row_limit(batching_file=file, max_rows=5)[0] == 5
    file.write_text("")
    assert row_limit(batching_file=file)[0] == 1000  # as for TensorFlow Serving
    assert row_limit(enabled=False) == (256, None)
    for max_rows, expected in ((None, 256), (2000, 2000)):
        limit, batching = row_limit(max_rows=max_rows)
        assert limit == batching.max_batch_size == expected


def test_ports_that_cannot_be_had_are_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerStartError, match=f"port {port} of 127.0.0.1 is in use"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", 0)
    with pytest.raises(ServerStartError, match="port 80 of 203.0.113.5"):
        check_port("203.0.113.5", 80)


def test_two_servers_do_not_share_a_port(tiny_versions):
    first = ModelServer(tiny_versions[0], name=NAME)
    first.start()
    second = ModelServer(tiny_versions[0], name=NAME, port=first.port)
    try:
        with pytest.raises(ServerStartError, match=str(first.port)):
            second.start()
    finally:
        second.stop()
        first.stop()


@pytest.mark.parametrize("problem", ["missing", "empty", "broken"])
def test_a_server_without_a_model_does_not_start(tmp_path, problem, caplog):
    if problem == "broken":
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "saved_model.pb").write_text("damaged")
    folder = tmp_path / "missing" if problem == "missing" else tmp_path
    server = ModelServer(folder)
    with pytest.raises(ServerStartError, match=str(folder)) as caught:
        server.start()
    server.stop()
    said = [record.message for record in caplog.records] + [str(caught.value)]
    assert " ".join(said).count("could not be found in SavedModel") == (problem == "broken")


def test_a_server_wants_a_name():
    done = CliRunner().invoke(make_app(), ["serve", "--name", "", "--port", "0"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["error: --name: should not be empty"]


class Load:
    """Threads that send requests until they are stopped; notes versions and errors."""

    def __init__(self, server, threads=2):
        self.seen, self.errors, self._stop = [[] for _ in range(threads)], [], threading.Event()
        self._server = server
        self._threads = [threading.Thread(target=self._send, args=(seen,)) for seen in self.seen]

    def _send(self, seen):
        request = predict_request(FACE, outputs=["coefficients"])
        while not self._stop.is_set() and len(seen) < 20_000:
            try:
                response = self._server.stubs.predict(request, timeout=60)
                seen.append(response.model_spec.version.value)
            except grpc.RpcError as error:
                self.errors.append((error.code(), error.details()))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.serving
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_version_takes_over_under_load_without_an_error(kind, tiny_versions, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    add_version(folder, tiny_versions[0], 1)
    with running(kind, folder, tmp_path) as server:
        with Load(server) as load:
            wait_until(lambda: all(load.seen) or load.errors, "first answers")
            path = with_warm_up(tiny_versions[1], tmp_path, [predict_request(FACE)])
            path.rename(folder / "2")
            wait_until(lambda: all(seen[-1] == 2 for seen in load.seen) or load.errors, "the swap")
            wait_until(lambda: server.stubs.states()[1][0] == "END", "the end of version 1")
        assert load.errors == []
        for seen in load.seen:
            assert seen == sorted(seen) and set(seen) == {1, 2}
        assert server.stubs.states() == {1: ("END", 0), 2: ("AVAILABLE", 0)}


@pytest.mark.slow
@pytest.mark.serving
def test_versions_that_do_not_work_are_passed_over(tiny_versions, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    add_version(folder, tiny_versions[0], 1)
    broken = add_version(folder, tiny_versions[0], 5)
    next(broken.glob("variables/*.data*")).write_bytes(b"damaged")
    with running("facerelief", folder, tmp_path) as server:
        assert server.stubs.states()[5][0] == "END" and server.stubs.states()[5][1] != 0
        (folder / "6").mkdir()
        (folder / "6" / "variables").mkdir()
        wrong = predict_request({**FACE, "landmarks": FACE["landmarks"][:, :68]})
        with_warm_up(tiny_versions[1], tmp_path, [wrong]).rename(folder / "7")
        wait_until(lambda: 7 in server.stubs.states(), "a look at version 7", lambda: server.log)
        wait_until(lambda: server.stubs.states()[7][0] == "END", "the end of version 7")
        assert server.stubs.states()[7][1] == CODE.INVALID_ARGUMENT.value[0]
        assert 6 not in server.stubs.states()
        response = server.stubs.predict(predict_request(FACE), timeout=60)
        assert response.model_spec.version.value == 1
        assert f"{folder / '7'}: not loaded" in server.log


@pytest.mark.serving
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_signal_ends_the_server_when_its_requests_are_done(number, tiny_versions, tmp_path):
    count = 64
    batch = {"image": pictures(count), "landmarks": face_landmarks(TINY, count)}
    request = predict_request(batch, outputs=["coefficients"])
    with running("facerelief", tiny_versions[0], tmp_path) as server:
        calls = [server.stubs.predict.future(request, timeout=120) for _ in range(8)]
        wait_until(lambda: any(call.done() for call in calls), "the first answer")
        server.process.send_signal(number)
        unfinished = [call for call in calls if not call.done()]
        for call in calls:
            assert arrays_of(call.result())["coefficients"].shape == (count, TINY.coefficient_count)
        assert server.process.wait(60) == 0
        assert unfinished, "all were done before the signal: use larger batches"
        with pytest.raises(grpc.RpcError) as caught:
            server.stubs.predict(request, timeout=60)
        assert caught.value.code() is CODE.UNAVAILABLE
        assert "Traceback" not in server.log


@pytest.mark.serving
def test_a_port_in_use_is_one_sentence(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "pipeline.cli", "serve", "--port", port]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"error: port {port} of 127.0.0.1 is in use; choose another, or 0 for a free one"
    ]
