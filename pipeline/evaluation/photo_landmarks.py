"""How far are landmarks from known ones? Run as `facerelief evaluate landmarks`."""

from __future__ import annotations

import dataclasses
import itertools
import json
import pathlib

import numpy as np
from rich.table import Table

from facemodel.evaluation import landmark_errors
from facemodel.evaluation.landmark_errors import ErrorSummary
from facemodel.files import write_bytes
from facemodel.morphable.landmarks import IBUG_68
from pipeline.evaluation.landmark_files import (
    PHOTO_SUFFIXES,
    find_beside,
    read_photo_landmarks,
    read_yaw_deg,
)
from pipeline.evaluation.photo_faces import photos_in, reconstruct_each
from pipeline.inference.photo_files import Photo

FEW_NAMES = 5
"""So many photos that were passed over are named."""
FACE, DETECTOR = "face", "detector"
POINTS = {"68": slice(None), "51 without the jaw": slice(17, None)}
UNITS = {"box": landmark_errors.box_size, "inter-ocular": landmark_errors.inter_ocular}
OWN_UNIT = {".mat": "box", ".pts": "inter-ocular", ".json": "inter-ocular"}
"""What each kind of ground truth normalises by: AFLW2000-3D by the box, 300W by the eyes."""


@dataclasses.dataclass(frozen=True)
class PhotoErrors:
    """One photo.

    Attributes:
      name: of the photo.
      yaw_deg: of the ground truth, else of the face; NaN if neither is known.
      unit: its data set's normalisation, a key of UNITS.
      errors: (who, points, unit) -> normalised error; infinite if no face was found.
    """

    name: str
    yaw_deg: float
    unit: str
    errors: dict[tuple[str, str, str], float]


@dataclasses.dataclass(frozen=True)
class LandmarkResult:
    """All photos.

    Attributes:
      unit: the normalisation of the tables.
      photos: errors of each.
      failed: a line for each photo that could not be used or has no face.
      passed_over: names of photos without ground truth.
    """

    unit: str
    photos: tuple[PhotoErrors, ...]
    failed: tuple[str, ...]
    passed_over: tuple[str, ...] = ()

    def summary(self, who: str, points: str, unit: str) -> ErrorSummary:
        """Figures of FACE or DETECTOR on POINTS, normalised by a unit."""
        errors = [photo.errors[who, points, unit] for photo in self.photos]
        return landmark_errors.summarise(np.array(errors))

    def by_yaw(self) -> dict[str, ErrorSummary]:
        """Figures of the face on 68 points by absolute yaw; only bins that have photos."""
        edges, found = landmark_errors.YAW_BINS_DEG, {}
        for low, high in itertools.pairwise(edges):
            inside = [
                photo.errors[FACE, "68", self.unit]
                for photo in self.photos
                if low <= abs(photo.yaw_deg) < high or abs(photo.yaw_deg) == high == edges[-1]
            ]
            if inside:
                found[f"{low:g} to {high:g}"] = landmark_errors.summarise(np.array(inside))
        return found

    def write_json(self, path: pathlib.Path) -> None:
        """Writes all figures; the file appears under its name only when complete."""
        figures = [
            {"who": who, "points": points, "unit": unit}
            | _finite(dataclasses.asdict(self.summary(who, points, unit)))
            for who in (FACE, DETECTOR)
            for points in POINTS
            for unit in UNITS
        ]
        yaws = {name: _finite(dataclasses.asdict(row)) for name, row in self.by_yaw().items()}
        content = {
            "unit": self.unit,
            "figures": figures,
            "by_yaw": yaws,
            "photos": [_as_json(photo) for photo in self.photos],
            "failed": list(self.failed),
            "passed_over": list(self.passed_over),
        }
        write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def _as_json(photo: PhotoErrors) -> dict:
    errors = {" / ".join(key): value for key, value in photo.errors.items()}
    return {"name": photo.name, **_finite({"yaw_deg": photo.yaw_deg}), "errors": _finite(errors)}


def _finite(values: dict) -> dict:
    """None in place of what JSON cannot say."""
    return {
        key: None if isinstance(value, float) and not np.isfinite(value) else value
        for key, value in values.items()
    }


def run(
    photos: pathlib.Path, *, unit: str | None = None, model: pathlib.Path | None = None
) -> LandmarkResult:
    """Reconstructs the photos of a folder that have ground truth beside them.

    Of several faces in a photo the one whose landmarks are nearest to the ground truth counts.

    Args:
      photos: the folder.
      unit: normalisation, a key of UNITS; that of the first photo's data set if None.
      model: SavedModel; the default model if None.

    Raises:
      ValueError: if no photo has ground truth.
    """
    truths, passed_over, failed = read_truths(photos_in(photos))
    if not truths:
        reason = f" ({failed[0]})" if failed else ""
        ends = ", ".join(PHOTO_SUFFIXES)
        raise ValueError(f"{photos}: no photo has ground truth beside it, {ends}{reason}")

    def nearest(photo: Photo, faces: list):
        points = truths[photo][1]
        return min(
            faces,
            key=lambda face: landmark_errors.mean_error(face.landmarks[list(IBUG_68)], points),
        )

    results = []
    for photo, face, reason in reconstruct_each(truths, model=model, choose=nearest):
        path, truth = truths[photo]
        results.append(measure(photo.place.as_posix(), path, truth, face))
        if face is None:
            failed.append(f"{photo.path}: {reason}")
    return LandmarkResult(unit or results[0].unit, tuple(results), tuple(failed), passed_over)


def read_truths(photos: list[Photo]):
    """Ground truth by photo, photos without any, and lines on files that are damaged.

    Ground truth is its file and points [68, 2] px.
    """
    truths, without, failed = {}, [], []
    for photo in photos:
        path = find_beside(photo.path, PHOTO_SUFFIXES)
        if path is None:
            without.append(photo.place.as_posix())
            continue
        try:
            truths[photo] = (path, read_photo_landmarks(path))
        except ValueError as error:
            failed.append(str(error))
    return truths, tuple(without), failed


def measure(name: str, path: pathlib.Path, truth: np.ndarray, face) -> PhotoErrors:
    """Errors of one photo's face, which may be None, against points [68, 2] px of a file."""
    estimates = {FACE: None, DETECTOR: None}
    yaw = read_yaw_deg(path)
    if face is not None:
        estimates[FACE] = face.landmarks_68_px
        estimates[DETECTOR] = face.detection.landmarks[list(IBUG_68)]
        yaw = face.quality.yaw_deg if yaw is None else yaw
    errors = {}
    for who, points in estimates.items():
        for chosen, part in POINTS.items():
            for unit, size in UNITS.items():
                error = np.inf
                if points is not None:
                    error = landmark_errors.mean_error(points[part], truth[part]) / size(truth)
                errors[who, chosen, unit] = float(error)
    unit = OWN_UNIT[path.suffix.lower()]
    return PhotoErrors(name, float("nan") if yaw is None else float(yaw), unit, errors)


def passed_over(result: LandmarkResult) -> str | None:
    """A line on photos without ground truth, with their names if they are few; None if none is."""
    names = result.passed_over
    if not names:
        return None
    shown = f": {', '.join(names)}" if len(names) <= FEW_NAMES else ""
    plural = "s" if len(names) > 1 else ""
    return f"{len(names)} photo{plural} without ground truth passed over{shown}"


def as_table(result: LandmarkResult) -> Table:
    """The figures as a table for a terminal."""
    found = result.summary(FACE, "68", result.unit).faces
    table = Table(
        title=f"Landmark errors in % of {result.unit}, {found} of {len(result.photos)} faces found",
        caption="Mean and median: of the faces found. Above 8 % and AUC: of all photos; faces "
        "not found are above 8 %, in rows of yaw only if the ground truth has their yaw.",
    )
    for heading in ("points", "mean", "median", "% of faces above 8 %", "AUC to 8 %"):
        table.add_column(heading, justify="left" if heading == "points" else "right")
    rows = {
        f"{who}, {points}": result.summary(who, points, result.unit)
        for who in (FACE, DETECTOR)
        for points in POINTS
    }
    rows |= {f"{FACE}, yaw {name}": row for name, row in result.by_yaw().items()}
    for name, row in rows.items():
        shares = (row.mean, row.median, row.failures)
        table.add_row(name, *(f"{100 * share:.2f}" for share in shares), f"{row.auc:.3f}")
    return table
