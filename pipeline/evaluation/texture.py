"""How good is a completed texture where the photo doesn't show the face? Errors on known textures.

Run as `facerelief evaluate --texture`.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterator

import cv2
import numpy as np
from rich.table import Table
from scipy.spatial import cKDTree

from facemodel.files import write_bytes
from facemodel.morphable.head import HeadModel
from facemodel.morphable.model import MorphableModel
from facemodel.texture.recover import Texture, recover_texture
from facemodel.texture.skin_model import SkinModel
from pipeline.evaluation.texture_truth import TextureTruth, TruthRenderer

YAWS_DEG = (0.0, 20.0, 40.0, 60.0)
SIZE = 512
"""Side of the textures, px; errors of the large hidden areas do not depend on it."""
COMPLETED, MEAN, MIRRORED, NEAREST = "completed", "mean texture", "mirrored side", "nearest visible"
LIT, ALBEDO = "photo's light", "albedo"
SEEN = 0.5
"""Share of the photo from which the baselines call a texel visible."""


@dataclasses.dataclass(frozen=True)
class TextureRow:
    """One method at one yaw.

    Attributes:
      kind: LIT (colours under the photo's light) or ALBEDO (light divided out, tone matched).
      yaw_deg: turn of the head.
      method: Name of the method.
      rms: root mean square error of the hidden texels' sRGB, in levels of 255; mean over faces.
      delta_e: CIELAB distance (CIE 1976), mean over hidden texels and faces.
      wins: share of faces on which the completed texture has the smaller rms than this method.
    """

    kind: str
    yaw_deg: float
    method: str
    rms: float
    delta_e: float
    wins: float


@dataclasses.dataclass(frozen=True)
class TextureEvaluation:
    """The whole table with what is needed to make it again."""

    rows: tuple[TextureRow, ...]
    faces: int
    seed: int
    size: int

    def row(self, kind: str, yaw_deg: float, method: str) -> TextureRow:
        """One line of the table."""
        return next(
            row
            for row in self.rows
            if (row.kind, row.yaw_deg, row.method) == (kind, yaw_deg, method)
        )

    def write_json(self, path: pathlib.Path) -> None:
        """Writes the table; the file appears under its name only when complete."""
        write_bytes(path, (json.dumps(dataclasses.asdict(self), indent=2) + "\n").encode())


class Baselines:
    """What could be put where the photo shows nothing, for texels of one mesh."""

    def __init__(self, skin: SkinModel, size: int, face: np.ndarray):
        atlas = skin.atlas(size)
        places = atlas.from_vertices @ skin.positions
        self._mean = atlas.from_vertices @ skin.albedo_mean
        self._face, self._places = face, places
        own = np.flatnonzero(face)
        _, found = cKDTree(places[own]).query(places * (-1, 1, 1))
        self._mirror = own[found]

    def fill(self, colours: np.ndarray, seen: np.ndarray) -> dict[str, np.ndarray]:
        """Method -> [N, 3] sRGB, from colours [N, 3] that are right where seen [N] bool."""
        seen = seen & self._face
        gain = colours[seen].mean(0) / np.maximum(self._mean[seen].mean(0), 1e-3)
        mean = np.clip(self._mean * gain, 0.0, 1.0)
        mirrored = np.where(seen[self._mirror][:, None], colours[self._mirror], mean)
        known = np.flatnonzero(seen)
        _, found = cKDTree(self._places[known]).query(self._places[self._face])
        nearest = mean.copy()
        nearest[self._face] = colours[known[found]]
        return {MEAN: mean, MIRRORED: mirrored, NEAREST: nearest}


def errors(
    renderer: TruthRenderer, baselines: Baselines, truth: TextureTruth
) -> dict[tuple[str, str], tuple[float, float]]:
    """(kind, method) -> rms and delta_e of one face's hidden texels."""
    result = {}
    for kind, wanted in ((LIT, truth.lit), (ALBEDO, truth.albedo)):
        texture = recover_texture(
            truth.photo, truth.vertices, renderer.skin, truth.pose,
            size=renderer.size, albedo=kind == ALBEDO,
        )  # fmt: skip
        colours, share = at_texels(renderer, texture)
        seen = share > SEEN
        filled = {COMPLETED: colours} | baselines.fill(colours, seen)
        if kind == ALBEDO:
            both = seen & renderer.face_skin
            gain = np.median(wanted[both], 0) / np.maximum(np.median(colours[both], 0), 1e-3)
            filled = {name: np.clip(gain * values, 0.0, 1.0) for name, values in filled.items()}
        for name, values in filled.items():
            result[kind, name] = difference(values[truth.hidden], wanted[truth.hidden])
    return result


def at_texels(renderer: TruthRenderer, texture: Texture) -> tuple[np.ndarray, np.ndarray]:
    """Colours [N, 3] in [0, 1] of a texture's texels, and the photo's share [N]."""
    texel = renderer.atlas.texel
    return texture.image.reshape(-1, 3)[texel] / 255.0, texture.from_photo.ravel()[texel]


def difference(values: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    """RMS in levels of 255, and mean CIELAB distance, of sRGB [N, 3] in [0, 1]."""
    rms = 255.0 * float(np.sqrt(((values - wanted) ** 2).mean()))
    lab = [
        cv2.cvtColor(part[None].astype(np.float32), cv2.COLOR_RGB2Lab)[0]
        for part in (values, wanted)
    ]
    return rms, float(np.linalg.norm(lab[0] - lab[1], axis=-1).mean())


def evaluate(
    *, count: int, seed: int, size: int = SIZE, model: MorphableModel | None = None
) -> Iterator[tuple[float, dict[tuple[str, str], tuple[float, float]]]]:
    """Evaluates face by face, so that callers can show progress.

    Args:
      count: faces at each yaw.
      seed: face i depends on (seed, i) alone.
      size: Side of the textures, px.
      model: Face model; the default one if None.

    Yields:
      yaw in degrees, and (kind, method) -> rms and delta_e.
    """
    renderer = TruthRenderer(model or MorphableModel.load(), HeadModel.load(), size=size)
    baselines = Baselines(renderer.skin, size, renderer.face_skin)
    for number, yaw in enumerate(YAWS_DEG):
        for index in range(count):
            truth = renderer.render(seed, number * count + index, yaw_deg=yaw)
            yield yaw, errors(renderer, baselines, truth)


def summarise(found: list[tuple[float, dict]]) -> tuple[TextureRow, ...]:
    """Turns the errors of faces into the lines of the table."""
    rows = []
    for kind in (LIT, ALBEDO):
        for yaw in sorted({yaw for yaw, _ in found}):
            own = [each for turned, each in found if turned == yaw]
            for method in (COMPLETED, MEAN, MIRRORED, NEAREST):
                values = np.array([each[kind, method] for each in own])
                best = np.array([each[kind, COMPLETED][0] for each in own])
                wins = float((best < values[:, 0]).mean())
                rows.append(TextureRow(kind, yaw, method, *values.mean(0).tolist(), wins))
    return tuple(rows)


def run(*, count: int, seed: int, model_path: pathlib.Path | None = None) -> TextureEvaluation:
    """Evaluates with a progress bar."""
    from rich.progress import track

    faces = evaluate(count=count, seed=seed, model=MorphableModel.load(model_path))
    total = count * len(YAWS_DEG)
    found = list(track(faces, "Evaluating", total=total, transient=True))
    return TextureEvaluation(summarise(found), faces=total, seed=seed, size=SIZE)


def as_table(result: TextureEvaluation) -> Table:
    """The lines as a table for a terminal."""
    title = f"Hidden texels of {result.faces} lifelike faces, seed {result.seed}"
    table = Table(title=title)
    for heading in ("colours", "yaw", "method", "RMS /255", "delta E", "completed wins"):
        table.add_column(heading, justify="left" if heading in ("colours", "method") else "right")
    for row in result.rows:
        wins = "" if row.method == COMPLETED else f"{100 * row.wins:.0f} %"
        table.add_row(
            row.kind, f"{row.yaw_deg:.0f}", row.method, f"{row.rms:.1f}", f"{row.delta_e:.1f}", wins
        )
    return table
