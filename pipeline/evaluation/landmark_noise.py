"""Measures how MediaPipe's landmarks differ from the ground truth on lifelike renders."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from facemodel.morphable import landmarks
from facemodel.morphable.geometry import FaceGeometry
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis import slices
from facemodel.synthesis.detector_errors import DetectorErrors
from facemodel.synthesis.scenes import SceneModel
from pipeline.datasets.detections import detections_in_turns, is_found

SHARED_COUNT = 24
"""How many directions of shared errors are kept."""
CLIP_SD = 4.0
_INNER = np.asarray(landmarks.INNER_51)
_MAD_TO_SD = 1.4826


@dataclasses.dataclass(frozen=True, eq=False)
class Residuals:
    """Detected minus true landmarks on renders.

    Attributes:
      errors_mm: [N, 478, 2] at the face's scale, image axes (y down); NaN where nothing was found.
      places_mm: [N, 478, 2] the true landmarks, at the same scale.
      yaw_bin: [N] as in facemodel.synthesis.slices.
    """

    errors_mm: np.ndarray
    places_mm: np.ndarray
    yaw_bin: np.ndarray

    @property
    def detected(self) -> np.ndarray:
        """[N] whether the face was found."""
        return is_found(self.errors_mm)


def measure(
    model: MorphableModel, *, count: int, seed: int, recipes: Sequence[str] = ("lifelike",)
) -> Residuals:
    """Renders faces, detects them, and compares.

    Args:
      model: Face model to sample from.
      count: Number of faces.
      seed: Random seed of the faces.
      recipes: Recipes of the images, one of each in turns.
    """
    errors, places, bins = [], [], []
    photos = detections_in_turns(SceneModel.create(model), recipes, seed=seed)
    for found in itertools.islice(photos, count):
        true, scale = found.sample["face/landmarks_true"], found.sample["pose/scale"]
        errors.append(found.errors_mm)
        places.append(true / scale)
        bins.append(int(found.sample["slice/yaw_bin"]))
    return Residuals(np.stack(errors), np.stack(places), np.array(bins))


def fit_errors(geometry: FaceGeometry, residuals: Residuals) -> DetectorErrors:
    """Describes residuals of the inner landmarks of faces that were found, with the faces."""
    true = residuals.places_mm[residuals.detected][:, _INNER]
    found = true + residuals.errors_mm[residuals.detected][:, _INNER]
    return DetectorErrors.fit(geometry, true, found)


def fit(residuals: Residuals) -> LandmarkNoise:
    """Describes residuals by a normal distribution: bias, shared directions, and the rest.

    Robust: medians, and errors cut off at CLIP_SD of each landmark's own spread.
    """
    errors = residuals.errors_mm[residuals.detected]
    middle, spread = _median_and_sd(errors)
    centred = np.clip(errors - middle, -CLIP_SD * spread, CLIP_SD * spread)
    flat = centred.reshape(len(centred), -1)
    _, values, directions = np.linalg.svd(flat / np.sqrt(len(flat)), full_matrices=False)
    shared = directions[:SHARED_COUNT].T * values[:SHARED_COUNT]
    rest = np.sqrt(np.maximum((flat**2).mean(0) - (shared**2).sum(1), 0.0))
    return LandmarkNoise(
        mean=middle.astype(np.float16),
        factor=shared.reshape(*middle.shape, -1).astype(np.float16),
        rest_sd=rest.reshape(middle.shape).astype(np.float16),
    )


def _median_and_sd(errors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Robust mean and standard deviation over the first axis."""
    middle = np.median(errors, 0)
    return middle, _MAD_TO_SD * np.median(np.abs(errors - middle), 0)


@dataclasses.dataclass(frozen=True)
class Summary:
    """Statistics of the 51 inner landmarks in one group of faces, in mm unless named.

    Attributes:
      group: Name of what the faces have in common.
      faces, detected: Numbers of faces, and of faces that were found.
      bias: root mean square of the landmarks' median errors, per coordinate.
      sd: root mean square of their robust standard deviations.
      total: both together.
      shift: robust standard deviation of the whole face's displacement, x and y.
      scale_percent, roll_deg: and of its size and its turn in the image.
      sd_aligned: like sd, after shift, scale and roll of each face were taken out.
    """

    group: str
    faces: int
    detected: int
    bias: float
    sd: float
    total: float
    shift: tuple[float, float]
    scale_percent: float
    roll_deg: float
    sd_aligned: float


def summarise(residuals: Residuals) -> list[Summary]:
    """All faces together, then by yaw."""
    groups = [("all", np.ones(len(residuals.yaw_bin), bool))]
    edges = (-np.inf, *slices.YAW_EDGES_DEG, np.inf)
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        groups.append((_yaw_name(low, high), residuals.yaw_bin == number))
    return [
        _summary(name, residuals, chosen)
        for name, chosen in groups
        if (chosen & residuals.detected).sum() >= 2
    ]


def _yaw_name(low: float, high: float) -> str:
    if not np.isfinite(low):
        return f"yaw below {high:.0f}°"
    return f"yaw {low:.0f}° to {high:.0f}°" if np.isfinite(high) else f"yaw above {low:.0f}°"


def _summary(name: str, residuals: Residuals, chosen: np.ndarray) -> Summary:
    kept = chosen & residuals.detected
    errors, places = residuals.errors_mm[kept][:, _INNER], residuals.places_mm[kept][:, _INNER]
    middle, spread = _median_and_sd(errors)
    shift, scale, roll, rest = _take_out_similarity(errors - middle, places)
    _, spread_aligned = _median_and_sd(rest)

    def size(values):
        return float(np.sqrt((values**2).mean()))

    _, shift_sd = _median_and_sd(shift)
    return Summary(
        group=name,
        faces=int(chosen.sum()),
        detected=int(kept.sum()),
        bias=size(middle),
        sd=size(spread),
        total=float(np.hypot(size(middle), size(spread))),
        shift=(float(shift_sd[0]), float(shift_sd[1])),
        scale_percent=float(100 * _median_and_sd(scale)[1]),
        roll_deg=float(np.rad2deg(_median_and_sd(roll)[1])),
        sd_aligned=size(spread_aligned),
    )


def _take_out_similarity(errors: np.ndarray, places: np.ndarray):
    """Splits errors [N, L, 2] into shift [N, 2], relative scale [N], turn [N] rad and the rest."""
    shift = errors.mean(1)
    arms = places - places.mean(1, keepdims=True)
    moved = errors - shift[:, None]
    square = (arms**2).sum((1, 2))
    turned = np.stack([-arms[..., 1], arms[..., 0]], -1)
    scale = (moved * arms).sum((1, 2)) / square
    roll = (moved * turned).sum((1, 2)) / square
    rest = moved - scale[:, None, None] * arms - roll[:, None, None] * turned
    return shift, scale, roll, rest


_PARTS = (("brows", 10), ("nose", 9), ("eyes", 12), ("outer lips", 12), ("inner lips", 8))
"""Parts of the 51 inner landmarks, in order."""


@dataclasses.dataclass(frozen=True)
class PartSummary:
    """Errors of one part of the face over all detected faces, mm, in x and y of the image."""

    part: str
    bias: tuple[float, float]
    sd: tuple[float, float]


def summarize_parts(residuals: Residuals) -> list[PartSummary]:
    """Root mean squares over each part's landmarks, like Summary's bias and sd."""
    middle, spread = _median_and_sd(residuals.errors_mm[residuals.detected][:, _INNER])
    ends = np.cumsum([count for _, count in _PARTS])
    summaries = []
    for (name, count), end in zip(_PARTS, ends):
        bias, sd = (np.sqrt((v[end - count : end] ** 2).mean(0)) for v in (middle, spread))
        summaries.append(PartSummary(name, (bias[0], bias[1]), (sd[0], sd[1])))
    return summaries


_COLUMNS = (
    "faces", "found", "bias", "sd", "bias and sd", "shift x, y", "scale %", "roll °", "sd aligned"
)  # fmt: skip


def as_markdown(residuals: Residuals) -> str:
    """Two tables: by yaw, and by part of the face."""
    rows = [
        f"| {s.group} | {s.faces} | {100 * s.detected / s.faces:.0f} % | {s.bias:.2f} | {s.sd:.2f} "
        f"| {s.total:.2f} | {s.shift[0]:.2f}, {s.shift[1]:.2f} | {s.scale_percent:.2f} "
        f"| {s.roll_deg:.2f} | {s.sd_aligned:.2f} |"
        for s in summarise(residuals)
    ]
    parts = [
        f"| {p.part} | {p.bias[0]:.2f}, {p.bias[1]:.2f} | {p.sd[0]:.2f}, {p.sd[1]:.2f} |"
        for p in summarize_parts(residuals)
    ]
    return "\n".join(
        [
            *_head("faces are", *_COLUMNS),
            *rows,
            "",
            *_head("part", "bias x, y", "sd x, y"),
            *parts,
        ]
    )


def _head(*names: str) -> list[str]:
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
