"""How good are tracks of people in films? Errors, jitter and lag on a clip whose truth is known.

Run as `python -m pipeline.evaluation.video`.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from facemodel.morphable.landmarks import IBUG_68
from facemodel.morphable.model import MorphableModel
from pipeline.evaluation.clip_truth import FPS, HEIGHT, WIDTH, ClipFrame, ClipRenderer
from serving.detection.detector import FaceDetector
from serving.quality import euler_angles
from serving.reconstructor import Reconstructor
from serving.tracking.estimator import FilmEstimator
from serving.tracking.records import FrameRecord
from serving.tracking.refine import make_tracks
from serving.tracking.tracker import FAST_EVERY, Tracker

LIDS = ((37, 41), (38, 40), (43, 47), (44, 46))
LIPS = ((61, 67), (62, 66), (63, 65))
JAW_POINTS = 17
UNTIMED = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Answer:
    """What one way of tracking says about F frames.

    Attributes:
      pixels: [F, 68, 2] px.
      points: [F, 68, 3] mm, model space.
      yaw_deg: [F].
      coefficients: [F, n].
    """

    pixels: np.ndarray
    points: np.ndarray
    yaw_deg: np.ndarray
    coefficients: np.ndarray


@dataclasses.dataclass(frozen=True)
class TrackErrors:
    """Errors of one way of tracking.

    Attributes:
      landmarks_px: mean distance of the 51 inner landmarks.
      jitter_px: root mean square of their second differences, less that of the truth.
      yaw_deg: root mean square error.
      neutral_sd_mm: how far neutral shapes of the frames are from their mean.
      neutral_mm: mean distance of the mean neutral shape from the truth after similarity.
      lids: correlation, lag in frames and gain of the opening of the eyes.
      lips: the same of the mouth.
    """

    landmarks_px: float
    jitter_px: float
    yaw_deg: float
    neutral_sd_mm: float
    neutral_mm: float
    lids: tuple[float, float, float]
    lips: tuple[float, float, float]


def measure(answer: Answer, truth: Sequence[ClipFrame], model: MorphableModel) -> TrackErrors:
    """Compares an answer with the truth."""
    pixels = np.stack([frame.landmarks_68_px for frame in truth])
    points = np.stack([frame.landmarks_68_mm for frame in truth])
    yaw = np.array([frame.yaw_deg for frame in truth])
    count, inner = model.identity_count, model.inner_face

    def neutral(identity: np.ndarray) -> np.ndarray:
        moves = np.tensordot(identity, model.identity[:, inner], 1)
        result: np.ndarray = model.mean[inner] + moves
        return result

    each = neutral(answer.coefficients[:, :count])
    wanted = neutral(truth[0].coefficients[:count])
    away = (answer.pixels - pixels)[:, JAW_POINTS:]
    return TrackErrors(
        landmarks_px=float(np.linalg.norm(away, axis=-1).mean()),
        jitter_px=jitter(answer.pixels) - jitter(pixels),
        yaw_deg=float(np.sqrt(np.square(answer.yaw_deg - yaw).mean())),
        neutral_sd_mm=float(np.sqrt(np.square(each - each.mean(0)).sum(-1).mean())),
        neutral_mm=aligned_distance(each.mean(0), wanted),
        lids=agreement(opening(answer.points, LIDS), opening(points, LIDS)),
        lips=agreement(opening(answer.points, LIPS), opening(points, LIPS)),
    )


def jitter(pixels: np.ndarray) -> float:
    """Root mean square of second differences of the inner landmarks, px: [F, 68, 2]."""
    bent = np.diff(pixels[:, JAW_POINTS:], 2, axis=0)
    return float(np.sqrt(np.square(bent).sum(-1).mean()))


def opening(points: np.ndarray, pairs: Sequence[tuple[int, int]]) -> np.ndarray:
    """[F] mm, mean distance of pairs of points [F, 68, 3]."""
    apart = [np.linalg.norm(points[:, a] - points[:, b], axis=-1) for a, b in pairs]
    result: np.ndarray = np.mean(apart, axis=0)
    return result


def agreement(found: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Best correlation of two signals [F], the lag in frames at which it is, and the gain there."""
    frames, inner = np.arange(len(truth)), slice(4, -4)
    best = (-2.0, 0.0, 0.0)
    for lag in np.arange(-3.0, 3.01, 0.1):
        moved = np.interp(frames - lag, frames, truth)[inner]
        correlation = float(np.corrcoef(found[inner], moved)[0, 1])
        if correlation > best[0]:
            best = (correlation, float(lag), float(np.polyfit(moved, found[inner], 1)[0]))
    return best


def aligned_distance(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance in mm of two sets of points [N, 3] after the best similarity."""
    one, other = found - found.mean(0), truth - truth.mean(0)
    left, values, right = np.linalg.svd(one.T @ other)
    scale = values.sum() / np.square(one).sum()
    return float(np.linalg.norm(scale * one @ left @ right - other, axis=1).mean())


def detected(records: Sequence[FrameRecord], frame_by_frame: Answer) -> Answer:
    """The detector's own landmarks, for comparison; the rest is that of another answer."""
    pixels = np.stack([record.faces[0].landmarks[list(IBUG_68)] for record in records])
    return dataclasses.replace(frame_by_frame, pixels=pixels.astype(float))


def frame_by_frame(truth: Sequence[ClipFrame]) -> Answer:
    """What photos would give: each frame for itself, with a whole search and three iterations."""
    with Reconstructor() as reconstructor:
        faces = [reconstructor.reconstruct(frame.image, max_faces=1)[0] for frame in truth]
    return Answer(
        pixels=np.stack([face.landmarks_68_px for face in faces]).astype(float),
        points=np.stack([face.landmarks_68_mm for face in faces]).astype(float),
        yaw_deg=np.degrees([euler_angles(face.rotation)[0] for face in faces]),
        coefficients=np.stack([face.coefficients for face in faces]).astype(float),
    )


def tracked(records: Sequence[FrameRecord], model: MorphableModel, *, causal: bool) -> Answer:
    """What the second pass makes of the first one's records."""
    track = make_tracks(records, model, fps=FPS, size=(HEIGHT, WIDTH), causal=causal)[0]
    return Answer(
        track.landmarks_68_px.astype(float), track.landmarks_68_mm.astype(float),
        track.yaw_deg.astype(float), track.coefficients.astype(float),
    )  # fmt: skip


def first_pass(
    frames: Sequence[np.ndarray], *, network_every: int
) -> tuple[list[FrameRecord], float]:
    """Records of frames uint8 [H, W, 3], and how many a second; the first ten compile."""
    records, took = [], 0.0
    with threadpool_limits(1, user_api="blas"), FaceDetector() as detector:
        tracker = Tracker(detector, FilmEstimator(), network_every=network_every)
        for number, image in enumerate(frames):
            began = time.perf_counter()
            records.append(tracker.step(number, image))
            took += (time.perf_counter() - began) * (number >= UNTIMED)
    return records, max(0, len(frames) - UNTIMED) / max(took, 1e-9)


def run(*, count: int, seed: int) -> tuple[dict[str, TrackErrors], dict[str, float]]:
    """Tracks one clip in all ways; also says how many frames a second the first passes did."""
    renderer = ClipRenderer(seed)
    truth = [renderer.frame(number) for number in range(count)]
    frames = [frame.image for frame in truth]
    records, speed = first_pass(frames, network_every=1)
    fast, fast_speed = first_pass(frames, network_every=FAST_EVERY)
    answers = {"frame by frame": frame_by_frame(truth)}
    answers["the detector's landmarks"] = detected(records, answers["frame by frame"])
    answers["film"] = tracked(records, renderer.model, causal=False)
    answers["film, causal"] = tracked(records, renderer.model, causal=True)
    answers["film, fast"] = tracked(fast, renderer.model, causal=False)
    found = {name: measure(answer, truth, renderer.model) for name, answer in answers.items()}
    return found, {"film": speed, "film, fast": fast_speed}


def as_table(found: dict[str, TrackErrors]) -> Table:
    """The errors as a table for a terminal."""
    table = Table()
    headings = ("", "landmarks px", "jitter px", "yaw deg", "neutral sd mm", "neutral mm",
                "lids r, lag, gain", "lips r, lag, gain")  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right" if heading else "left")
    for name, errors in found.items():
        row = [f"{errors.landmarks_px:.2f}", f"{errors.jitter_px:.2f}"]
        if name != "the detector's landmarks":
            row += [f"{value:.2f}" for value in
                    (errors.yaw_deg, errors.neutral_sd_mm, errors.neutral_mm)]  # fmt: skip
            row += [f"{r:.3f}, {lag:.1f}, {gain:.2f}" for r, lag, gain in
                    (errors.lids, errors.lips)]  # fmt: skip
        table.add_row(name, *row)
    return table


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    found, speed = run(count=options.frames, seed=options.seed)
    console = Console(width=140)
    console.print(as_table(found))
    for name, rate in speed.items():
        console.print(f"{name}: first pass {rate:.1f} frames/s at {WIDTH} x {HEIGHT} px")


if __name__ == "__main__":
    main()
