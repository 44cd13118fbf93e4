"""Certificates and tokens: what is accepted, refused, and read again."""

import logging
import os

import pytest
from certificates import write_certificates

from serving.server.security import SecurityFileError, TlsFiles, Tokens, WatchedFiles

TOKENS = ["0123456789abcdef", "fedcba9876543210-new"]


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "tokens"
    path.write_text(f"# two while the first is replaced\n{TOKENS[0]}\n\n  {TOKENS[1]}\n")
    return path


@pytest.mark.parametrize("token", TOKENS)
def test_each_token_of_the_file_is_accepted(token_file, token):
    tokens = Tokens(token_file)
    for value in (f"Bearer {token}", f"bearer  {token}".encode()):
        assert tokens.accept(value)


REFUSED = [
    None, "", "Bearer", "Bearer ", TOKENS[0], f"Basic {TOKENS[0]}", f"Bearer {TOKENS[0]}x",
    f"Bearer {TOKENS[0][:-1]}", "Bearer #", "Bearer # two while the first is replaced",
    b"Bearer \xff", "Bearer \udcff", f"Bearer {TOKENS[0]} {TOKENS[1]}",
]  # fmt: skip


@pytest.mark.parametrize("value", REFUSED)
def test_anything_else_is_refused(token_file, value):
    assert not Tokens(token_file).accept(value)


@pytest.mark.parametrize(
    "content", ["", "# none\n", "short\n", "with a space inside it\n", "ä" * 20]
)
def test_a_file_without_good_tokens_is_named(tmp_path, content):
    path = tmp_path / "tokens"
    with pytest.raises(SecurityFileError, match=f"{path}: cannot be read"):
        Tokens(path)
    path.write_text(content)
    with pytest.raises(SecurityFileError) as caught:
        Tokens(path)
    assert str(caught.value).startswith(f"{path}: ") and len(str(caught.value).splitlines()) == 1


def replace(path, content):
    """As Kubernetes and careful people do: another file takes the name."""
    new = path.with_name("new")
    new.write_bytes(content if isinstance(content, bytes) else content.encode())
    os.replace(new, path)


def test_a_changed_token_file_is_read_again(token_file, caplog):
    tokens = Tokens(token_file)
    replace(token_file, "another-token-of-mine")
    assert tokens.accept("Bearer another-token-of-mine")
    assert not tokens.accept(f"Bearer {TOKENS[0]}")
    caplog.set_level(logging.ERROR)
    for broken in ("", "short"):
        replace(token_file, broken)
        assert tokens.accept("Bearer another-token-of-mine")
    token_file.unlink()
    assert tokens.accept("Bearer another-token-of-mine")
    assert len(caplog.records) == 3  # one for each change
    assert "another-token-of-mine" not in caplog.text


def test_files_are_read_only_when_they_change(tmp_path):
    path, reads = tmp_path / "file", []
    path.write_text("1")
    watched = WatchedFiles([path], lambda: reads.append(path.read_text()) or len(reads))
    assert [watched.current() for _ in range(3)] == [1, 1, 1]
    replace(path, "2")
    assert [watched.current() for _ in range(2)] == [2, 2]
    assert reads == ["1", "2"]


def test_certificates_are_read_and_keys_not_shown(tmp_path):
    files = write_certificates(tmp_path)
    found = TlsFiles(files.chain, files.key, files.ca).read()
    contents = [path.read_bytes() for path in (files.chain, files.key, files.ca)]
    assert [found.chain, found.key, found.client_authorities] == contents
    assert TlsFiles(files.chain, files.key).read().client_authorities is None
    assert "PRIVATE KEY" not in repr(found)


@pytest.mark.parametrize("wrong", ["missing chain", "no pem", "key of another", "no authorities"])
def test_wrong_files_are_named(tmp_path, wrong):
    first = write_certificates(tmp_path)
    chain, key, other = first.chain, first.key, tmp_path / "other"
    other.mkdir()
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    files, named = {
        "missing chain": (TlsFiles(tmp_path / "x.pem", key), tmp_path / "x.pem"),
        "no pem": (TlsFiles(chain, junk), junk),
        "key of another": (TlsFiles(chain, write_certificates(other).key), chain),
        "no authorities": (TlsFiles(chain, key, junk), junk),
    }[wrong]
    with pytest.raises(SecurityFileError) as caught:
        files.read()
    assert str(named) in str(caught.value) and len(str(caught.value).splitlines()) == 1
