"""Converts a foreign face model; the detector looks for landmarks where it has no list of them."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable

import numpy as np

from facemodel.files import check_folder, file_digest, files_digest
from facemodel.morphable.conversion import convert, transfer
from facemodel.morphable.mesh import ModelError
from facemodel.morphable.model import MorphableModel
from facemodel.morphable.readers.foreign import LANDMARK_COUNT, ForeignModel
from facemodel.morphable.readers.read import read_foreign
from pipeline.models import landmarks

Progress = Callable[[str, float], None]

_FEWEST_LISTED = 12


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found out while a model was converted.

    Attributes:
      name: of the model.
      vertices: of the file's mesh, and of the levels 0, 1 and 2.
      coefficients: identity, expression and albedo vectors.
      landmarks: where they come from: "list" or "detector".
      relative_size: of its mean face's landmarks to the default model's.
      residual_mm: how far its landmarks are from the default model's after alignment with scale.
      borrowed: what it took from the default model.
      terms: who may use the model for what.
    """

    name: str
    vertices: tuple[int, ...]
    coefficients: tuple[int, int, int]
    landmarks: str
    relative_size: float
    residual_mm: float
    borrowed: tuple[str, ...]
    terms: str


def describe(report: Report) -> list[tuple[str, str]]:
    """Pairs of a heading and a fact, as pipeline/models/facts.py has them of a file."""
    own, *levels = (f"{count:,}" for count in report.vertices)
    identity, expression, albedo = map(str, report.coefficients)
    return [
        ("name", report.name),
        ("vertices of the source", own),
        ("vertices at levels 0, 1, 2", ", ".join(levels)),
        ("identity vectors", identity),
        ("expression vectors", expression),
        ("albedo vectors", albedo),
        ("landmarks by", report.landmarks),
        ("size to the default model's", f"{report.relative_size:g}"),
        ("landmarks from the default's", f"{report.residual_mm:g} mm, aligned with scale"),
        ("borrowed", ", ".join(report.borrowed) or "nothing"),
        ("terms", report.terms),
    ]


def run(
    source: pathlib.Path,
    output: pathlib.Path,
    *,
    landmark_file: pathlib.Path | None = None,
    use_detector: bool = False,
    whole: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Writes a foreign model as a model file of this project.

    Args:
      source: Basel's, FLAME's or eos's file, or ICT-FaceKit's folder.
      output: the .npz.
      landmark_file: JSON list of 68 vertices, in place of the model's own list.
      use_detector: look for the landmarks even if there is a list.
      whole: keep what lies outside of the face.
      progress: told what is being done.

    Raises:
      ModelError: naming the file and what is wrong with it.
      LandmarkError: if the detector does not find the mean face.
    """
    check_folder(output)
    tell = progress or (lambda step, share: None)
    tell("reading the model", 0.0)
    foreign = read_foreign(source)
    if landmark_file:
        foreign = dataclasses.replace(foreign, landmarks=read_list(landmark_file, foreign))
    listed = (foreign.landmarks >= 0).sum() >= _FEWEST_LISTED and not use_detector
    if listed:
        arrays, report = _converted(source, foreign, None, whole, tell)
    else:
        with landmarks.face_detector() as detect:
            arrays, report = _converted(source, foreign, detect, whole, tell)
    tell("writing", 0.95)
    convert.write(output, arrays)
    return report


def _converted(source, foreign: ForeignModel, detect, whole: bool, tell: Progress):
    default = MorphableModel.load()
    if detect is None:
        points = transfer.listed_points(foreign.mean, foreign.landmarks)
    else:
        tell("looking for the face", 0.1)
        points = landmarks.first_look(foreign, detect)
        foreign = dataclasses.replace(foreign, landmarks=np.full(LANDMARK_COUNT, -1))
    tell("aligning, cutting and coarsening", 0.3)
    version = _digest(source)[:12]
    try:
        made = convert.convert(foreign, points, default, version=version, whole=whole)
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error
    if detect is not None and "colours" in made.borrowed:
        # They were painted by landmarks found on bare clay.
        tell("looking again", 0.35)
        points = made.alignment.back(landmarks.second_look(made.arrays, detect))
        points = landmarks.without_brows(points)
        made = convert.convert(foreign, points, default, version=version, whole=whole)
    if detect is not None:
        made = _refined(made, detect, default, lambda step, share: tell(step, 0.4 + 0.5 * share))
    found = "list" if detect is None else "detector"
    facts = {"landmark_source": np.array(found), "source_sha256": np.array(_digest(source))}
    return {**made.arrays, **facts}, _report(foreign, made, found)


def _refined(made: convert.Converted, detect, default: MorphableModel, tell: Progress):
    """Finds the landmarks again on the coloured face, and aligns the model by them."""
    arrays, located = landmarks.relocate(made.arrays, detect, tell)
    arrays, alignment = convert.realigned(arrays, located.points, default)
    return dataclasses.replace(made, arrays=arrays, alignment=alignment)


def _report(foreign: ForeignModel, made: convert.Converted, found: str) -> Report:
    arrays = made.arrays
    levels = (len(arrays[f"level{level}_regions"]) for level in range(3))
    counts = (len(arrays[name]) for name in ("identity", "expression", "albedo"))
    identity, expression, albedo = counts
    return Report(
        name=foreign.name,
        vertices=(len(foreign.mean), *levels),
        coefficients=(identity, expression, albedo),
        landmarks=found,
        relative_size=round(made.alignment.relative_size, 3),
        residual_mm=round(made.alignment.residual_mm, 2),
        borrowed=made.borrowed,
        terms=foreign.terms,
    )


def read_list(path: pathlib.Path, foreign: ForeignModel) -> np.ndarray:
    """A JSON list of the vertices of iBUG's 68 points, -1 where there is none.

    Raises:
      ModelError: naming the file and what is wrong with it.
    """
    try:
        numbers = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: not a JSON list of vertices ({error})") from error
    whole = isinstance(numbers, list) and all(type(number) is int for number in numbers)
    if not whole or len(numbers) != LANDMARK_COUNT:
        raise ModelError(f"{path}: should be a list of {LANDMARK_COUNT} whole numbers")
    if not -1 <= min(numbers) <= max(numbers) < len(foreign.mean):
        raise ModelError(f"{path}: vertices should lie in [-1, {len(foreign.mean)})")
    return np.array(numbers)


def _digest(source: pathlib.Path) -> str:
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.suffix in (".obj", ".json"))
        return files_digest((path.relative_to(source).as_posix(), path) for path in files)
    return file_digest(source)
