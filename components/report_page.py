"""The page of FaceReport as HTML, complete in one file."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from components import html_page
from components.html_page import Cell
from facemodel.synthesis.slices import BIN_NAMES

MAP_MM = 5.0
"""The error at which the colour map ends."""
_RAMP = np.array(
    [
        [0.19, 0.07, 0.45],
        [0.16, 0.47, 0.71],
        [0.27, 0.77, 0.55],
        [0.93, 0.85, 0.30],
        [0.84, 0.19, 0.15],
    ]
)
"""Colours from no error to MAP_MM."""

_TEMPLATE = pathlib.Path(__file__).parent / "templates" / "model_report.html"


def slice_name(key: tuple) -> str:
    """A slice's key of TFMA, ((feature, bin),), for people: "yaw: frontal", "all faces"."""
    parts = []
    for feature, number in key:
        names = BIN_NAMES.get(feature, ())
        label = names[number] if number < len(names) else str(number)
        parts.append(f"{feature.removeprefix('slice/').removesuffix('_bin')}: {label}")
    return ", ".join(parts).replace("_", " ") or "all faces"


@dataclasses.dataclass(frozen=True)
class SliceRow:
    """Errors of one slice.

    Attributes:
      key: Slice key of TFMA, ((feature, bin),), () for all faces.
      count: Number of faces.
      candidate, baseline: mm after each iteration, the start first.
    """

    key: tuple
    count: int
    candidate: list[float]
    baseline: list[float]

    @property
    def name(self) -> str:
        """For people: "yaw: frontal"."""
        return slice_name(self.key)


@dataclasses.dataclass(frozen=True)
class Face:
    """One face.

    Attributes:
      title: above it.
      pictures: uint8 [H, W] or [H, W, 3] by caption.
    """

    title: str
    pictures: dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Page:
    """All that the page says.

    Attributes:
      facts: Origin of the model.
      objections: Objections of the Evaluator; none if it blessed the model.
      rows: errors by slice, of all faces first.
      served: version that the model was compared with; empty if nothing was served yet.
      faces: Number of faces reconstructed for the page.
      best, worst: Best and worst of them.
    """

    facts: dict
    objections: list[str]
    rows: list[SliceRow]
    served: str = ""
    faces: int = 0
    best: tuple[Face, ...] = ()
    worst: tuple[Face, ...] = ()

    def to_html(self) -> str:
        """The whole page."""
        head, rows = _table(self.rows, compared=bool(self.served))
        return html_page.render(
            _TEMPLATE,
            title=f"Model {self.facts['run_key']}",
            objections=self.objections,
            served=self.served,
            chart=_chart(self.rows, compared=bool(self.served)),
            head=head,
            rows=rows,
            faces=self.faces,
            ramp=", ".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in 255 * _RAMP),
            most_mm=f"{MAP_MM:g}",
            best=self.best,
            worst=self.worst,
            facts=json.dumps(self.facts, indent=1),
        )


def error_colours(distance_mm: np.ndarray, top_mm: float = MAP_MM) -> np.ndarray:
    """[...] mm -> [..., 3] in [0, 1]; from top_mm on all have the last colour."""
    place = np.clip(np.asarray(distance_mm) / top_mm, 0, 1) * (len(_RAMP) - 1)
    return np.stack([np.interp(place, range(len(_RAMP)), _RAMP[:, c]) for c in range(3)], -1)


def _table(rows: list[SliceRow], *, compared: bool) -> tuple[list[str], list[list[Any]]]:
    """The heading and the rows of the table of errors."""
    head = ["slice", "faces", *(f"iteration {k}" for k in range(len(rows[0].candidate)))]
    lines = [[row.name, row.count, *(f"{error:.2f}" for error in row.candidate)] for row in rows]
    if compared:
        head.append("change")
        lines = [[*line, _change(row)] for line, row in zip(lines, rows)]
    return head, lines


def _change(row: SliceRow) -> Cell | str:
    """Change of the last error, marked good or bad unless it is rounded to 0."""
    if not row.baseline:
        return ""
    change = round(row.candidate[-1] - row.baseline[-1], 3) + 0.0  # -0.0 becomes 0.0
    return Cell(f"{change:+.3f}", "good" if change < 0 else "bad" if change > 0 else "")


def _chart(rows: list[SliceRow], *, compared: bool) -> dict[str, Any] | None:
    """Error by iteration of all faces: this model and the one that is served.

    Returns:
      top, the error at the chart's top; lines, with points; errors, the place and text of each
      error of this model. None if no error is finite.
    """
    series = [("this model", "#e46e38", rows[0].candidate)]
    if compared and rows[0].baseline:
        series.insert(0, ("served", "#7d7c7a", rows[0].baseline))
    finite = [value for _, _, values in series for value in values if np.isfinite(value)]
    if not finite:
        return None
    top = 1.1 * max(finite)

    def places(values):
        heights = [180 - 160 * (value if np.isfinite(value) else top) / top for value in values]
        return list(zip(np.linspace(50, 350, len(values)), heights))

    lines = [
        {
            "name": name,
            "colour": colour,
            "points": " ".join(f"{x:.0f},{y:.1f}" for x, y in places(values)),
        }
        for name, colour, values in series
    ]
    last = rows[0].candidate
    errors = [(f"{x:.0f}", f"{y - 8:.0f}", f"{e:.2f}") for (x, y), e in zip(places(last), last)]
    return {"top": f"{top:.1f}", "lines": lines, "errors": errors}
