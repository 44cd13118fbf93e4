"""The page's own arithmetic, run by Node.js, gives the vertices and normals of the library."""

import json
import shutil
import subprocess

import numpy as np
import pytest

from facemodel.morphable.mesh import vertex_normals
from serving.web.app import PAGE
from serving.web.arrays import pack_arrays

SOURCE = PAGE.parent / "page_source/src"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed"),
]
SCRIPT = """
import { readFileSync, writeFileSync } from "node:fs";
import { unpack } from "SOURCE/api.js";
import { HeadShape } from "SOURCE/shape.js";
const shape = new HeadShape(unpack(new Uint8Array(readFileSync(process.argv[1])).buffer));
shape.station = 1.25;
shape.edits.set(1, 0.8);
shape.update();
writeFileSync(process.argv[2], JSON.stringify({
  positions: [...shape.positions], normals: [...shape.normals],
  value: shape.value(0), range: shape.range(1), distance: shape.distance(0, 2),
}));
"""


@pytest.fixture(scope="module")
def parts():
    """A small mesh with a seam, three shapes and two sliders."""
    rng = np.random.default_rng(3)
    return {
        "vertices": rng.normal(size=(3, 6, 3)).astype(np.float32),
        "values": rng.normal(size=(3, 2)).astype(np.float32),
        "moves": rng.integers(-32767, 32767, (2, 6, 3)).astype(np.int16),
        "step_mm": np.float32([1e-4, 2e-4]),
        "vertex": np.int32([0, 1, 2, 3, 4, 5, 2]),
        "uv": np.zeros((7, 2), np.float32),
        "triangles": np.int32([[0, 1, 2], [6, 3, 4], [4, 5, 0]]),
    }


@pytest.fixture(scope="module")
def computed(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("node")
    facts = {"labels": ["a", "b", "c"], "names": ["p", "q"], "kinds": ["identity", "expression"]}
    (folder / "head.bin").write_bytes(pack_arrays(parts, facts))
    script = SCRIPT.replace("SOURCE", SOURCE.as_uri())
    command = ["node", "--input-type=module", "-e", script, folder / "head.bin", folder / "out"]
    subprocess.run(command, check=True)
    return json.loads((folder / "out").read_text())


def test_positions_are_between_the_iterations_and_moved(parts, computed):
    shapes, values = parts["vertices"], parts["values"]
    value = 0.75 * values[1] + 0.25 * values[2]
    moved = 0.75 * shapes[1] + 0.25 * shapes[2]
    moved = moved + (0.8 - value[1]) * parts["step_mm"][1] * parts["moves"][1]
    positions = np.reshape(computed["positions"], (7, 3))
    np.testing.assert_allclose(positions, moved[parts["vertex"]], atol=1e-5)
    assert computed["value"] == pytest.approx(value[0], abs=1e-6)
    triangles = parts["vertex"][parts["triangles"]]
    expected = vertex_normals(moved.astype(np.float32), triangles)[parts["vertex"]]
    np.testing.assert_allclose(np.reshape(computed["normals"], (7, 3)), expected, atol=1e-5)


def test_ranges_and_distances_are_those_of_the_arrays(parts, computed):
    values = parts["values"][:, 1]
    np.testing.assert_allclose(computed["range"], [values.min(), values.max()], atol=1e-6)
    distance = np.linalg.norm(parts["vertices"][0] - parts["vertices"][2], axis=1).mean()
    assert computed["distance"] == pytest.approx(distance, abs=1e-5)
