"""Errors of many faces by method, as a table."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping

import numpy as np
from rich.table import Table

from facemodel.files import write_bytes
from pipeline.evaluation.breakdown import Figures


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table: a method's error over all faces.

    Attributes:
      method: Name of the method.
      mean_mm: mean over faces of the mean vertex distance after similarity alignment.
      standard_error_mm: Standard error of that mean.
      median_mm: median over faces.
      worst_mm: the largest of any face.
    """

    method: str
    mean_mm: float
    standard_error_mm: float
    median_mm: float
    worst_mm: float


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The whole table with what is needed to make it again.

    Attributes:
      rows: of the methods.
      breakdown: errors by part of the face and by groups of faces.
      faces, seed, recipe: of the faces.
      model, weights: names.
    """

    rows: tuple[Row, ...]
    breakdown: tuple[Figures, ...]
    faces: int
    seed: int
    recipe: str
    model: str
    weights: str

    def row(self, method: str) -> Row:
        """The line of one method; KeyError names those there are."""
        for row in self.rows:
            if row.method == method:
                return row
        raise KeyError(f"{method!r} is not among {[row.method for row in self.rows]}")

    def write_json(self, path: pathlib.Path) -> None:
        """Writes the table; the file appears under its name only when complete."""
        write_bytes(path, (json.dumps(dataclasses.asdict(self), indent=2) + "\n").encode())


def summarise(errors: Mapping[str, np.ndarray]) -> tuple[Row, ...]:
    """Turns method -> [N] mm into the lines of the table."""
    return tuple(
        Row(
            method=method,
            mean_mm=float(values.mean()),
            standard_error_mm=float(values.std(ddof=1) / np.sqrt(len(values)))
            if len(values) > 1
            else float("nan"),
            median_mm=float(np.median(values)),
            worst_mm=float(values.max()),
        )
        for method, values in errors.items()
    )


def as_table(result: Evaluation) -> Table:
    """The lines as a table for a terminal."""
    title = f"mm on the inner face, {result.faces} {result.recipe} faces, seed {result.seed}"
    table = Table(title=title)
    for heading in ("method", "mean", "± s.e.", "median", "worst"):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for row in result.rows:
        figures = (row.mean_mm, row.standard_error_mm, row.median_mm, row.worst_mm)
        table.add_row(row.method, *(f"{figure:.3f}" for figure in figures))
    return table
