"""Errors of many faces by part of the face, by axis and by groups of faces, as tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from rich.table import Table

from pipeline.evaluation.face_parts import AXES, PARTS, PartErrors

COUNTS = ("faces", "not found")


class GroupedFace(Protocol):
    """A face that was measured.

    Attributes:
      groups: kind of group -> the one that the face is in.
      errors: method -> errors in mm; empty if the face was not found.
    """

    @property
    def groups(self) -> Mapping[str, str]: ...

    @property
    def errors(self) -> Mapping[str, PartErrors]: ...


@dataclasses.dataclass(frozen=True)
class Figures:
    """One table: headings, and rows of a name and numbers."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float, ...]], ...]
    digits: int = 2


def by_part(faces: Sequence[GroupedFace], methods: Sequence[str]) -> Figures:
    """Mean errors by part and along each axis."""
    found = [face for face in faces if face.errors]

    def row(name: str, value: Callable[[PartErrors], float]):
        means = (np.mean([value(face.errors[method]) for face in found]) for method in methods)
        return name, tuple(map(float, means))

    parts = [row(name, lambda e, k=k: e.parts[k]) for k, name in enumerate(PARTS)]
    axes = [row(f"along {name}", lambda e, k=k: e.axes[k]) for k, name in enumerate(AXES)]
    return Figures("By part and axis, mm", ("", *methods), (*parts, *axes))


def by_group(
    faces: Sequence[GroupedFace], methods: Sequence[str], orders: Mapping[str, Sequence[str]]
) -> list[Figures]:
    """Mean errors in each group, a table for each kind.

    Args:
      faces: all faces.
      methods: the columns.
      orders: kind -> its groups in order; groups of other kinds are in order of the alphabet.
    """
    return [
        _of_kind(faces, methods, kind, orders.get(kind, ()))
        for kind in (faces[0].groups if faces else ())
    ]


def _of_kind(faces, methods, kind: str, order: Sequence[str]) -> Figures:
    rows = []
    names = {face.groups[kind] for face in faces}
    for name in sorted(names, key=lambda one: (order.index(one) if one in order else 0, one)):
        inside = [face for face in faces if face.groups[kind] == name]
        found = [face for face in inside if face.errors]
        means = (_mean(found, method) for method in methods)
        rows.append((name, (float(len(inside)), float(len(inside) - len(found)), *means)))
    return Figures(f"By {kind}, mm", (kind, *COUNTS, *methods), tuple(rows))


def _mean(faces: Sequence[GroupedFace], method: str) -> float:
    return float(np.mean([f.errors[method].mean for f in faces])) if faces else float("nan")


def as_rich(figures: Figures) -> Table:
    """For a terminal."""
    table = Table(title=figures.title)
    for number, heading in enumerate(figures.headings):
        table.add_column(heading, justify="right" if number else "left")
    for name, values in figures.rows:
        table.add_row(name, *_words(figures, values))
    return table


def as_markdown(tables: Sequence[Figures]) -> str:
    """For a page of the documentation."""
    lines = []
    for figures in tables:
        lines += [f"{figures.title}:", "", _line(figures.headings)]
        lines.append(_line(("---",) + ("---:",) * (len(figures.headings) - 1)))
        lines += [_line((name, *_words(figures, values))) for name, values in figures.rows]
        lines.append("")
    return "\n".join(lines)


def _line(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"


def _words(figures: Figures, values: Sequence[float]) -> list[str]:
    counted = {k for k, heading in enumerate(figures.headings[1:]) if heading in COUNTS}
    return [
        f"{value:.0f}" if k in counted else f"{value:.{figures.digits}f}"
        for k, value in enumerate(values)
    ]
