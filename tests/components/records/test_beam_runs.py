"""Where Beam's servers listen, and how its workers reach them."""

import os

import pytest

from components.records.beam_runs import PROXY_EXEMPTIONS, spare_loopback_from_proxies


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "localhost,127.0.0.1,::1"),
        ({"no_proxy": "intern.example"}, "intern.example,localhost,127.0.0.1,::1"),
        ({"no_grpc_proxy": "a,localhost", "no_proxy": "b"}, "a,localhost,127.0.0.1,::1"),
    ],
)
def test_loopback_is_exempt_from_proxies_besides_what_was(monkeypatch, before, after):
    for name in ("no_grpc_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("no_grpc_proxy", before.get("no_grpc_proxy", ""))
    spare_loopback_from_proxies()
    spare_loopback_from_proxies()

    assert os.environ[PROXY_EXEMPTIONS[0]] == after
