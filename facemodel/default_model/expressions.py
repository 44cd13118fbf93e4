"""The 84 expression vectors: ARKit face units and MakeHuman's own, averaged over ancestries.

Source: ARKit units from the Face Units asset pack by Mika Suominen (CC0); the others from
MakeHuman's targets/expression/units, of which there is one set for each ancestry.
"""

from __future__ import annotations

import numpy as np

from facemodel.default_model import levels, makehuman, regions

_RACES = ("african", "asian", "caucasian")
_WITHOUT_EFFECT = ("arkit/tongueOut", "unit/neck-platysma")
"""Units that move nothing on the face."""

_BAG_DEPTH_MM = -30.0
_BAG_DEPTH_FACTOR = 0.12
_BAG_WIDTH_FACTOR = 0.8


def expression_basis(head: makehuman.Head, used: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """Collects the expression vectors.

    Args:
      head: base mesh and targets.
      used: [C] the control vertices among the head's.

    Returns:
      [E] names such as "arkit/jawOpen" and "unit/mouth-open"; [E, C, 3] float32 mm at weight 1.
    """
    arkit = [n for n in head.target_names if n.startswith("arkit/") and n not in _WITHOUT_EFFECT]
    units = sorted({name.split("/")[2] for name in head.target_names if name.startswith("unit/")})
    units = [unit for unit in units if f"unit/{unit}" not in _WITHOUT_EFFECT]
    vectors = [head.target(name)[used] for name in arkit]
    vectors += [
        np.mean([head.target(f"unit/{race}/{unit}")[used] for race in _RACES], axis=0)
        for unit in units
    ]
    names = (*arkit, *(f"unit/{unit}" for unit in units))
    return names, np.array(vectors, np.float32) * np.float32(regions.MM_PER_DM)


def flatten_mouth_bag(
    mean: np.ndarray, control: regions.ControlMesh, used: np.ndarray
) -> np.ndarray:
    """Squashes the bag behind the lips, which would otherwise stick out of the face in profile.

    Args:
      mean: [C, 3] mm.
      control: tells which quads are the bag.
      used: [C] the control vertices among the head's.

    Returns:
      [C, 3] mm; vertices shared with the skin stay.
    """
    bag = control.quads[control.regions == regions.MOUTH]
    skin = control.quads[control.regions == regions.SKIN]
    deep = np.isin(used, np.setdiff1d(bag, skin)) & (mean[:, 2] < _BAG_DEPTH_MM)
    flat = mean.copy()
    flat[deep, 0] *= _BAG_WIDTH_FACTOR
    flat[deep, 2] = _BAG_DEPTH_MM + _BAG_DEPTH_FACTOR * (flat[deep, 2] - _BAG_DEPTH_MM)
    return flat


def independent_count(mesh: levels.LevelMesh, vectors: np.ndarray) -> int:
    """How many of [E, C, 3] vectors are independent on the skin and eyeballs of a level."""
    seen = np.isin(mesh.regions, (regions.SKIN, regions.EYE_LEFT, regions.EYE_RIGHT))
    moves = np.stack([(mesh.operator[seen] @ vector).ravel() for vector in vectors])
    unit = moves / np.linalg.norm(moves, axis=1, keepdims=True)
    return int(np.linalg.matrix_rank(unit, tol=1e-3 * np.linalg.norm(unit, 2)))
