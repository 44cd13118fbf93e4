"""LastBlessedModel: the model that is served, for the Evaluator to compare a candidate with.

TFX's resolver asks ML Metadata, which open-source Kubeflow Pipelines does not let it do, so this
looks into the folder of pushed models. Only blessed models get there, and after a roll-back the
newest one there is the right one to compare with. docs/decisions has more.
"""

import pathlib
import shutil

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Model
from tfx.utils import path_utils

from components import served_models


@component
def LastBlessedModel(
    model: InputArtifact[Model],
    baseline: OutputArtifact[Model],
    serving_dir: Parameter[str],
    code: Parameter[str],
) -> None:
    """Copies the newest pushed model; the candidate itself if none was pushed yet.

    Args:
      model: the candidate. For each candidate this looks once; then it is cached.
      baseline: the copy; its property `version` says which one, or "candidate".
      serving_dir: folder of the pushed versions.
      code: digest of the code that runs.
    """
    del code
    present = served_models.versions(serving_dir)
    newest = max(present, default=None)
    source = path_utils.serving_model_path(model.uri) if newest is None else present[newest]
    shutil.copytree(source, path_utils.serving_model_dir(baseline.uri))
    baseline.set_string_custom_property("version", "candidate" if newest is None else str(newest))
    baseline.set_string_custom_property("copied_from", pathlib.Path(source).as_posix())
