"""The second pass: one identity for each person, and motion without jitter."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from facemodel.fitting.expression_fit import (
    KnownFace,
    Poses,
    fit_expressions,
)
from facemodel.fitting.identity_posterior import IdentityPosterior, posterior_of
from facemodel.morphable.landmark_noise import LandmarkNoise
from facemodel.morphable.landmarks import IBUG_68, INNER_51, embedded_points
from facemodel.morphable.model import MorphableModel
from serving.quality import assess
from serving.tracking.motion import from_channels, segments, smoothed, to_channels
from serving.tracking.records import FaceRecord, FrameRecord
from serving.tracking.track import FLAGS, Track

EXPRESSION_SD = 0.1
"""How far the landmarks may take an expression from what the network says."""
OFFSET_PRIOR = 1.0
"""Frames' worth of trust that the detector has no offset of its own on this person."""
OFFSET_ROUNDS = 2
LEAST_FRAMES = 5
"""People who are there for fewer are taken for mistakes."""
BLURRED = 0.5
_BATCH = 64
_JAW = 17


@dataclasses.dataclass(frozen=True, eq=False)
class Shape68:
    """The 68 points of the face model, linear in its coefficients.

    Attributes:
      mean: [68, 3] mm.
      identity: [I, 68, 3] mm per standard deviation.
      expression: [E, 68, 3] mm at weight 1.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray

    @classmethod
    def of(cls, model: MorphableModel) -> Shape68:
        """Those of a face model at any level."""
        points = (array[list(IBUG_68)] for array in
                  (model.landmark_triangles, model.landmark_barycentric))  # fmt: skip
        at = (model.triangles, *points)
        return cls(
            *(embedded_points(part.astype(np.float64), *at)
              for part in (model.mean, model.identity, model.expression))
        )  # fmt: skip

    def neutral(self, identity: np.ndarray) -> np.ndarray:
        """[68, 3] mm of a neutral face with identity [I]."""
        return self.mean + np.tensordot(identity, self.identity, 1)


@dataclasses.dataclass(frozen=True, eq=False)
class _Rows:
    """What the first pass found of one person, in the frames in which it is."""

    frame: np.ndarray
    faces: list[FaceRecord]

    @property
    def pixels(self) -> np.ndarray:
        return np.stack([face.landmarks[list(INNER_51)] for face in self.faces]).astype(float)

    @property
    def weights(self) -> np.ndarray:
        return np.array([face.weight for face in self.faces])


def make_tracks(
    records: Iterable[FrameRecord],
    model: MorphableModel,
    *,
    fps: float,
    size: tuple[int, int],
    causal: bool = False,
) -> list[Track]:
    """Makes a track for each person.

    Args:
      records: of all frames, in order.
      model: the face model, at any level.
      fps: frames per second.
      size: (height, width) of the frames, px.
      causal: use no later frame for an earlier one: identity as known then, a One-Euro filter.

    Returns:
      Tracks of the people who are there for LEAST_FRAMES, those who are there longest first.
    """
    people: dict[int, list[tuple[int, FaceRecord]]] = {}
    cuts = []
    for record in records:
        if record.cut:
            cuts.append(record.number)
        for face in record.faces:
            people.setdefault(face.person, []).append((record.number, face))
    shape = Shape68.of(model)
    kept = [own for own in people.values() if len(own) >= LEAST_FRAMES]
    kept.sort(key=lambda own: (-len(own), own[0][0]))
    return [
        _track(
            _Rows(np.array([n for n, _ in own]), [face for _, face in own]),
            shape, np.array(cuts, int), fps=fps, size=size, causal=causal,
        )
        for own in kept
    ]  # fmt: skip


def _track(rows: _Rows, shape: Shape68, cuts, *, fps: float, size, causal: bool) -> Track:
    count = len(shape.identity)
    estimates = np.stack([face.coefficients for face in rows.faces]).astype(float)
    posterior = posterior_of(estimates[:, :count], rows.weights)
    if causal:
        identities, expression, pose = _causal(rows, shape, estimates, fps)
    else:
        expression, pose = fit_known(
            rows.pixels, shape.neutral(posterior.mean)[_JAW:], shape, estimates[:, count:]
        )
        identities = np.repeat(posterior.mean[None], len(expression), 0)
    return _assemble(rows, shape, cuts, posterior, identities, expression, pose, fps, size, causal)


def fit_known(
    pixels: np.ndarray, neutral: np.ndarray, shape: Shape68, expected: np.ndarray
) -> tuple[np.ndarray, Poses]:
    """Expressions and poses of a known face, and on the way the detector's offset on it.

    What the detector gets wrong in all frames alike (a brow too high, a nose too far out) would
    turn heads and raise brows: it is measured on all frames and taken off.

    Args:
      pixels: Inner landmarks [F, 51, 2] px.
      neutral: [51, 3] mm.
      shape: of the face model.
      expected: [F, E] the network's expressions.
    """
    face = KnownFace.create(
        neutral, shape.expression[:, _JAW:], LandmarkNoise.load().select(INNER_51)
    )
    chosen = _spread_out(len(pixels), 4 * _BATCH)
    for _ in range(OFFSET_ROUNDS):
        expression, pose = _fit(face, pixels[chosen], expected[chosen])
        face = face.with_neutral(face.neutral + _offset(face, pixels[chosen], expression, pose))
    return _fit(face, pixels, expected)


def _fit(face: KnownFace, pixels: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, Poses]:
    parts = [
        fit_expressions(
            face, pixels[k : k + _BATCH], expected=expected[k : k + _BATCH], sd=EXPRESSION_SD
        )
        for k in range(0, len(pixels), _BATCH)
    ]
    poses = (np.concatenate([getattr(pose, name) for _, pose in parts]) for name in Poses._fields)
    return np.concatenate([expression for expression, _ in parts]), Poses(*poses)


def _offset(face: KnownFace, pixels, expression, pose: Poses) -> np.ndarray:
    """[51, 3] mm by which landmarks are seen beside the mesh, over all frames."""
    residual = (pixels - pose.project(face.points(expression))) / pose.scale[:, None, None]
    rows = pose.rotation[:, :2]
    normal = np.einsum("fik,fil->kl", rows, rows) + OFFSET_PRIOR * np.eye(3)
    right = np.einsum("fik,fli->lk", rows, residual * (1, -1))
    result: np.ndarray = np.linalg.solve(normal, right.T).T
    return result


def _spread_out(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _causal(rows: _Rows, shape: Shape68, estimates: np.ndarray, fps: float):
    """Identity as known in each frame, and the fit to it."""
    count = len(shape.identity)
    posterior, identities, expressions, poses = IdentityPosterior.prior(count), [], [], []
    face = KnownFace.create(
        shape.mean[_JAW:], shape.expression[:, _JAW:], LandmarkNoise.load().select(INNER_51)
    )
    for estimate, weight, pixels in zip(estimates, rows.weights, rows.pixels):
        posterior = posterior.updated(estimate[:count], weight)
        known = face.with_neutral(shape.neutral(posterior.mean)[_JAW:])
        expression, pose = _fit(known, pixels[None], estimate[None, count:])
        identities.append(posterior.mean)
        expressions.append(expression[0])
        poses.append(pose)
    joined = (np.concatenate([getattr(pose, name) for pose in poses]) for name in Poses._fields)
    return np.stack(identities), np.stack(expressions), Poses(*joined)


def _assemble(
    rows: _Rows, shape: Shape68, cuts, posterior, identities, expression, pose: Poses,
    fps: float, size, causal: bool,
) -> Track:  # fmt: skip
    first, last = int(rows.frame[0]), int(rows.frame[-1])
    count, place = last - first + 1, rows.frame - first
    table = np.full((count, 6 + expression.shape[1]), np.nan)
    middle, reference = shape.neutral(identities[0])[_JAW:].mean(0), pose.rotation[0]
    table[place] = np.concatenate([to_channels(pose, middle, reference), expression], 1)
    valid = np.zeros(count, bool)
    for part in segments(rows.frame, cuts):
        begin, end = part[0] - first, part[-1] - first + 1
        inside = np.isin(np.arange(begin, end) + first, part)
        table[begin:end] = smoothed(table[begin:end], inside, fps, causal)
        valid[begin:end] = inside if causal else True
    identity = np.full((count, identities.shape[1]), posterior.mean)
    identity[place] = identities
    pose = from_channels(table[:, :6], middle, reference)
    mm = shape.mean + np.tensordot(identity, shape.identity, 1)
    mm = mm + np.tensordot(table[:, 6:], shape.expression, 1)
    coefficients = np.concatenate([identity, table[:, 6:]], 1)
    best = int(rows.frame[int(np.argmax(rows.weights))])
    angles = _angles(pose.rotation)
    return Track(
        frame=np.arange(first, last + 1), time_s=np.arange(first, last + 1) / fps, valid=valid,
        landmarks_68_mm=_blank(mm, valid), landmarks_68_px=_blank(pose.project(mm), valid),
        neutral_68_mm=shape.neutral(posterior.mean).astype(np.float32),
        yaw_deg=_blank(angles[0], valid), pitch_deg=_blank(angles[1], valid),
        roll_deg=_blank(angles[2], valid), rotation=_blank(pose.rotation, valid),
        scale=_blank(pose.scale, valid), translation=_blank(pose.translation, valid),
        coefficients=_blank(coefficients, valid), identity_sd=posterior.sd,
        flags=_flags(rows, pose, mm, valid, first, cuts, size), best=best,
    )  # fmt: skip


def _angles(rotation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Yaw, pitch and roll [F] in degrees, as serving.quality.euler_angles."""
    yaw = np.arctan2(-rotation[:, 2, 0], rotation[:, 2, 2])
    pitch = np.arcsin(np.clip(rotation[:, 2, 1], -1.0, 1.0))
    roll = np.arctan2(-rotation[:, 0, 1], rotation[:, 1, 1])
    return np.degrees(yaw), np.degrees(pitch), np.degrees(roll)


def _blank(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    choose = valid.reshape(-1, *[1] * (values.ndim - 1))
    return np.where(choose, values, np.nan).astype(np.float32)


def _flags(rows: _Rows, pose: Poses, mm, valid, first: int, cuts, size) -> np.ndarray:
    """[F, len(FLAGS)] bool."""
    flags = np.zeros((len(valid), len(FLAGS)), bool)
    flags[:, FLAGS.index("filled_in")] = valid
    best = np.quantile([face.sharpness for face in rows.faces], 0.9)
    for number, face in zip(rows.frame, rows.faces):
        row = number - first
        one = Poses(*(part[row : row + 1] for part in pose))
        projected = one.project(mm[row : row + 1, _JAW:])[0]
        quality = assess(
            rotation=pose.rotation[row], scale=float(pose.scale[row]), detected_478=face.landmarks,
            residual_px=face.landmarks[list(INNER_51)] - projected, score=face.score,
            photo_size=size,
        )  # fmt: skip
        flags[row] = [name in quality.flags for name in FLAGS]
        flags[row, FLAGS.index("blurred")] = face.sharpness < BLURRED * best
        flags[row, FLAGS.index("after_cut")] = number in cuts
    return flags
