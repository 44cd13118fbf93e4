"""FacePusher: adds a blessed model to the folder that a model server watches.

TFX's Pusher copies into the version's own folder, where a server can see a part of it; this one
copies beside it and renames.
"""

import os

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.artifact import Artifact
from tfx.types.standard_artifacts import InfraBlessing, Model, ModelBlessing, PushedModel
from tfx.utils import path_utils

from components.deployment import registry
from components.deployment.registry import CANDIDATE, STORED_AT
from components.last_blessed_model import newest_served

BLESSED_FILE, INFRA_BLESSED_FILE = "BLESSED", "INFRA_BLESSED"


def is_blessed(blessing: Artifact, file: str) -> bool:
    """Whether a blessing's folder holds the file that says so."""
    return os.path.exists(os.path.join(blessing.uri, file))


def artifact_uri(artifact: Artifact) -> str:
    """Where an artifact is stored, also if a step sees a copy of it on its own machine."""
    return artifact.get_string_custom_property(STORED_AT) or artifact.uri


def objection(model: Artifact, baseline: Artifact, serving_dir: str) -> str:
    """Why a blessed model is not pushed all the same; empty if it may be.

    The verdict may come from the cache and be older than what is served now.

    Args:
      model: the candidate.
      baseline: Model that it was compared with, by its property `version`.
      serving_dir: folder of the versions.
    """
    candidate = path_utils.serving_model_path(model.uri)
    taken_back = registry.withdrawn(serving_dir)
    if any(registry.same_model(path, candidate) for path in taken_back):
        return "it was withdrawn"
    newest = newest_served(candidate, serving_dir)
    compared = baseline.get_string_custom_property("version")
    if compared == (newest.name if newest else CANDIDATE):
        return ""
    if newest and registry.same_model(newest, candidate):
        return ""
    served = newest.name if newest else "nothing"
    return f"it was compared with {compared}, and {served} is served now"


@component
def FacePusher(
    model: InputArtifact[Model],
    baseline: InputArtifact[Model],
    model_blessing: InputArtifact[ModelBlessing],
    infra_blessing: InputArtifact[InfraBlessing],
    pushed_model: OutputArtifact[PushedModel],
    serving_dir: Parameter[str],
    code: Parameter[str],
) -> None:
    """Pushes the model if evaluation and infra validation blessed it.

    Args:
      model: the candidate.
      baseline: Output of LastBlessedModel; if something else is served by now, nothing is pushed.
      model_blessing: Verdict of the Evaluator.
      infra_blessing: Verdict of FaceInfraValidator.
      pushed_model: Output with the properties that TFX's Pusher sets: pushed, pushed_destination,
        pushed_version; its folder has a file that says the same.
      serving_dir: folder of the versions.
      code: digest of the code that runs.
    """
    del code
    blessed = is_blessed(model_blessing, BLESSED_FILE)
    servable = is_blessed(infra_blessing, INFRA_BLESSED_FILE)
    reason = "" if blessed and servable else f"blessed {blessed}, servable {servable}"
    reason = reason or objection(model, baseline, serving_dir)
    pushed_model.set_int_custom_property("pushed", int(not reason))
    text = f"not pushed: {reason}"
    if not reason:
        source = path_utils.serving_model_path(model.uri)
        number = registry.push(source, serving_dir, source=artifact_uri(model))
        destination = os.path.join(serving_dir, str(number))
        pushed_model.set_string_custom_property("pushed_destination", destination)
        pushed_model.set_string_custom_property("pushed_version", str(number))
        text = f"pushed: {destination}"
    os.makedirs(pushed_model.uri, exist_ok=True)
    with open(os.path.join(pushed_model.uri, "result.txt"), "w", encoding="utf-8") as file:
        file.write(text + "\n")
