"""Results of faces against scans as a table, JSON and one HTML page."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table

from components import html_page
from components.html_page import Cell
from facemodel.evaluation.face_regions import REGIONS
from facemodel.evaluation.scan_protocol import CURVE_MM, Figures, cumulative_curve, figures
from facemodel.files import write_bytes
from pipeline.evaluation.scan_pictures import RAMP, error_map, top_mm
from pipeline.evaluation.scans import FLAGS, ScanResult, pooled

_TEMPLATE = pathlib.Path(__file__).parent / "templates" / "scans.html"
_HEAD = ("mean", "median", "sd", "90 %")
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
PICTURES = 12
"""The page shows so many colour maps at most: the worst and the best."""


@dataclasses.dataclass(frozen=True)
class ScanSummary:
    """All results.

    Attributes:
      results: one for each prediction.
      failed: a line for each prediction or photo that could not be compared.
      metric: whether size counted.
      all: figures of all distances of all predictions together, as the NoW benchmark has them.
      mean_face: means over predictions of the figures of the mean face on their scans.
      regions: means over predictions of the figures of each region.
      pointwise: means over the predictions with correspondence; None if there are none.
      pointwise_faces: how many predictions these are.
    """

    results: Sequence[ScanResult]
    failed: tuple[str, ...]
    metric: bool
    all: Figures
    mean_face: Figures
    regions: dict[str, Figures]
    pointwise: Figures | None
    pointwise_faces: int

    @classmethod
    def of(cls, results: Sequence[ScanResult], failed: Sequence[str], *, metric: bool):
        """Sums up results, at least one."""
        pointwise = [result.pointwise for result in results if result.pointwise]
        return cls(
            results=results,
            failed=tuple(failed),
            metric=metric,
            all=figures(pooled(results)),
            mean_face=_average([result.mean_face for result in results]),
            regions={name: _average([r.regions[name] for r in results]) for name in REGIONS},
            pointwise=_average(pointwise) if pointwise else None,
            pointwise_faces=len(pointwise),
        )

    def rows(self) -> dict[str, Figures]:
        """Lines of the table by name."""
        rows = {"all distances": self.all, "mean face": self.mean_face, **self.regions}
        return rows | ({"pointwise": self.pointwise} if self.pointwise else {})


def _average(parts: Sequence[Figures]) -> Figures:
    """Means over faces; of those faces that have points."""
    parts = [part for part in parts if part.points]
    if not parts:
        return figures(np.empty(0))
    values = np.mean([dataclasses.astuple(part)[1:] for part in parts], 0)
    return Figures(sum(part.points for part in parts), *map(float, values))


def _labelled(summary: ScanSummary) -> list[list[str]]:
    """Lines of the table; it says of how many faces pointwise is, if not of all."""
    count, label = summary.pointwise_faces, "pointwise"
    if count < len(summary.results):
        label += f", {count} face{'s' * (count > 1)}"
    names = {"pointwise": label}
    return [[names.get(name, name), *_cells(row)] for name, row in summary.rows().items()]


def _cells(row: Figures) -> list[str]:
    return [f"{x:.3f}" for x in (row.mean_mm, row.median_mm, row.sd_mm, row.p90_mm)]


def title(summary: ScanSummary) -> str:
    """One line on what was measured."""
    scans = len({result.scan.scan.name for result in summary.results})
    size = "their size counts" if summary.metric else "scaled"
    return f"mm from scan to mesh, {len(summary.results)} faces on {scans} scans, {size}"


def as_table(summary: ScanSummary) -> Table:
    """The figures as a table for a terminal."""
    table = Table(title=title(summary))
    table.add_column("points of", justify="left")
    for heading in _HEAD:
        table.add_column(heading, justify="right")
    for line in _labelled(summary):
        table.add_row(*line)
    return table


def warnings(summary: ScanSummary) -> list[str]:
    """Lines on scans whose unit was guessed, and on predictions that are not as they should be."""
    units: dict[str, list[str]] = {}
    for scan in {r.scan.scan.name: r.scan.scan for r in summary.results}.values():
        if scan.guessed and scan.unit != "mm":
            units.setdefault(scan.unit, []).append(scan.name)
    lines = [
        f"{len(names)} scan{'s' * (len(names) > 1)} taken as {unit}, by the distance of the eyes: "
        + _first_three(names)
        for unit, names in units.items()
    ]
    for flag, meaning in FLAGS.items():
        names = [result.name for result in summary.results if flag in result.flags]
        if names:
            lines.append(f"{flag}: {_first_three(names)}; {meaning}")
    return lines


def _first_three(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def write_json(summary: ScanSummary, path: pathlib.Path) -> None:
    """Writes all figures; the file appears under its name only when complete."""
    limits, shares = cumulative_curve(pooled(summary.results))
    content = {
        "metric": summary.metric,
        "figures": {name: dataclasses.asdict(row) for name, row in summary.rows().items()},
        "curve": {"limits_mm": limits.round(4).tolist(), "shares": shares.round(6).tolist()},
        "faces": [_as_json(result) for result in summary.results],
        "failed": list(summary.failed),
    }
    write_bytes(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def _as_json(result: ScanResult) -> dict[str, Any]:
    scan = result.scan.scan
    whole = {"all": result.figures, "mean face": result.mean_face, **result.regions}
    if result.pointwise:
        whole["pointwise"] = result.pointwise
    return {
        "name": result.name,
        "scan": scan.name,
        "scan_unit": scan.unit,
        "scan_unit_guessed": scan.guessed,
        "scale": result.scale,
        "flags": list(result.flags),
        "figures": {name: dataclasses.asdict(row) for name, row in whole.items() if row.points},
    }


def as_page(summary: ScanSummary) -> str:
    """One HTML page that needs nothing else."""
    top = top_mm(summary.results)
    ordered = sorted(summary.results, key=lambda result: result.figures.mean_mm)
    shown = ordered if len(ordered) <= PICTURES else [*ordered[:4], *ordered[4 - PICTURES :]]
    return html_page.render(
        _TEMPLATE,
        title="Faces against scans",
        about=title(summary),
        warnings=warnings(summary),
        failed=summary.failed,
        head=["points of", *_HEAD],
        rows=_labelled(summary),
        pointwise_faces=summary.pointwise_faces,
        face_count=len(ordered),
        curves={
            "faces": _curve(pooled(summary.results)),
            "mean face": _curve(np.concatenate([r.scan.mean_face_distances for r in ordered])),
        },
        ticks_mm=[(f"{mm:g}", *_place(mm, 0.0)) for mm in np.arange(CURVE_MM + 1)],
        ticks_share=[(f"{100 * share:.0f} %", *_place(0.0, share)) for share in _SHARES],
        ramp=", ".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in 255 * RAMP),
        most_mm=f"{top:g}",
        faces=[
            {"title": f"{r.name}: {r.figures.mean_mm:.2f} mm", "maps": error_map(r, top)}
            for r in shown
        ],
        left_out=len(ordered) - len(shown),
        all_head=["face", "scan", *_HEAD, "mean face", *REGIONS, "flags"],
        all_rows=[_face_row(result) for result in ordered],
    )


def _face_row(result: ScanResult) -> list[Any]:
    regions = [f"{row.mean_mm:.2f}" if row.points else "" for row in result.regions.values()]
    return [
        result.name,
        result.scan.scan.name,
        *_cells(result.figures),
        f"{result.mean_face.mean_mm:.2f}",
        *regions,
        Cell(", ".join(result.flags), "bad" if result.flags else ""),
    ]


def _curve(distances: np.ndarray) -> str:
    """Points of the cumulative curve of distances [N] mm in the chart."""
    places = (_place(limit, share) for limit, share in zip(*cumulative_curve(distances)))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _place(limit_mm: float, share: float) -> tuple[float, float]:
    """Where in the chart, whose box is 300 x 160, a share of distances below a limit is."""
    return 50 + 300 * limit_mm / CURVE_MM, 180 - 160 * share
