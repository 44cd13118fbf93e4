"""SplitReconstruction: every face of a split as a line of JSON, by the exported model, on Beam."""

import json
import os

import apache_beam as beam
import numpy as np
from apache_beam.utils.shared import Shared
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    InputArtifact,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import Examples, Model
from tfx.utils import path_utils

from components.artifacts import Faces
from components.deployment.inference import ExportedModel, labels
from components.records.batches import record_files
from components.settings import ReconstructionSettings

FIELDS = ("coefficients", "rotation", "scale", "translation")
"""Outputs of the model that are kept."""


def reconstruct_batch(model: ExportedModel, records: list[bytes]) -> list[str]:
    """Reconstructs records: a JSON object for each, with index, coefficients and pose."""
    outputs = model(records)
    lines = []
    for row, record in enumerate(records):
        index = int(labels(record)["sample/index"][0])
        usable = bool(np.isfinite(outputs["coefficients"][row]).all())
        values = {name: outputs[name][row].tolist() if usable else None for name in FIELDS}
        lines.append(json.dumps({"index": index, **values}))
    return lines


class _Reconstruct(beam.DoFn):
    """Loads the model once for each worker process."""

    def __init__(self, path: str, shared: Shared):
        self._path, self._shared = path, shared

    def setup(self):
        self._model = self._shared.acquire(lambda: ExportedModel(self._path), tag=self._path)

    def process(self, records: list[bytes]):
        yield from reconstruct_batch(self._model, records)


class ReconstructRecords(beam.PTransform):
    """Serialized tf.Examples -> lines of reconstruct_batch.

    Args:
      path: Path of the SavedModel.
      batch_size: faces at a time.
    """

    def __init__(self, path: str, batch_size: int):
        super().__init__()
        self._path, self._batch_size = path, batch_size

    def expand(self, records):
        """Applies reconstruct_batch."""
        size = {"min_batch_size": self._batch_size, "max_batch_size": self._batch_size}
        return (
            records
            | beam.BatchElements(**size)
            | beam.ParDo(_Reconstruct(self._path, Shared())).with_output_types(str)
        )


@component(use_beam=True)
def SplitReconstruction(
    model: InputArtifact[Model],
    examples: InputArtifact[Examples],
    faces: OutputArtifact[Faces],
    settings: Parameter[str],
    code: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Writes faces-*.jsonl.

    Args:
      model: the candidate.
      examples: Records with the split.
      faces: Output, one line of JSON a face.
      settings: ReconstructionSettings as JSON.
      code: digest of the code that runs.
      beam_pipeline: Beam pipeline with the arguments of the TFX pipeline.
    """
    del code
    wanted = ReconstructionSettings.from_json(settings)
    files = record_files(artifact_utils.get_split_uri([examples], wanted.split))
    path = path_utils.serving_model_path(model.uri)
    with beam_pipeline as pipeline:
        _ = (
            pipeline
            | beam.Create(files)
            | beam.Reshuffle()
            | beam.io.ReadAllFromTFRecord()
            | ReconstructRecords(path, wanted.batch_size)
            | beam.io.WriteToText(os.path.join(faces.uri, "faces"), file_name_suffix=".jsonl")
        )
