"""The scripts of the object store's helpers, with folders and a stand-in for rclone."""

import os
import pathlib
import re
import subprocess
import time

import pytest
import yaml

from kubeflow import rollout

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "kubeflow/manifests/object-store"
STAND_IN = r"""#!/bin/sh -eu
command=$1; shift
case "$command $1" in
  "lsf --dirs-only") (cd "${2#store:}" && for one in */; do [ ! -d "$one" ] || echo "$one"; done) ;;
  "lsf "*) ls -1 "${1#store:}" ;;
  "copy --exclude") mkdir -p "${4#store:}"; cp -r "$3/." "${4#store:}"; rm -f "${4#store:}/$2" ;;
  *) mkdir -p "${2#store:}"; cp -r "${1#store:}/." "${2#store:}" ;;
esac
"""


def script(file, *path):
    """A container's script in the file's last resource."""
    node = list(yaml.safe_load_all((FOLDER / file).read_text(encoding="utf-8")))[-1]["spec"]
    for key in path:
        node = node[key]
    *_, text = node["command"]
    return text


PUBLISH = script("object-store.yaml", "jobTemplate", "spec", "template", "spec", "containers", 0)
FETCH = script("fetch-models.yaml", "template", "spec", "initContainers", 0)


@pytest.fixture
def run(tmp_path):
    """Runs a script with its folders below tmp_path, one round of it."""
    for name in ("models", "config", "tmp", "bucket/facerelief"):
        (tmp_path / name).mkdir(parents=True)
    program = tmp_path / "bin/rclone"
    program.parent.mkdir()
    program.write_text(STAND_IN, encoding="utf-8")
    program.chmod(0o755)
    path = f"{program.parent}:{os.defpath}"  # sh, sed, find and grep, which every system has there

    def run(text):
        text = re.sub(r"(?<![\w*])/(models|config|tmp)\b", rf"{tmp_path}/\1", text)
        subprocess.run(
            ["/bin/sh", "-euc", text.replace("sleep 30", "exit 0")],
            env={"PATH": path, "STORE_PATH": str(tmp_path / "bucket")},
            check=True,
            timeout=300,
        )

    return run


def put(folder, *versions):
    for version in versions:
        (folder / str(version) / "variables").mkdir(parents=True)
        (folder / str(version) / "saved_model.pb").touch()
        (folder / str(version) / "variables/data").write_text(str(version))


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_publishing_waits_for_the_first_version(run, tmp_path):
    run(PUBLISH)
    assert names(tmp_path / "bucket/facerelief") == set()
    put(tmp_path / "models/facerelief", 3, "withdrawn-2")
    (tmp_path / "models/facerelief/4").mkdir()
    run(PUBLISH)
    assert names(tmp_path / "bucket/facerelief") == {"3"}
    assert names(tmp_path / "bucket/facerelief/3") == {"saved_model.pb", "variables"}


def test_a_server_has_the_versions_that_the_rollout_names(run, tmp_path):
    models = tmp_path / "models/facerelief"

    def name(stable, *keep):
        text = rollout.model_config("facerelief", labels={"stable": stable}, keep=list(keep))
        (tmp_path / "config/models.config").write_text(text)

    put(tmp_path / "bucket/facerelief", 2, 3, 4)
    (tmp_path / "bucket/facerelief/5").mkdir()
    name(3, 4, 5, 77)
    run(FETCH)
    assert names(models) == {"3", "4"} and (tmp_path / "models/.ready").exists()
    assert (models / "3/variables/data").read_text() == "3"
    name(4)
    run(FETCH)
    assert names(models) == {"3", "4"}, "it may still be served"
    hours_ago = time.time() - 2 * 3600
    for version in (3, 4):
        os.utime(tmp_path / f"models/.named/{version}", (hours_ago, hours_ago))
    run(FETCH)
    assert names(models) == {"4"}
    name(3)
    run(FETCH)
    assert names(models) == {"3", "4"}
