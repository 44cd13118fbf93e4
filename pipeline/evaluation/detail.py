"""How true is the recovered detail? Relief against known relief: `facerelief evaluate --detail`.

What a method adds to the coarse face is compared with what was added to it before it was
photographed; errors of the coarse face itself do not count. 48 faces take about five minutes.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from rich.table import Table

from facemodel.detail.relief import recover_relief
from facemodel.detail.solve import gradient, tilted_normals
from facemodel.detail.surface import linear_from_srgb
from facemodel.files import write_bytes
from pipeline.evaluation.detail_truth import DetailTruth, Pixels, TruthModel, render_truth

COUNT = 48
SEED = 20_150_612
HIGH_PASS_MM = 3.0
"""Relief is compared after a high-pass with a Gaussian of this standard deviation."""
SMALLEST_FACING = 0.3
MARGIN_PX = 4
NONE, METHOD, DARK = "no detail", "shape from shading", "dark is deep"
FITTED = "shape from shading, fitted face"
WITHOUT_MARKS = "shape from shading, no marks"
FALSE = ("plain skin", "brows", "beard", "moles", "lipstick")


class Detail(NamedTuple):
    """What a method adds, at the photo's pixels.

    Attributes:
      displacement: [S, S] mm.
      tilt: [S, S, 3] refined minus coarse normals.
    """

    displacement: np.ndarray
    tilt: np.ndarray


@dataclasses.dataclass(frozen=True)
class Row:
    """One method: medians over faces, except as said.

    Attributes:
      method: its name.
      coarse_deg, refined_deg: RMS error of the normals before and after.
      correlation, gain: of the displacement's high-pass with the ground truth's.
      explained, explained_mean: share of the energy of that high-pass, median and mean.
      false_deg: kind of skin -> RMS tilt that the method makes up on faces without relief.
    """

    method: str
    coarse_deg: float
    refined_deg: float
    correlation: float
    gain: float
    explained: float
    explained_mean: float
    false_deg: dict[str, float]


def recover(truth: DetailTruth, *, fitted: bool = False) -> Detail:
    """The project's method, told the exact coarse face or one with a fit's errors."""
    surface = truth.fitted_surface if fitted else truth.surface
    relief = recover_relief(truth.photo, surface, truth.fitted_pose if fitted else truth.pose)
    rows, columns = np.indices(truth.photo.shape[:2]) + 0.5
    places = np.stack([columns, rows], -1).reshape(-1, 2)
    crop = (places - relief.corner) * relief.zoom
    height, width = relief.depth.shape
    inside = ((crop >= 0) & (crop <= (width, height))).all(-1)
    displacement = relief.at(relief.displacement, places) * inside
    tilt = relief.at(relief.normals - relief.coarse_normals, places) * inside[:, None]
    shape = truth.photo.shape
    return Detail(displacement.reshape(shape[:2]), tilt.reshape(shape))


def dark_is_deep(truth: DetailTruth, gain: float | None) -> tuple[Detail, float]:
    """The baseline: band-passed log luminance times a gain.

    Args:
      truth: The photo.
      gain: mm; None for the one that explains most of this face's true relief.
    """
    pixels, skin = truth.pixels, evaluated(truth.pixels)
    grey = np.log(np.maximum(linear_from_srgb(truth.photo.mean(-1) / 255.0), 1e-3))
    band = high_pass(np.float32(grey), skin, truth.pose.scale)
    if gain is None:
        target = high_pass(pixels.height, skin, truth.pose.scale)
        gain = float(np.vdot(band, target) / max(float(np.vdot(band, band)), 1e-12))
    displacement = np.float32(gain) * band
    right, up = gradient(displacement)
    normals, _ = tilted_normals(pixels.normals, right, up, truth.pose.scale)
    return Detail(displacement, normals - pixels.normals), gain


def evaluated(pixels: Pixels) -> np.ndarray:
    """bool [S, S], the skin that counts: not at outlines and not at grazing angles."""
    skin = pixels.mask & (pixels.skin > 0.99) & (pixels.normals[..., 2] > SMALLEST_FACING)
    around = np.ones((2 * MARGIN_PX + 1,) * 2, np.uint8)
    return cv2.erode(skin.astype(np.uint8), around) > 0


def high_pass(values: np.ndarray, skin: np.ndarray, px_per_mm: float) -> np.ndarray:
    """Values [S, S] less their Gaussian average over the skin; 0 elsewhere."""
    weights, sigma = skin.astype(np.float32), HIGH_PASS_MM * px_per_mm
    smooth = cv2.GaussianBlur(np.float32(values) * weights, (0, 0), sigma)
    smooth /= np.maximum(cv2.GaussianBlur(weights, (0, 0), sigma), 1e-3)
    return (values - smooth) * weights


def accuracy(truth: DetailTruth, detail: Detail) -> dict[str, float]:
    """Correlation, gain and share explained of the relief, and errors of normals in degrees."""
    pixels, skin = truth.pixels, evaluated(truth.pixels)
    wanted, found = (
        high_pass(values, skin, truth.pose.scale).astype(np.float64)
        for values in (pixels.height, detail.displacement)
    )
    energy, own, common = (wanted**2).sum(), (found**2).sum(), (wanted * found).sum()
    return {
        "correlation": common / np.sqrt(max(energy * own, 1e-30)),
        "gain": common / energy,
        "explained": 1 - ((wanted - found) ** 2).sum() / energy,
        "coarse_deg": rms_angle(pixels.normals, pixels.displaced, skin),
        "refined_deg": rms_angle(pixels.normals + detail.tilt, pixels.displaced, skin),
    }


def false_relief(truth: DetailTruth, detail: Detail) -> dict[str, float]:
    """Kind of skin -> RMS tilt in degrees that a method finds where there is no relief."""
    pixels, skin = truth.pixels, evaluated(truth.pixels)
    marked = np.any(list(pixels.areas.values()), 0)
    areas = {FALSE[0]: ~marked, **pixels.areas}
    tilted = pixels.normals + detail.tilt
    return {kind: rms_angle(pixels.normals, tilted, skin & area) for kind, area in areas.items()}


def rms_angle(first: np.ndarray, second: np.ndarray, chosen: np.ndarray) -> float:
    """Root mean square angle in degrees between vectors [S, S, 3] where chosen; NaN if nowhere."""
    a, b = first[chosen].astype(np.float64), second[chosen].astype(np.float64)
    if not len(a):
        return float("nan")
    sine = np.linalg.norm(np.cross(a, b), axis=-1)
    angle = np.arctan2(sine, (a * b).sum(-1))
    return float(np.degrees(np.sqrt((angle**2).mean())))


def evaluate_face(model: TruthModel, seed: int, index: int) -> dict[str, dict[str, float]]:
    """Method -> its figures on one face; those of false relief by the kind of skin."""
    photo, clean, flat = (
        render_truth(model, seed, index, with_relief=with_relief, marks=marks)
        for with_relief, marks in ((True, True), (True, False), (False, True))
    )
    dark, gain = dark_is_deep(photo, None)
    nothing = Detail(np.zeros_like(dark.displacement), np.zeros_like(dark.tilt))
    return {
        NONE: accuracy(photo, nothing) | false_relief(flat, nothing),
        DARK: accuracy(photo, dark) | false_relief(flat, dark_is_deep(flat, gain)[0]),
        METHOD: accuracy(photo, recover(photo)) | false_relief(flat, recover(flat)),
        FITTED: accuracy(photo, recover(photo, fitted=True))
        | false_relief(flat, recover(flat, fitted=True)),
        WITHOUT_MARKS: accuracy(clean, recover(clean)),
    }


def summarise(faces: Iterator[dict[str, dict[str, float]]]) -> tuple[Row, ...]:
    """Medians over faces by method."""
    collected: dict[str, dict[str, list[float]]] = {}
    for face in faces:
        for method, figures in face.items():
            for name, value in figures.items():
                collected.setdefault(method, {}).setdefault(name, []).append(value)
    rows = []
    for method, figures in collected.items():
        median = {name: float(np.nanmedian(values)) for name, values in figures.items()}
        false = {kind: median.pop(kind) for kind in FALSE if kind in median}
        mean = float(np.mean(figures["explained"]))
        rows.append(Row(method, explained_mean=mean, false_deg=false, **median))
    return tuple(rows)


def run(*, count: int, seed: int) -> tuple[Row, ...]:
    """Evaluates faces of the default model with a progress bar."""
    from rich.progress import track

    model = TruthModel.create()
    indices = track(range(count), "Evaluating detail", transient=True)
    return summarise(evaluate_face(model, seed, index) for index in indices)


def as_table(rows: tuple[Row, ...], *, count: int, seed: int) -> Table:
    """The rows as a table for a terminal."""
    table = Table(title=f"Detail on {count} faces, seed {seed}: medians; false relief in degrees")
    for heading in ("method", "normals", "corr.", "gain", "explained", "mean", *FALSE):
        table.add_column(heading, justify="left" if heading == "method" else "right")
    for row in rows:
        false = [f"{row.false_deg[kind]:.2f}" if kind in row.false_deg else "" for kind in FALSE]
        table.add_row(
            row.method, f"{row.coarse_deg:.2f} -> {row.refined_deg:.2f}", f"{row.correlation:.2f}",
            f"{row.gain:.2f}", f"{row.explained:.1%}", f"{row.explained_mean:.1%}", *false,
        )  # fmt: skip
    return table


def write_json(rows: tuple[Row, ...], path: pathlib.Path, *, count: int, seed: int) -> None:
    """Writes the rows; the file appears under its name only when complete."""
    content = {"faces": count, "seed": seed, "rows": [dataclasses.asdict(row) for row in rows]}
    write_bytes(path, (json.dumps(content, indent=2) + "\n").encode())
