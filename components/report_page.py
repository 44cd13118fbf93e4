"""The page of FaceReport as HTML, complete in one file."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
from collections.abc import Iterable

import cv2
import numpy as np

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

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #26262a; max-width: 62rem; margin: 2rem auto }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
td:first-child, th:first-child { text-align: left }
.good { color: #1a7f37 }
.bad { color: #c0392b }
figure { display: inline-block; margin: .5rem 1rem .5rem 0 }
figure img { width: 160px; height: 160px; object-fit: contain; background: #f4f3f1 }
figcaption { font-size: 13px; color: #666 }
pre { background: #f4f3f1; padding: 1rem; overflow: auto; font-size: 13px }
.ramp { display: inline-block; height: 14px; width: 320px; margin: 0 .5rem; vertical-align: middle }
.axis { stroke: #bbb }
.line, .axis { fill: none }
.line { stroke-width: 2 }
"""

_EXPLANATION = (
    "Mean distance in mm between corresponding vertices of the inner face after similarity "
    "alignment. Iteration 0 is the loop's start."
)


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
      key: of TFMA, ((feature, bin),), () for all faces.
      count: of faces.
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
      facts: of the model's origin.
      objections: of the Evaluator; none if it blessed the model.
      rows: errors by slice, of all faces first.
      served: version that the model was compared with; empty if nothing was served yet.
      faces: how many were reconstructed for the page.
      best, worst: of them.
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
        title = f"Model {html.escape(self.facts['run_key'])}"
        compared = bool(self.served)
        parts = [
            f"<h1>{title}</h1>",
            _verdict(self.objections),
            "<h2>Error by iteration and slice</h2>",
            f"<p>{_EXPLANATION} {_comparison(self.served)}</p>",
            _chart(self.rows, compared=compared),
            _table(self.rows, compared=compared),
            f"<h2>Best of {self.faces} faces</h2>{_legend()}",
            *map(_figure, self.best),
            "<h2>Worst</h2>",
            *map(_figure, self.worst),
            f"<h2>Origin</h2><pre>{html.escape(json.dumps(self.facts, indent=1))}</pre>",
        ]
        head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        body = "\n".join(parts)
        return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>\n"


def error_colours(distance_mm: np.ndarray) -> np.ndarray:
    """[...] mm -> [..., 3] in [0, 1]."""
    place = np.clip(np.asarray(distance_mm) / MAP_MM, 0, 1) * (len(_RAMP) - 1)
    return np.stack([np.interp(place, range(len(_RAMP)), _RAMP[:, c]) for c in range(3)], -1)


def _verdict(objections: Iterable[str]) -> str:
    items = "".join(f"<li>{html.escape(text)}</li>" for text in objections)
    if not items:
        return '<p>The evaluation says: <b class="good">blessed</b>.</p>'
    return f'<p>The evaluation says: <b class="bad">not blessed</b>.</p><ul>{items}</ul>'


def _comparison(served: str) -> str:
    if not served:
        return "No model of this kind was served yet, so there is none to compare with."
    return f"The change is against version {html.escape(served)}, which was served then."


def _table(rows: list[SliceRow], *, compared: bool) -> str:
    heads = ["slice", "faces", *(f"iteration {k}" for k in range(len(rows[0].candidate)))]
    heads += ["change"] if compared else []
    lines = ["".join(f"<th>{head}</th>" for head in heads)]
    for row in rows:
        cells = [f"<td>{html.escape(row.name)}</td><td>{row.count}</td>"]
        cells += [f"<td>{error:.2f}</td>" for error in row.candidate]
        cells += [_change(row)] if compared else []
        lines.append("".join(cells))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _change(row: SliceRow) -> str:
    """The cell with what is better or worse; what is rounded to nothing is neither."""
    if not row.baseline:
        return "<td></td>"
    change = round(row.candidate[-1] - row.baseline[-1], 3) + 0.0  # -0.0 becomes 0.0
    kind = "good" if change < 0 else "bad" if change > 0 else ""
    return f'<td class="{kind}">{change:+.3f}</td>'


def _chart(rows: list[SliceRow], *, compared: bool) -> str:
    """Error by iteration of all faces: this model and the one that is served."""
    series = [("this model", "#e46e38", rows[0].candidate)]
    if compared and rows[0].baseline:
        series.insert(0, ("served", "#7d7c7a", rows[0].baseline))
    finite = [value for _, _, values in series for value in values if np.isfinite(value)]
    if not finite:
        return "<p>No error is finite.</p>"
    top = 1.1 * max(finite)

    def height(value):
        return 180 - 160 * (value if np.isfinite(value) else top) / top

    parts = [
        '<path class="axis" d="M40 10 V180 H360"/>',
        '<text x="200" y="225" text-anchor="middle">iteration</text>',
        '<text x="34" y="184" text-anchor="end">0</text>',
        f'<text x="34" y="20" text-anchor="end">{top:.1f} mm</text>',
    ]
    for k, (name, colour, values) in enumerate(series):
        xs = np.linspace(50, 350, len(values))
        points = " ".join(f"{x:.0f},{height(value):.1f}" for x, value in zip(xs, values))
        parts.append(f'<polyline class="line" stroke="{colour}" points="{points}"/>')
        parts.append(f'<text x="370" y="{40 + 20 * k}" fill="{colour}">{name}</text>')
    last = rows[0].candidate
    for k, x in enumerate(np.linspace(50, 350, len(last))):
        parts.append(f'<text x="{x:.0f}" y="200" text-anchor="middle">{k}</text>')
        y = height(last[k]) - 8
        parts.append(f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle">{last[k]:.2f}</text>')
    frame = 'viewBox="-30 0 510 230" width="510" height="230" font-size="13"'
    return f"<svg {frame}>{''.join(parts)}</svg>"


def _legend() -> str:
    stops = ", ".join(f"rgb({r:.0f} {g:.0f} {b:.0f})" for r, g, b in 255 * _RAMP)
    ramp = f'<span class="ramp" style="background: linear-gradient(to right, {stops})"></span>'
    return f"<p>Distance of the estimate from the true face: 0 mm {ramp} {MAP_MM:g} mm and more</p>"


def _figure(face: Face) -> str:
    pictures = "".join(
        f'<figure><img src="{_data_uri(picture)}" alt="{caption}">'
        f"<figcaption>{caption}</figcaption></figure>"
        for caption, picture in face.pictures.items()
    )
    return f"<div><h4>{html.escape(face.title)}</h4>{pictures}</div>"


def _data_uri(picture: np.ndarray) -> str:
    """A picture as PNG inside the page."""
    _, data = cv2.imencode(".png", picture[..., ::-1] if picture.ndim == 3 else picture)
    return "data:image/png;base64," + base64.b64encode(data.tobytes()).decode()
