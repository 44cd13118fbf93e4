"""Training on two devices in mixed precision learns, and learns what one device learns."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = pathlib.Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "tests/helpers/two_devices.py"


def test_two_devices_learn_in_mixed_precision_what_one_device_learns(tmp_path):
    """In a process of its own, because devices are set up before anything else."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, SCRIPT, tmp_path, "mixed_bfloat16"]
    subprocess.run(command, check=True, env=environment)
    result = json.loads((tmp_path / "result.json").read_text())
    one, two = (result[f"mixed_bfloat16-{name}"] for name in ("none", "mirrored"))
    assert (one["copies"], two["copies"]) == ([1], [2])
    assert two["copies_differ_by"] == 0.0
    assert two["losses"][-1] < 0.8 * two["losses"][0]
    assert two["losses"][0] == pytest.approx(one["losses"][0], rel=0.01)
    assert two["losses"] == pytest.approx(one["losses"], rel=0.05)
    difference, size = result["mixed_bfloat16 differs by"]
    assert difference < 0.15 * size
