"""One person's way through a film, as arrays of all frames."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping

import numpy as np

import facemodel

FORMAT = "facerelief-track/1"
FLAGS = (
    "extreme_pose", "small_face", "cut_by_border", "low_confidence", "poor_fit", "blurred",
    "after_cut", "filled_in",
)  # fmt: skip
"""Those of serving.quality, and: less than half as sharp as the person's sharpest frames; first
frame after a cut; not seen in this frame but shortly before and after."""


@dataclasses.dataclass(frozen=True, eq=False)
class Track:
    """What is known of a person in F frames; rows of frames that are not valid hold NaN.

    Attributes:
      frame: [F] int, numbers of the frames, without gaps.
      time_s: [F] seconds from the film's beginning.
      valid: [F] bool, whether the person is there.
      landmarks_68_mm: [F, 68, 3] mm on the mesh, model space, with expression, without pose.
      landmarks_68_px: [F, 68, 2] px where they are in the frame.
      neutral_68_mm: [68, 3] mm of the neutral face, the same in all frames.
      yaw_deg: [F] positive: the nose points to image right.
      pitch_deg: [F] positive: it points down.
      roll_deg: [F] positive: the head is turned counter-clockwise in the frame.
      rotation: [F, 3, 3] camera_from_model.
      scale: [F] px/mm.
      translation: [F, 2] px, where the model's origin lands.
      coefficients: [F, n] identity, then expression.
      identity_sd: standard deviation of an identity coefficient.
      flags: [F, len(FLAGS)] bool.
      best: number of the frame that shows the face best: sharp, from in front.
    """

    frame: np.ndarray
    time_s: np.ndarray
    valid: np.ndarray
    landmarks_68_mm: np.ndarray
    landmarks_68_px: np.ndarray
    neutral_68_mm: np.ndarray
    yaw_deg: np.ndarray
    pitch_deg: np.ndarray
    roll_deg: np.ndarray
    rotation: np.ndarray
    scale: np.ndarray
    translation: np.ndarray
    coefficients: np.ndarray
    identity_sd: float
    flags: np.ndarray
    best: int

    def row(self, number: int) -> int | None:
        """Which row a frame has; None if the person is not there."""
        row = number - int(self.frame[0])
        return row if 0 <= row < len(self.frame) and self.valid[row] else None


def encode_npz(track: Track) -> bytes:
    """The bytes of the .npz: all arrays under their names, and flag_names."""
    content = io.BytesIO()
    arrays = {field.name: getattr(track, field.name) for field in dataclasses.fields(track)}
    np.savez_compressed(content, format=np.array(FORMAT), flag_names=np.array(FLAGS), **arrays)
    return content.getvalue()


def encode_json(track: Track, facts: Mapping[str, object]) -> bytes:
    """The bytes of the .json: the same without what only programs want, rounded.

    Args:
      track: the track.
      facts: of the film and of how it was made, which come first.
    """
    frames = [_frame(track, row) for row in range(len(track.frame))]
    said = {
        "format": FORMAT,
        "facerelief_version": facemodel.__version__,
        **facts,
        "units": "mm of an average head; px from the top-left corner, y down; degrees; seconds",
        "pose": "x_px = scale * diag(1, -1) * rotation[:2] * X_mm + translation",
        "frames_valid": int(track.valid.sum()),
        "best_frame": int(track.best),
        "identity_sd": round(float(track.identity_sd), 4),
        "neutral_68_mm": _rounded(track.neutral_68_mm, 3),
    }
    head = json.dumps(said, indent=1)[:-2]
    rows = ",\n  ".join(json.dumps(frame) for frame in frames)
    return f'{head},\n "frames": [\n  {rows}\n ]\n}}\n'.encode()


def _frame(track: Track, row: int) -> dict[str, object]:
    known = {"frame": int(track.frame[row]), "time_s": round(float(track.time_s[row]), 4)}
    if not track.valid[row]:
        return {**known, "valid": False}
    angles = {name: _rounded(getattr(track, name)[row], 3)
              for name in ("yaw_deg", "pitch_deg", "roll_deg")}  # fmt: skip
    return {
        **known,
        "valid": True,
        "flags": [name for name, is_so in zip(FLAGS, track.flags[row]) if is_so],
        **angles,
        "rotation": _rounded(track.rotation[row], 6),
        "scale": _rounded(track.scale[row], 5),
        "translation": _rounded(track.translation[row], 3),
        "landmarks_68_px": _rounded(track.landmarks_68_px[row], 2),
        "landmarks_68_mm": _rounded(track.landmarks_68_mm[row], 3),
    }


def _rounded(values, digits: int):
    return np.round(np.asarray(values, np.float64), digits).tolist()
