"""TLS and tokens on both ports of a real server, and the command's options for them."""

import contextlib
import pathlib
import ssl

import grpc
import httpx
import numpy as np
import pytest
from certificates import write_certificates
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from model_servers import NAME, face_landmarks, pictures
from typer.testing import CliRunner

from facemodel.morphable.model import MorphableModel
from pipeline.cli import make_app
from serving.client import RemoteModel, RemoteModelError
from serving.server.front import FrontOptions
from serving.server.security import SecurityFileError, TlsFiles
from serving.server.server import ModelServer
from serving.server_access import ServerAccess

FACE = {"image": pictures(), "landmarks": face_landmarks(MorphableModel.tiny())}
TOKEN = "a-token-of-the-tests"
STATUS = f"/v1/models/{NAME}"


@contextlib.contextmanager
def serving(folder, **front):
    server = ModelServer(folder, name=NAME, front=FrontOptions(rest_port=0, **front))
    server.start()
    try:
        yield server
    finally:
        server.stop()


def get(server, path=STATUS, *, ca=None, client=None, **headers):
    """A GET over HTTPS if there is an authority, with a client's certificate if there is one."""
    verify = ssl.create_default_context(cafile=ca) if ca else True
    if client:
        verify.load_cert_chain(client.chain, client.key)
    url = f"{'https' if ca else 'http'}://{server.rest_address}{path}"
    return httpx.get(url, headers=headers, verify=verify, trust_env=False, timeout=60)


@pytest.mark.serving
def test_tls_on_both_ports_follows_its_files(tiny_versions, tmp_path):
    files = write_certificates(tmp_path)
    old = tmp_path / "old.pem"
    old.write_bytes(files.ca.read_bytes())
    with serving(tiny_versions[1], tls=TlsFiles(files.chain, files.key)) as server:
        access = ServerAccess(authorities=files.ca)
        with RemoteModel(server.address, name=NAME, access=access) as remote:
            outputs, _ = remote.run(**FACE)
            assert outputs["vertices"].shape[0] == 1
            write_certificates(tmp_path)  # while a connection is open
            np.testing.assert_array_equal(remote.run(**FACE)[0]["scale"], outputs["scale"])
        assert get(server, ca=files.ca).status_code == 200
        RemoteModel(server.address, name=NAME, access=access).close()
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            get(server, ca=old)
        for wrong in (ServerAccess(authorities=old), ServerAccess()):
            with pytest.raises(RemoteModelError, match="cannot be reached"):
                RemoteModel(server.address, name=NAME, access=wrong, attempts=1)
        files.chain.write_text("junk")  # is logged; the certificate stays
        assert get(server, ca=files.ca).status_code == 200
        RemoteModel(server.address, name=NAME, access=access).close()


@pytest.mark.serving
def test_clients_need_a_certificate_where_the_server_says_so(tiny_versions, tmp_path):
    folders = [tmp_path / name for name in ("server", "client", "stranger")]
    for folder in folders:
        folder.mkdir()
    ours, client, stranger = (write_certificates(folder) for folder in folders)
    with serving(tiny_versions[1], tls=TlsFiles(ours.chain, ours.key, client.ca)) as server:

        def reach(who=None):
            keys = {"certificate": who.chain, "key": who.key} if who else {}
            access = ServerAccess(authorities=ours.ca, **keys)
            RemoteModel(server.address, name=NAME, access=access, attempts=1).close()

        reach(client)
        assert get(server, ca=ours.ca, client=client).status_code == 200
        for other in (None, stranger):
            with pytest.raises(RemoteModelError, match="cannot be reached"):
                reach(other)
            with pytest.raises(httpx.TransportError):
                get(server, ca=ours.ca, client=other)
        write_certificates(folders[1])  # another authority: the old client is out, the new one in
        reach(client)
        assert get(server, ca=ours.ca, client=client).status_code == 200


@pytest.mark.serving
def test_a_token_opens_both_ports(tiny_versions, tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    with serving(tiny_versions[1], token_file=file) as server:
        access = ServerAccess(token_file=file)
        RemoteModel(server.address, name=NAME, access=access).close()
        assert get(server, authorization=f"Bearer {TOKEN}").status_code == 200
        for wrong in ({}, {"authorization": f"Bearer {TOKEN}x"}, {"authorization": TOKEN}):
            for path in (STATUS, "/v1/reconstruct", "/x", "//healthz"):
                answer = get(server, path, **wrong)
                assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
                assert TOKEN not in answer.text
        with pytest.raises(RemoteModelError, match="does not accept the token") as caught:
            RemoteModel(server.address, name=NAME)
        assert caught.value.code is grpc.StatusCode.UNAUTHENTICATED
        for path in ("/healthz", "/monitoring/prometheus/metrics"):
            assert get(server, path).status_code == 200
        check_open_calls(server.address)
        file.write_text("another-token-of-the-tests\n")
        RemoteModel(server.address, name=NAME, access=access).close()
        assert get(server, authorization=f"Bearer {TOKEN}").status_code == 401


def check_open_calls(address):
    """Health answers without a token, reflection and unknown methods do not."""
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        calls = [
            lambda: list(stub.ServerReflectionInfo(iter([request]), timeout=60)),
            lambda: channel.unary_unary("/tensorflow.serving.X/Y")(b"", timeout=60),
        ]
        for call in calls:
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("option", ["token_file", "tls"])
def test_a_server_without_its_files_does_not_start(tmp_path, option):
    missing = tmp_path / "missing"
    value = {"token_file": missing, "tls": TlsFiles(missing, missing)}[option]
    with pytest.raises(SecurityFileError, match=f"{missing}: cannot be read"):
        ModelServer(tmp_path, front=FrontOptions(**{option: value}))


COMBINATIONS = {
    "certificate alone": (["--tls-cert", "x"], "--tls-cert needs --tls-key"),
    "key alone": (["--tls-key", "x"], "--tls-key needs --tls-cert"),
    "clients alone": (["--tls-client-ca", "x"], "--tls-client-ca needs --tls-cert and --tls-key"),
    "photos without REST": (["--reconstruct"], "--reconstruct needs --rest-port"),
    "one port for both": (["--port", "9", "--rest-port", "9"], "should differ, got 9 for both"),
    "no token file": (["--token-file", "/missing/token"], "/missing/token: cannot be read"),
}


@pytest.mark.parametrize("case", COMBINATIONS)
def test_options_that_do_not_go_together_are_one_line(case, monkeypatch):
    options, message = COMBINATIONS[case]
    monkeypatch.setattr("pipeline.inference.serve._log_to_stderr", lambda: None)
    monkeypatch.setattr("pipeline.inference.serve.check_port", lambda host, port: None)
    words = ["serve", "--model", str(pathlib.Path("docs")), "--port", "0", *options]
    done = CliRunner().invoke(make_app(), words)
    assert done.exit_code == 2 and done.stdout == ""
    assert message in done.stderr and len(done.stderr.splitlines()) == 1
