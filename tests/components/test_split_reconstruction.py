"""SplitReconstruction: Beam and the function agree."""

import json
import pathlib

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.test_pipeline import TestPipeline
from apache_beam.testing.util import assert_that, equal_to
from pipeline_steps import GROUP, records_of

from components import split_reconstruction
from components.deployment.inference import ExportedModel, batches

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group(GROUP)]


@pytest.mark.slow
def test_beam_and_the_function_reconstruct_the_same(model, examples, tmp_path):
    path = pathlib.Path(model.uri, "Format-Serving")
    records = records_of(examples, "test")
    exported = ExportedModel(path)
    expected = [
        line
        for batch in batches(records, 2)
        for line in split_reconstruction.reconstruct_batch(exported, batch)
    ]
    assert [json.loads(line)["index"] for line in expected] == [*range(29, 34)]
    with TestPipeline() as pipeline:
        lines = (
            pipeline | beam.Create(records) | split_reconstruction.ReconstructRecords(str(path), 2)
        )
        rounded = lines | beam.Map(_rounded)
        assert_that(rounded, equal_to([_rounded(line) for line in expected]))


def _rounded(line):
    values = json.loads(line)
    return values["index"], np.round(values["coefficients"], 3).tolist()
