"""The real pipeline, compiled for Kubeflow and run step by step from the compiled file."""

import pathlib
import re
import subprocess
import sys

import pytest
import tensorflow as tf
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]

TINY = {
    "data": {
        "face_model": "tiny",
        "train": 16,
        "eval": 8,
        "test": 8,
        "image_size": 64,
        "shard_samples": 8,
    },
    "trainer": {"samples": 16, "batch_size": 8, "size": 32, "init": "none", "iterations": 2},
    "evaluator": {"max_error_mm": 1000.0},
    "infra_validator": {"requests": 1},
}


def run(module, *options):
    words = [sys.executable, "-m", module, *map(str, options)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=3000)


@pytest.mark.slow
@pytest.mark.e2e
def test_the_compiled_pipeline_runs(tmp_path):
    """All steps, with inputs as open-source KFP gives them; then once more, from the cache."""
    config, file = tmp_path / "tiny.yaml", tmp_path / "pipeline.yaml"
    config.write_text(yaml.safe_dump(TINY))
    options = ["--profile", "small", "--config", config, "--here", tmp_path, "-o", file]
    compiled = run("kubeflow.compile", "--image", "none", *options)
    assert compiled.returncode == 0, compiled.stderr

    first = run("kubeflow.run_ir_locally", file, "--root", tmp_path / "run", "--retries", 0)
    assert first.returncode == 0, first.stdout + first.stderr
    steps = re.findall(r"^ran +(\w+)", first.stdout, re.MULTILINE)
    assert {"FaceExampleGen", "Trainer", "Evaluator", "FacePusher"} <= set(steps)

    [version] = (tmp_path / "serving/facerelief").iterdir()
    served = tf.saved_model.load(str(version))
    assert {"serving_default", "encoded", "examples", "metadata"} <= set(served.signatures)

    second = run("kubeflow.run_ir_locally", file, "--root", tmp_path / "run")
    assert second.returncode == 0, second.stderr
    assert re.findall(r"^cached +(\w+)", second.stdout, re.MULTILINE) == steps
