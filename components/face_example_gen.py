"""FaceExampleGen: synthetic faces as Examples with the splits train, eval and test."""

import functools
import os

import apache_beam as beam
from tfx import v1 as tfx
from tfx.components.util import examples_utils
from tfx.dsl.component.experimental.annotations import (
    BeamComponentParameter,
    OutputArtifact,
    Parameter,
)
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import Examples

from components import synthesis
from components.face_models import load_face_model
from components.settings import SPLITS, DataSettings
from facemodel.morphable import ModelError
from facemodel.recipes import SynthesisConfig


def split_jobs(settings: DataSettings) -> dict[str, synthesis.SynthesisJob]:
    """What each split is made of: neighbouring ranges of indices of one seed."""
    config = SynthesisConfig.named(settings.recipe, image_size=settings.image_size)
    load = functools.partial(load_face_model, settings.face_model)
    jobs, first = {}, 0
    for split in SPLITS:
        count = getattr(settings, split)
        jobs[split] = synthesis.SynthesisJob(config, settings.seed, count, load, first)
        first += count
    return jobs


def write_splits(pipeline: beam.Pipeline, settings: DataSettings, uri: str) -> None:
    """Adds to a Beam pipeline what writes uri/Split-*/*.tfrecord."""
    for split, job in split_jobs(settings).items():
        folder = artifact_utils.get_split_uris([_as_examples(uri)], split)[0]
        os.makedirs(folder, exist_ok=True)
        shards = min(len(job.batches), -(-job.count // settings.shard_samples))
        files = synthesis.ShardFiles(folder, split, shards)
        _ = (
            pipeline
            | f"Shards[{split}]" >> beam.Create(range(shards))
            | f"Spread[{split}]" >> beam.Reshuffle()
            | f"Write[{split}]" >> synthesis.WriteShards(job, files)
        )


def _as_examples(uri: str) -> Examples:
    examples = Examples()
    examples.uri = uri
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    return examples


@component(use_beam=True)
def FaceExampleGen(
    examples: OutputArtifact[Examples],
    data: Parameter[str],
    code: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Draws, renders and writes the data set.

    Args:
      examples: what is written.
      data: DataSettings as JSON.
      code: digest of the code that runs.
      beam_pipeline: with the pipeline's arguments for Beam.
    """
    del code
    settings = DataSettings.from_json(data)
    load_face_model(settings.face_model)  # a bad file is found before any worker starts
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    examples_utils.set_payload_format(examples, tfx.proto.PayloadFormat.FORMAT_TF_EXAMPLE)
    with beam_pipeline as pipeline:
        write_splits(pipeline, settings, examples.uri)


__all__ = ["FaceExampleGen", "ModelError", "split_jobs", "write_splits"]
