"""FaceExampleGen: the splits, and the same records as the command's."""

import os
import pathlib
import subprocess
import sys

import pytest
from pipeline_steps import GROUP, records_of
from tfx.components.util import examples_utils
from tfx.types import artifact_utils

from components.deployment.inference import labels
from components.settings import SPLITS

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group(GROUP)]


def test_splits_are_neighbouring_ranges_of_one_seed(examples):
    indices = {
        split: [int(labels(record)["sample/index"][0]) for record in records_of(examples, split)]
        for split in SPLITS
    }
    assert indices == {
        "train": [*range(20)],
        "eval": [*range(20, 29)],
        "test": [*range(29, 34)],
    }
    assert artifact_utils.decode_split_names(examples.split_names) == list(SPLITS)
    assert examples_utils.get_payload_format_string(examples) == "FORMAT_TF_EXAMPLE"
    folder = pathlib.Path(examples.uri, "Split-train")
    assert [path.name for path in sorted(folder.iterdir())] == [
        f"train-{k:05d}-of-00003.tfrecord" for k in range(3)
    ]


@pytest.mark.slow
def test_the_records_are_those_of_facerelief_synthesize(tmp_path):
    """Byte by byte, though the command draws with one thread and the step here with eight."""
    code = f"""
import os, tempfile
os.environ |= {{"TF_NUM_INTRAOP_THREADS": "8", "OMP_NUM_THREADS": "8"}}
import apache_beam
from pipeline_steps import artifact
from tfx.types import standard_artifacts
from components.face_example_gen import FaceExampleGen
from components.settings import DataSettings
data = DataSettings(recipe="lifelike", seed=3, train=10, eval=5, test=4).to_json()
made = artifact(standard_artifacts.Examples, {str(tmp_path / "step")!r})
pipeline = apache_beam.Pipeline()
FaceExampleGen.test_call(examples=made, data=data, code="", beam_pipeline=pipeline)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    words = "--recipe lifelike --seed 3 -n 10 --eval 5 --test 4 -o"
    command = [sys.executable, "-m", "pipeline.cli", "synthesize", *words.split()]
    subprocess.run([*command, str(tmp_path / "command")], check=True)
    split_files = [*(tmp_path / "step").glob("Split-*/*.tfrecord")]
    assert len(split_files) == len(SPLITS)
    for file in split_files:
        assert file.read_bytes() == (tmp_path / "command" / file.name).read_bytes()
