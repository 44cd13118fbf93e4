"""LastBlessedModel: the model that is served, for the Evaluator to compare a candidate with.

TFX's resolver asks ML Metadata, which open-source Kubeflow Pipelines does not let it do, so this
looks into the folder of pushed models. Only blessed models get there, and after a roll-back the
newest one there is the right one to compare with. docs/decisions has more.
"""

import json
import os
import pathlib
import shutil

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model
from tfx.utils import path_utils

from components import served_models
from facemodel.export import METADATA_FILE


def face_model_of(path: str | os.PathLike[str]) -> tuple[str, str]:
    """Name and version of the face model of a SavedModel."""
    file = pathlib.Path(path, "assets.extra", METADATA_FILE)
    facts = json.loads(file.read_text(encoding="utf-8"))
    return facts["model_name"], facts["model_version"]


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
    present = served_models.versions(serving_dir)
    same = [n for n, path in present.items() if face_model_of(path) == face_model_of(candidate)]
    newest = max(same, default=None)
    source = candidate if newest is None else present[newest]
    shutil.copytree(source, path_utils.serving_model_dir(baseline.uri))
    baseline.set_string_custom_property("version", "candidate" if newest is None else str(newest))
    baseline.set_string_custom_property("copied_from", pathlib.Path(source).as_posix())
