"""The figures of a raycast set as tables: for a terminal, as Markdown, as JSON."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import numpy as np
from rich.table import Table

from facemodel.files import write_bytes
from pipeline.evaluation import breakdown, landmark_noise
from pipeline.evaluation.breakdown import Figures, as_rich, by_group, by_part
from pipeline.evaluation.error_table import summarise
from pipeline.evaluation.held_out import ORDERS
from pipeline.evaluation.raycast.measure import (
    DETECTOR,
    METHODS_IN_DETAIL,
    FaceResult,
    RaycastResult,
)


def tables(result: RaycastResult) -> list[Figures]:
    """All tables of a result."""
    return [
        _by_method(result), by_part(result.faces, _detailed(result)),
        *by_group(result.faces, _detailed(result), ORDERS), _on_photo(result),
        _of_detector(result), _of_crops(result),
    ]  # fmt: skip


def _by_method(result: RaycastResult) -> Figures:
    methods = result.found[0].errors if result.found else {}
    errors = {m: np.array([face.errors[m].mean for face in result.found]) for m in methods}
    rows = [
        (row.method, (row.mean_mm, row.standard_error_mm, row.median_mm, row.worst_mm))
        for row in summarise(errors)
    ]
    missed = len(result.faces) - len(result.found)
    title = (
        f"mm on the inner face, {len(result.faces)} path-traced pictures, {missed} faces not "
        f"found; {result.model}, weights {result.weights}"
    )
    return Figures(title, ("method", "mean", "± s.e.", "median", "worst"), tuple(rows), 3)


def _detailed(result: RaycastResult) -> tuple[str, ...]:
    return (*METHODS_IN_DETAIL, result.default)


def _on_photo(result: RaycastResult) -> Figures:
    names = (DETECTOR, *(m for m in _detailed(result) if result.found and m in _first(result)))
    rows = []
    for name in names:
        shares = 100 * np.array([face.on_photo[name] for face in result.found])
        if len(shares):
            rows.append((name, (float(shares.mean()), float(np.median(shares)))))
    title = "Inner 51 landmarks from the true ones in the picture, % of the face's box"
    return Figures(title, ("points of", "mean", "median"), tuple(rows))


def _first(result: RaycastResult) -> dict[str, float]:
    return result.found[0].on_photo


def _of_detector(result: RaycastResult) -> Figures:
    residuals = result.residuals()
    rows = []
    if residuals.detected.sum() >= 2:
        whole = landmark_noise.summarise(residuals)[0]
        rows = [(p.part, (*p.bias, *p.sd)) for p in landmark_noise.summarize_parts(residuals)]
        rows.append(("all, of x and y", (whole.bias, whole.bias, whole.sd, whole.sd)))
    title = f"The detector's errors, mm at the face's scale, {residuals.detected.sum()} faces"
    headings = ("part", "bias x", "bias y", "sd x", "sd y")
    return Figures(title, headings, tuple((n, tuple(map(float, v))) for n, v in rows))


def _of_crops(result: RaycastResult) -> Figures:
    """Whether the pictures are as bright as real ones, whose crops have 0.62 ± 0.08 and 0.16."""
    values = np.array([face.brightness for face in result.found]).reshape(-1, 2)
    names = ("mean", "contrast (standard deviation)")
    rows = [
        (name, (float(column.mean()), float(column.std())))
        for name, column in zip(names, values.T)
        if len(column)
    ]
    headings = ("brightness", "mean of faces", "sd of faces")
    return Figures("The network's grey crops, in [0, 1]", headings, tuple(rows))


def as_tables(result: RaycastResult) -> list[Table]:
    """For a terminal."""
    return [as_rich(figures) for figures in tables(result)]


def as_markdown(result: RaycastResult) -> str:
    """For a page of the documentation."""
    return breakdown.as_markdown(tables(result))


def write_json(result: RaycastResult, path: pathlib.Path) -> None:
    """Writes all tables and each face; the file appears under its name only when complete."""
    content = {
        "weights": result.weights, "model": result.model, "default": result.default,
        "tables": [dataclasses.asdict(figures) for figures in tables(result)],
        "faces": [_face_json(face) for face in result.faces],
    }  # fmt: skip
    write_bytes(path, (json.dumps(_finite(content), indent=1) + "\n").encode())


def _face_json(face: FaceResult) -> dict:
    errors = {m: {"mean": e.mean, "parts": e.parts.tolist(), "axes": e.axes.tolist()}
              for m, e in face.errors.items()}  # fmt: skip
    return {"name": face.name, "groups": face.groups, "errors": errors, "on_photo": face.on_photo}


def _finite(value):
    """None in place of numbers that JSON cannot say."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
