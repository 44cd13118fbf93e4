"""FaceReport: a page about a model, with its errors by iteration and slice, and faces."""

import itertools
import os
import pathlib

import numpy as np
import tensorflow_model_analysis as tfma
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils
from tfx.types.artifact import Artifact
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing, ModelEvaluation
from tfx.utils import path_utils

from components import face_metrics, report_page
from components.artifacts import Report
from components.deployment.inference import ExportedModel, batches, labels
from components.deployment.registry import CANDIDATE
from components.face_models import load_face_model
from components.pusher import BLESSED_FILE, is_blessed
from components.records.batches import record_files
from components.report_page import Face, Page, SliceRow
from components.settings import DataSettings, ReportSettings
from components.verdict import objections
from facemodel import camera
from facemodel.evaluation import metrics
from facemodel.morphable.geometry import FaceGeometry
from facemodel.morphable.model import MorphableModel
from facemodel.records import decode_images, parse_request, read_records
from facemodel.rendering import shading
from facemodel.saved_model.metadata import read_facts

_PICTURE_PX = 200
_BATCH = 8


def slice_rows(evaluation: str) -> list[SliceRow]:
    """Reads what the Evaluator wrote: errors by slice, of all faces first."""
    rows = []
    both = [
        dict(tfma.load_eval_result(evaluation, model_name=name).slicing_metrics)
        for name in (face_metrics.CANDIDATE, face_metrics.BASELINE)
    ]
    for key in both[0]:
        candidate, baseline = (_errors(found.get(key)) for found in both)
        count = _values(both[0][key])["example_count"]
        rows.append(SliceRow(tuple(key), int(count), candidate, baseline))
    return sorted(rows, key=lambda row: (row.key != (), row.key))


def _values(found) -> dict[str, float]:
    metrics_of_output = found[""][""] if found else {}
    # TFMA gives what is not finite as a string.
    return {name: float(value["doubleValue"]) for name, value in metrics_of_output.items()}


def _errors(found) -> list[float]:
    values = _values(found)
    names = (f"{face_metrics.METRIC}_{k}" for k in range(len(values)))
    return [values[name] for name in names if name in values]


def measure(
    model: ExportedModel, face_model: str, records: list[bytes]
) -> list[tuple[float, bytes, dict]]:
    """Reconstructs records: (error in mm, record, outputs), best first; failures come last."""
    errors = face_metrics.face_errors(face_model)
    found = []
    for batch in batches(records, _BATCH):
        outputs = model(batch)
        for row, record in enumerate(batch):
            one = {name: values[row] for name, values in outputs.items()}
            truth = labels(record)[face_metrics.LABEL]
            error = float(errors.errors_mm(one["coefficients"], truth))
            found.append((error, record, one))
    return sorted(found, key=lambda item: item[0])


def best_and_worst(found: list[tuple], count: int) -> tuple[list[tuple], list[tuple]]:
    """From what measure found, so many of each, and none in both; worst first, no failures."""
    drawable = [item for item in found if np.isfinite(item[0])]
    count = min(count, -(-len(drawable) // 2))
    best = drawable[:count]
    return best, drawable[len(best) :][::-1][:count]


class Pictures:
    """Draws faces with their errors as colours.

    Args:
      model: the face model, at the level of the exported vertices.
    """

    def __init__(self, model: MorphableModel):
        self._model, self._geometry = model, FaceGeometry.create(model)

    def face(self, error_mm: float, record: bytes, outputs: dict) -> Face:
        """Crop, shading and error map of one face."""
        truth = labels(record)
        image_bytes, _ = parse_request([record])
        return Face(
            title=f"sample {int(truth['sample/index'][0])}: {error_mm:.2f} mm",
            pictures={
                "photo": decode_images(image_bytes)[0].numpy(),
                "crop": outputs["crop"],
                "shading": outputs["shading"],
                "error": self._error_map(outputs["vertices"], truth[face_metrics.LABEL]),
            },
        )

    def _error_map(self, vertices: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
        """The true face from the front, coloured by the distance to the estimate."""
        truth = self._model.vertices(coefficients)
        distance = np.linalg.norm(metrics.similarity_align(vertices, truth) - truth, axis=-1)
        colours = np.float32(report_page.error_colours(distance))
        scale = np.float32([camera.CROP_SCALE * _PICTURE_PX / camera.CROP_SIZE])
        centre = (truth.min(0) + truth.max(0))[:2] / 2 * (1, -1)
        middle = np.float32([_PICTURE_PX / 2 - scale[0] * centre])
        pose = camera.Pose(np.eye(3, dtype=np.float32)[None], scale, middle)
        one = np.ones(1, np.float32)
        light = shading.Light(0.45 * one, 0.6 * one, 0 * one, np.float32([[0, 0, 1]]))
        image, mask = shading.render_photo(
            self._geometry.fine,
            truth[None],
            colours[None],
            pose,
            light,
            height=_PICTURE_PX,
            width=_PICTURE_PX,
        )[:2]
        cover = np.asarray(mask)[0].reshape(_PICTURE_PX, _PICTURE_PX, 1)
        picture = np.asarray(image)[0] * cover + (1 - cover)
        return np.uint8(np.round(255 * np.clip(picture, 0, 1)))


def _served(baseline: Artifact) -> str:
    version = baseline.get_string_custom_property("version")
    return "" if version == CANDIDATE else version


@component
def FaceReport(
    model: InputArtifact[Model],
    examples: InputArtifact[Examples],
    baseline: InputArtifact[Model],
    evaluation: InputArtifact[ModelEvaluation],
    blessing: InputArtifact[ModelBlessing],
    report: OutputArtifact[Report],
    data: Parameter[str],
    settings: Parameter[str],
    code: Parameter[str],
) -> None:
    """Writes index.html.

    Args:
      model: the candidate.
      examples: Records of the faces that are shown.
      baseline: Output of LastBlessedModel; its property `version` names the model to compare with.
      evaluation: Output of the Evaluator, with errors by slice.
      blessing: Verdict of the Evaluator.
      report: the page.
      data: DataSettings as JSON.
      settings: ReportSettings as JSON.
      code: digest of the code that runs.
    """
    del code
    face_model, wanted = DataSettings.from_json(data).face_model, ReportSettings.from_json(settings)
    path = pathlib.Path(path_utils.serving_model_path(model.uri))
    files = record_files(artifact_utils.get_split_uri([examples], wanted.split))
    records = list(itertools.islice(read_records(files), wanted.faces))
    found = measure(ExportedModel(path), face_model, records)
    facts = read_facts(path)["origin"]
    best, worst = best_and_worst(found, wanted.shown)
    pictures = Pictures(load_face_model(face_model, facts["export"]["level"]))
    page = Page(
        facts=facts,
        objections=[] if is_blessed(blessing, BLESSED_FILE) else objections(evaluation.uri),
        rows=slice_rows(evaluation.uri),
        served=_served(baseline),
        faces=len(found),
        best=tuple(pictures.face(*item) for item in best),
        worst=tuple(pictures.face(*item) for item in worst),
    )
    os.makedirs(report.uri, exist_ok=True)
    pathlib.Path(report.uri, "index.html").write_text(page.to_html(), encoding="utf-8")
