"""One run of `facerelief evaluate scans`: predictions or photos in, a summary out."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import numpy as np

from facemodel.evaluation.scan_protocol import now_landmarks
from pipeline.evaluation.mesh_files import MeshFile, find_meshes
from pipeline.evaluation.now_export import export_now
from pipeline.evaluation.photo_faces import NeutralFaces, photos_in, reconstruct_each, tracked
from pipeline.evaluation.scan_files import Prediction, ScanFolder, read_prediction
from pipeline.evaluation.scan_report import ScanSummary
from pipeline.evaluation.scans import ScanEvaluator, evaluate


def run(
    *,
    scans: pathlib.Path | None,
    predictions: pathlib.Path | None = None,
    photos: pathlib.Path | None = None,
    landmarks: pathlib.Path | None = None,
    unit: str | None = None,
    metric: bool = False,
    expression: bool = False,
    face_model: pathlib.Path | None = None,
    model: pathlib.Path | None = None,
    export_to: pathlib.Path | None = None,
) -> tuple[ScanSummary | None, tuple[str, ...]]:
    """Compares faces with scans and, if asked to, writes them for the NoW evaluation.

    Args:
      scans: folder of scans; None to export only.
      predictions: folder of reconstructed meshes; None to reconstruct photos.
      photos: folder of photos.
      landmarks: folder of the scans' landmarks; beside the scans if None.
      unit: of the scans; guessed if None.
      metric: whether size counts.
      expression: whether faces from photos keep their expression; they are neutral otherwise.
      face_model: whose mean face is the baseline, and which the SavedModel has.
      model: SavedModel for photos; the default model if None.
      export_to: folder for the NoW evaluation's files; None for none.

    Returns:
      The summary, None if nothing was compared; and a line for each face that failed.
    """
    if (predictions is None) == (photos is None):
        raise ValueError("either --predictions or --photos is needed, and not both")
    if scans is None and export_to is None:
        raise ValueError("--scans is needed, unless --export writes the faces")
    folder = ScanFolder.open(scans, landmarks=landmarks, unit=unit) if scans else None
    faces, failed = NeutralFaces.load(face_model), []
    if photos is not None:
        found = _from_photos(photos, faces, model, expression, failed)
    else:
        found = _from_files(predictions, failed)
    if export_to:
        found = _exported(found, export_to)
    if folder is None:
        for _ in found:
            pass
        return None, tuple(failed)
    results = []
    pairs = with_scans(found, folder, failed)
    evaluator = ScanEvaluator(faces, metric=metric)
    for result in evaluate(pairs, folder.read, evaluator):
        if isinstance(result, ValueError):
            failed.append(str(result))
        else:
            results.append(result)
    summary = ScanSummary.of(results, failed, metric=metric) if results else None
    return summary, tuple(failed)


def _from_files(folder: pathlib.Path, failed: list[str]) -> Iterator[Prediction]:
    """Predictions of a folder, in order; a line in failed for each that cannot be used."""
    for name, path in tracked(list(find_meshes(folder).items()), "Comparing"):
        try:
            yield read_prediction(name, path)
        except ValueError as error:
            failed.append(str(error))


def _from_photos(folder, faces: NeutralFaces, model, expression: bool, failed: list[str]):
    """The largest face of each photo as a prediction."""
    for photo, face, reason in reconstruct_each(photos_in(folder), model=model):
        if face is None:
            failed.append(f"{photo.path}: {reason}")
            continue
        neutral = faces.neutral(face)
        coefficients = face.coefficients if expression else neutral
        vertices, triangles = faces.mesh(coefficients)
        mesh = MeshFile(np.asarray(vertices, np.float64), np.asarray(triangles, np.int64))
        name = photo.place.with_suffix("").as_posix()
        yield Prediction(name, name, mesh, now_landmarks(faces.landmarks_68(coefficients)))


def _exported(found: Iterator[Prediction], folder: pathlib.Path) -> Iterator[Prediction]:
    for prediction in found:
        export_now(prediction, folder)
        yield prediction


def with_scans(found: Iterator[Prediction], folder: ScanFolder, failed: list[str]):
    """Predictions with the names of their scans, by their photo's place or their own."""
    for prediction in found:
        places = dict.fromkeys((prediction.photo, prediction.name))
        names = (folder.name_for(place) for place in places)
        name = next((name for name in names if name is not None), None)
        if name is None:
            also = "" if len(places) == 1 else f", nor of its photo's, {prediction.photo!r},"
            failed.append(f"{prediction.name}: no scan of this name{also} in {folder.folder}")
            continue
        yield prediction, name
