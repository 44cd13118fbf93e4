"""The command line: it starts light, knows its commands and versions, and the doctor works."""

import itertools
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from facemodel.files import cache_dir
from pipeline import checks, cli, versions
from pipeline.commands.options import CommandError


@pytest.fixture
def run():
    return lambda *words: CliRunner().invoke(cli.make_app(), words, catch_exceptions=False)


def test_help_lists_every_command(run):
    result = run("--help")
    assert result.exit_code == 0
    for name in cli.COMMANDS:
        assert name in result.stdout


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_explains_itself_with_an_example(name, run):
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"facerelief {name}" in " ".join(result.stdout.split())


def test_paragraphs_of_help_are_wrapped_as_wide_as_the_screen(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.strip() for line in run("serve", "--help").stdout.splitlines()]
    begin = next(n for n, line in enumerate(lines) if line.startswith("A newer version"))
    paragraph = lines[begin : lines.index("", begin)]
    for line, following in itertools.pairwise(paragraph):
        assert len(f"{line} {following.split()[0]}") > 78
    assert "Example: facerelief serve --port 8500" in lines


def test_version_names_package_model_and_weights(run):
    result = run("--version")
    assert result.exit_code == 0
    package, model, weights = result.stdout.splitlines()
    assert re.fullmatch(r"facerelief \d+\.\d+\.\d+", package)
    assert re.search(r"sha256 [0-9a-f]{12}", model)
    assert re.search(r"sha256 [0-9a-f]{12}", weights)


def test_unknown_commands_and_missing_arguments_are_errors(run):
    assert run("reconstrct").exit_code == 2
    assert run("reconstruct").exit_code == 2


LIGHT = """
import sys
from pipeline.cli import make_app
make_app()
heavy = {"tensorflow", "keras", "mediapipe", "apache_beam", "tfx", "numpy"}
print(sorted(heavy & set(sys.modules)))
"""


def test_starting_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []


def test_quick_doctor_gives_a_line_for_each_thing(run):
    result = run("doctor", "--quick")
    lines = result.stdout.splitlines()
    states = {line.split()[0] for line in lines}
    assert states <= {"ok", "warn", "fail"}
    assert (result.exit_code != 0) == ("fail" in states)
    for name in ("python", "packages", "face model", "weights", *checks.OPTIONAL_TOOLS):
        assert any(name in line for line in lines)


def test_doctor_reports_what_raises(monkeypatch, tmp_path):
    monkeypatch.setattr(versions, "MODEL_FILE", tmp_path / "missing.npz")
    (failure,) = (check for check in checks.run_all(quick=True) if check.name == "face model")
    assert failure.status is checks.Status.FAIL
    assert "No such file" in failure.message


DOCKER = """#!/bin/sh
[ "$1" = --version ] && echo "Docker version 28.2.2" && exit
{answer}
"""


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        ("echo Docker 28.2.2, daemon 28.2.2", checks.Status.OK, "Docker 28.2.2, daemon 28.2.2"),
        (
            "echo Cannot connect >&2; exit 1",
            checks.Status.WARN,
            "not work (Cannot connect); needed",
        ),
        ("exit 3", checks.Status.WARN, "not work (exit code 3); needed"),
        ("exec sleep 60", checks.Status.WARN, "timed out"),
    ],
)
def test_docker_needs_its_daemon(monkeypatch, tmp_path, answer, status, message):
    (tmp_path / "docker").write_text(DOCKER.format(answer=answer))
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(checks, "TOOL_SECONDS", 2)
    found = checks.check_tool("docker")
    assert found.status is status
    assert message in found.message


def test_version_says_what_is_unusable(monkeypatch, tmp_path):
    (tmp_path / "weights.npz").write_bytes(b"spoiled")
    monkeypatch.setattr(versions, "WEIGHTS_FILE", tmp_path / "weights.npz")
    assert versions.describe()[2].startswith("weights unusable: weights.npz")


def test_pins_are_read_from_a_lock():
    lock = """
# made by a tool
absl-py==1.4.0
    # via something
numpy==1.26.4 \\
    --hash=sha256:abc
colorama==0.4.6 ; sys_platform == 'win32'
tomli==2.0.1 ; python_version < '3.11'
jax[cpu]==0.4.34  # pinned
"""
    assert checks.read_pins(lock) == {
        "absl-py": "1.4.0",
        "numpy": "1.26.4",
        "tomli": "2.0.1",
        "jax": "0.4.34",
    }


class OddError(RuntimeError):
    exit_code = 7


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("a"), 2),
        (OSError("b"), 2),
        (CommandError("c", exit_code=130), 130),
        (OddError("d"), 7),
    ],
)
def test_known_errors_are_one_line_and_an_exit_code(error, code):
    def command():
        raise error

    result = CliRunner().invoke(cli.make_single_app(command), [], catch_exceptions=False)
    assert (result.exit_code, result.stderr) == (code, f"error: {error}\n")


@pytest.mark.parametrize("error", [KeyError("a"), AttributeError("b")])
def test_mistakes_of_the_program_are_not_hidden(error):
    def command():
        raise error

    assert CliRunner().invoke(cli.make_single_app(command), []).exception is error


def run_command(*words, **environment):
    """A command as a process, with changes to the environment."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *words],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_an_unknown_backend_is_one_line():
    done = run_command("doctor", KERAS_BACKEND="torch")
    assert done.returncode == 2
    assert done.stderr == "error: KERAS_BACKEND: should be tensorflow or jax, got 'torch'\n"


KERAS = """
from pipeline.cli import prepare_keras
prepare_keras()
import keras
print(keras.config.backend(), keras.config.floatx())
"""


def test_the_users_own_settings_of_keras_change_nothing(tmp_path):
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras/keras.json").write_text('{"backend": "torch", "floatx": "float64"}')
    changes = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KERAS_")}
    done = subprocess.run(
        [sys.executable, "-c", KERAS], env={**kept, **changes}, capture_output=True, text=True
    )
    assert done.stdout.split() == ["tensorflow", "float32"], done.stderr


def test_users_without_a_home_have_a_cache(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache_dir().name == f"facerelief-{os.getuid()}"
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_dir() == pathlib.Path("/somewhere/facerelief")


def test_the_traceback_of_an_error_is_shown_on_request(tmp_path):
    words = ("rollback", str(tmp_path / "none"))
    plain, verbose = (run_command(*options, *words) for options in ((), ("-v",)))
    assert plain.returncode == verbose.returncode == 2
    assert plain.stderr.startswith("error: ") and plain.stderr.count("\n") == 1
    assert "Traceback (most recent call last)" in verbose.stderr
    assert verbose.stderr.splitlines()[-1] == plain.stderr.rstrip()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["reconstruct", ""], "an argument"),
        (["reconstruct", "photo.jpg", "-o", ""], "-o"),
        (["reconstruct", "photo.jpg", "--server", " "], "--server"),
        (["synthesize", "--out="], "--out"),
        (["pipeline", "--root", ""], "--root"),
        (["runs", ""], "an argument"),
    ],
)
def test_empty_words_are_refused(words, named):
    result = CliRunner().invoke(cli.make_app(), words)
    assert (result.exit_code, result.stderr) == (2, f"error: {named}: should not be empty\n")


WITHOUT_MEMORY = """
import atexit, time
from pipeline import cli
def run(obj):
    atexit.register(time.sleep, 600)  # as native libraries do that had no memory
    raise MemoryError("std::bad_alloc")
cli.make_app = lambda: run
cli.main()
"""


def test_a_command_without_memory_ends_with_one_line():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEMORY], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert done.stderr == "error: not enough memory for this (std::bad_alloc)\n"
