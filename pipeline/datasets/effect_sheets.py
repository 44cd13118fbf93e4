"""The images of docs/synthesis.md: the same four faces with each effect at its strongest.

python -m pipeline.datasets.effect_sheets docs/images/effects    # two minutes
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys

import cv2
import numpy as np

from components.records.synthesis import SynthesisJob, Synthesizer
from facemodel.synthesis.distributions import Normal, Range
from facemodel.synthesis.recipes import SynthesisConfig

FACES, TILE_PX, SEED = 4, 160, 3
_JPEG_QUALITY = 82

PLAIN = SynthesisConfig.paper(
    yaw_deg=Normal(0.0, 15.0, -60.0, 60.0), mixed_albedo=True, natural_expressions=True
)
"""What every sheet shows apart from its effect."""

SHEETS: dict[str, dict] = {
    "none": {},
    "gaussian_albedo": {"mixed_albedo": False},
    "independent_expressions": {"natural_expressions": False, "active_units": Range(6, 6)},
    "yaw": {"even_yaw_fraction": 1.0},
    "deformation": {"deformation": Range(1.4, 1.4)},
    "even_skin_tones": {"even_skin_tones": True},
    "near_camera": {"inverse_distance": Range(1 / 350.0, 1 / 350.0)},
    "environment": {"environment": Range(0.3, 0.3)},
    "ambient_gradient": {"ambient_gradient": Normal(0.0, 0.4, -0.5, 0.5)},
    "side_light": {"light_angle_deg": Range(50.0, 70.0)},
    "side_light_shadow": {"light_angle_deg": Range(50.0, 70.0), "shadow": Range(0.9, 0.9)},
    "skin_blotches": {"skin_blotches": Range(0.5, 0.5)},
    "light_blotches": {"light_blotches": Range(0.6, 0.6)},
    "fine_blotches": {"fine_blotches": Range(0.3, 0.3)},
    "hair": {"hair_fraction": 1.0},
    "occluder": {"occluder_fraction": 1.0},
    "hand": {"hand_fraction": 1.0},
    "glasses": {"glasses_fraction": 1.0},
    "blur": {"blur": Range(1.0, 1.0)},
    "gamma": {"gamma": Range(0.6, 1.5)},
    "gain_offset": {"gain": Range(0.7, 1.2), "offset": Normal(0.0, 0.03, -0.1, 0.1)},
    "white_balance": {"white_balance": Range(0.12, 0.12)},
    "grain": {"grain": Range(0.03, 0.03)},
    "jpeg": {"jpeg_fraction": 1.0, "jpeg_quality": Range(45, 60)},
}
"""Name of an image -> fields of SynthesisConfig."""


def sheet(config: SynthesisConfig) -> np.ndarray:
    """The first faces of a config side by side: uint8 [TILE_PX, FACES * TILE_PX, 3]."""
    samples = Synthesizer(SynthesisJob(config, SEED, FACES)).samples(0)
    size = (TILE_PX, TILE_PX)
    return np.concatenate(
        [cv2.resize(each["image"], size, interpolation=cv2.INTER_AREA) for each in samples], 1
    )


def write(folder: pathlib.Path) -> None:
    """Writes NAME.jpg for each of SHEETS, and lifelike.jpg with everything."""
    folder.mkdir(parents=True, exist_ok=True)
    configs = {name: dataclasses.replace(PLAIN, **fields) for name, fields in SHEETS.items()}
    for name, config in {**configs, "lifelike": SynthesisConfig.lifelike()}.items():
        quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        data = cv2.imencode(".jpg", sheet(config)[..., ::-1], quality)[1]
        (folder / f"{name}.jpg").write_bytes(data.tobytes())


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
