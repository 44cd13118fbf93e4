"""FaceExampleGen: synthetic faces as Examples with the splits train, eval and test."""

import functools

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

from components.face_models import load_face_model
from components.records import synthesis
from components.records.beam_runs import raise_on_lost_worker
from components.records.shards import remove_partial_files, split_ranges, split_shards
from components.settings import SPLITS, DataSettings
from facemodel.synthesis.recipes import SynthesisConfig


def write_splits(pipeline: beam.Pipeline, settings: DataSettings, examples: Examples) -> None:
    """Adds to a Beam pipeline what writes Split-*/*.tfrecord of an artifact that has these splits.

    One job makes all splits, so that workers compile synthesis once.
    """
    config = SynthesisConfig.named(settings.recipe, image_size=settings.image_size)
    load = functools.partial(load_face_model, settings.face_model)
    counts = {split: getattr(settings, split) for split in SPLITS}
    job = synthesis.SynthesisJob(config, settings.seed, sum(counts.values()), load)
    shards = []
    for split, indices in split_ranges(counts).items():
        (folder,) = artifact_utils.get_split_uris([examples], split)
        tfx.dsl.io.fileio.makedirs(folder)  # also in an object store
        shards += split_shards(folder, split, indices, samples_each=settings.shard_samples)
    _ = pipeline | synthesis.WriteShards(job, shards)


@component(use_beam=True)
def FaceExampleGen(
    examples: OutputArtifact[Examples],
    data: Parameter[str],
    code: Parameter[str],
    beam_pipeline: BeamComponentParameter[beam.Pipeline] = None,
) -> None:
    """Draws, renders and writes the data set.

    Args:
      examples: Output, records of all splits.
      data: DataSettings as JSON.
      code: digest of the code that runs.
      beam_pipeline: Beam pipeline with the arguments of the TFX pipeline.
    """
    del code
    settings = DataSettings.from_json(data)
    load_face_model(settings.face_model)  # a bad file is found before any worker starts
    examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
    examples_utils.set_payload_format(examples, tfx.proto.PayloadFormat.FORMAT_TF_EXAMPLE)
    with raise_on_lost_worker(beam_pipeline), beam_pipeline as pipeline:
        write_splits(pipeline, settings, examples)
    for split in SPLITS:
        remove_partial_files(artifact_utils.get_split_uri([examples], split))
