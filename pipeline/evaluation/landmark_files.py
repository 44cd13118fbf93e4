"""Reads landmarks of others: in space for scans and predictions, in pixels for photos."""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Iterable

import numpy as np

SPACE_SUFFIXES = (".npy", ".txt", ".pp", ".json")
PHOTO_SUFFIXES = (".pts", ".mat", ".json")
_PICKED = "_picked_points"
_KEYS_MM = ("landmarks_7", "landmarks_68_mm", "landmarks")
_KEYS_PX = ("landmarks_68_px", "landmarks")
_KEYS_MAT = ("pt3d_68", "pts_3d", "pts_2d")
_MATLAB_PX = -0.5
"""MATLAB and .pts count from 1: the centre of the first pixel is (1, 1) there, (0.5, 0.5) here."""


def find_beside(path: pathlib.Path, suffixes: Iterable[str]) -> pathlib.Path | None:
    """The file of landmarks that goes with a mesh or photo: same name, another suffix."""
    stem = path.with_suffix("")
    names = (f"{stem.name}{end}{suffix}" for suffix in suffixes for end in ("", _PICKED))
    return next((stem.with_name(name) for name in names if stem.with_name(name).is_file()), None)


def read_space_landmarks(path: pathlib.Path) -> np.ndarray:
    """Points in space [N, 3] of a .npy, .txt, .pp (MeshLab) or .json file.

    Raises:
      ValueError: if it cannot be read or holds other than [N, 3] finite numbers.
    """
    readers = {".npy": _read_npy, ".txt": _read_text, ".pp": _read_picked, ".json": _read_json_mm}
    return _checked(path, readers, 3)


def read_photo_landmarks(path: pathlib.Path) -> np.ndarray:
    """The 68 points of a photo, float64 [68, 2] px, of a .pts, .mat or .json file.

    A .pts (300W) and .mat (AFLW2000-3D, 300W-LP) count pixels from 1, a .json as
    docs/conventions.md says.

    Raises:
      ValueError: if it cannot be read or holds other than 68 points.
    """
    readers = {".pts": _read_pts, ".mat": _read_mat, ".json": _read_json_px}
    points = _checked(path, readers, 2)
    if len(points) != 68:
        raise ValueError(f"{path}: expected 68 points, got {len(points)}")
    return points


def read_yaw_deg(path: pathlib.Path) -> float | None:
    """The yaw of a head in degrees that a .mat of AFLW2000-3D states; None if none does."""
    if path.suffix.lower() != ".mat":
        return None
    from scipy.io import loadmat

    pose = loadmat(path).get("Pose_Para")
    return None if pose is None else float(np.degrees(np.ravel(pose)[1]))


def _checked(path: pathlib.Path, readers, width: int) -> np.ndarray:
    suffix = path.suffix.lower()
    if suffix not in readers:
        raise ValueError(f"{path}: landmarks are read from {', '.join(readers)}, got {suffix!r}")
    try:
        points = np.asarray(readers[suffix](path), np.float64)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except Exception as error:  # parsers raise whatever they meet in damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: cannot be read as landmarks ({reason})") from error
    if points.ndim != 2 or points.shape[1] != width:
        raise ValueError(f"{path}: expected [N, {width}] landmarks, got {list(points.shape)}")
    if not np.isfinite(points).all():
        raise ValueError(f"{path}: landmarks hold values that are not finite")
    return points


def _read_npy(path):
    return np.load(path, allow_pickle=False)


def _read_text(path):
    return [
        [float(number) for number in re.split(r"[,;\s]+", line.strip())]
        for line in path.read_text().splitlines()
        if line.strip()
    ]


def _read_picked(path):
    """MeshLab's picked points: <point x="1" y="2" z="3" .../>, in the order of the file."""
    points = re.findall(r"<point\b[^>]*>", path.read_text())
    return [
        [float(re.search(rf'\b{axis}="([^"]+)"', text)[1]) for axis in "xyz"] for text in points
    ]


def _read_json(path, keys):
    content = json.loads(path.read_text())
    if isinstance(content, dict):
        known = [key for key in keys if key in content]
        if not known:
            raise ValueError(f"none of {', '.join(keys)} is in it")
        content = content[known[0]]
    return content


def _read_json_mm(path):
    return _read_json(path, _KEYS_MM)


def _read_json_px(path):
    return np.asarray(_read_json(path, _KEYS_PX), np.float64)[:, :2]


def _read_pts(path):
    """version: 1 / n_points: 68 / { / x y / ... / }."""
    inside = re.search(r"\{(.*)\}", path.read_text(), re.DOTALL)
    if not inside:
        raise ValueError("no { } around points")
    return np.array([line.split() for line in inside[1].split("\n") if line.strip()], float) + (
        _MATLAB_PX
    )


def _read_mat(path):
    from scipy.io import loadmat

    content = loadmat(path)
    known = [key for key in _KEYS_MAT if key in content]
    if not known:
        raise ValueError(f"none of {', '.join(_KEYS_MAT)} is in it")
    points = np.asarray(content[known[0]], np.float64)
    points = points.T if points.shape[0] in (2, 3) else points
    return points[:, :2] + _MATLAB_PX
