"""What several steps need: records, and a model trained on them."""

import pytest


@pytest.fixture(scope="session")
def examples(tmp_path_factory):
    """The Examples of FaceExampleGen."""
    from apache_beam.testing.test_pipeline import TestPipeline
    from pipeline_steps import DATA, artifact
    from tfx.types import standard_artifacts

    from components.face_example_gen import FaceExampleGen

    made = artifact(standard_artifacts.Examples, tmp_path_factory.mktemp("examples"))
    FaceExampleGen.test_call(
        examples=made, data=DATA.to_json(), code="", beam_pipeline=TestPipeline()
    )
    return made


@pytest.fixture(scope="session")
def model(examples, tmp_path_factory):
    """A trained and exported model."""
    from pipeline_steps import artifact, train
    from tfx.types import standard_artifacts

    folder = tmp_path_factory.mktemp("model")
    train(examples, folder, folder / "checkpoints")
    return artifact(standard_artifacts.Model, folder)
