"""LastBlessedModel: the model that is served, for the Evaluator to compare a candidate with.

TFX's resolver asks ML Metadata, which open-source Kubeflow Pipelines does not let it do, so this
looks into the folder of pushed models. Only blessed models get there, and after a roll-back the
newest one there is the right one to compare with. docs/decisions has more.
"""

import os
import pathlib
import shutil

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model
from tfx.utils import path_utils

from components.deployment import registry
from components.deployment.registry import CANDIDATE
from facemodel.saved_model.metadata import METADATA, read_facts


def face_model_of(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Name and version of the face model of a SavedModel; empty for one of another project."""
    facts = read_facts(path) if pathlib.Path(path, METADATA).is_file() else {}
    return facts.get("model_name", ""), facts.get("model_version", "")


def newest_served(
    model: str | os.PathLike[str], serving_dir: str | os.PathLike[str]
) -> pathlib.Path | None:
    """The newest pushed version of the same face model as a SavedModel's; None if there is none."""
    wanted, present = face_model_of(model), registry.versions(serving_dir)
    return next((path for path in [*present.values()][::-1] if face_model_of(path) == wanted), None)


@component
def LastBlessedModel(
    model: InputArtifact[Model],
    baseline: OutputArtifact[Model],
    serving_dir: Parameter[str],
    code: Parameter[str],
) -> None:
    """Copies the newest pushed model of the same face model; the candidate itself if there is none.

    Args:
      model: the candidate. For each candidate this looks once; then it is cached.
      baseline: the copy; its property `version` says which one, or "candidate".
      serving_dir: folder of the pushed versions.
      code: digest of the code that runs.
    """
    del code
    candidate = path_utils.serving_model_path(model.uri)
    newest = newest_served(candidate, serving_dir)
    source = newest or candidate
    shutil.copytree(source, path_utils.serving_model_dir(baseline.uri))
    baseline.set_string_custom_property("version", newest.name if newest else CANDIDATE)
    baseline.set_string_custom_property("copied_from", pathlib.Path(source).as_posix())
