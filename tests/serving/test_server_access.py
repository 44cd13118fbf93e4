"""What a client gives to a server, and what it asks a proxy for."""

import http.server
import logging
import pathlib
import select
import socket
import threading
from concurrent import futures

import grpc
import pytest
from certificates import write_certificates
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from serving.server_access import ServerAccess, is_loopback


def test_a_token_is_read_at_each_call(tmp_path):
    file = tmp_path / "token"
    access = ServerAccess(token_file=file)
    for text, token in (("# mine\n\n one \n", "one"), ("two", "two")):
        file.write_text(text)
        assert access.metadata() == [("authorization", f"Bearer {token}")]
    assert ServerAccess().metadata() == []


@pytest.mark.parametrize("content", [None, "", "# none", "ä"])
def test_a_file_without_a_token_is_named(tmp_path, content):
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=f"^{file}: "):
        ServerAccess(token_file=file).metadata()


def test_files_that_are_no_certificates_are_named(tmp_path):
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    for path in (junk, tmp_path / "missing.pem"):
        with pytest.raises(ValueError, match=f"^{path}: "):
            ServerAccess(authorities=path).channel("127.0.0.1:1", [])


def test_what_does_not_go_together_is_refused():
    some = pathlib.Path("x.pem")
    for fields in ({"certificate": some}, {"key": some}, {"certificate": some, "key": some}):
        with pytest.raises(ValueError, match="certificate"):
            ServerAccess(**fields)


def test_a_token_in_clear_is_warned_about_unless_it_stays_here(tmp_path, caplog):
    files, token = write_certificates(tmp_path), tmp_path / "token"
    token.write_text("x")
    clear, tls = ServerAccess(token_file=token), ServerAccess(files.ca, token_file=token)
    for access, address in ((clear, "127.0.0.1:1"), (tls, "203.0.113.5:1"), (clear, "[::1]:1")):
        access.channel(address, []).close()
    assert caplog.records == []
    with caplog.at_level(logging.WARNING):
        clear.channel("203.0.113.5:1", []).close()
    assert [record.getMessage() for record in caplog.records] == [
        "203.0.113.5:1: the token is sent without encryption"
    ]


def test_loopback_is_known():
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("10.0.0.1", "::2", "localhost.example", "model")))


class Proxy(http.server.BaseHTTPRequestHandler):
    """An HTTP proxy that connects every CONNECT with one port of this machine."""

    target, asked = 0, []

    def do_CONNECT(self):
        self.asked.append(self.path)
        with socket.create_connection(("127.0.0.1", self.target)) as there:
            self.send_response(200)
            self.end_headers()
            ends = [self.connection, there]
            while True:
                for end in select.select(ends, [], [], 60)[0]:
                    data = end.recv(65536)
                    if not data:
                        return
                    ends[1 - ends.index(end)].sendall(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def target():
    """Port of a gRPC server."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(None).wait()


def test_a_proxy_of_the_environment_is_used_but_not_for_this_machine(target, monkeypatch):
    handler = type("Handler", (Proxy,), {"target": target, "asked": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        for name in ("grpc_proxy", "https_proxy", "http_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.server_port}")
        for name in ("no_grpc_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        for address in ("model.example:8500", f"127.0.0.1:{target}"):
            with ServerAccess(keepalive_s=60).channel(address, []) as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=30)
                assert answer.status == health_pb2.HealthCheckResponse.SERVING
        proxy.shutdown()
    assert handler.asked == ["model.example:8500"]
