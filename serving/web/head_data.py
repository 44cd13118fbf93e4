"""What the page's viewer needs of a head: its shape at each iteration, and what moves it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from facemodel.morphable.head import ARKIT_PREFIX, HeadModel
from serving.heads import COARSE_LEVEL
from serving.output.textured_mesh import TexturedMesh
from serving.web.arrays import pack_arrays, quantized

STRONGEST = 10
"""Identity vectors that get a slider."""
AVERAGE, START = "average", "start"
"""Shapes before the first iteration: the mean face, and where the loop starts."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sliders:
    """Coefficients that can be moved by hand.

    Attributes:
      indices: [N] int32, their places among all coefficients.
      names: One for each, such as "identity/1" or "jawOpen".
      kinds: "identity" (standard deviations) or "expression" (weights) for each.
      moves: [N, V, 3] int16, what one unit of each moves, in steps.
      step_mm: [N] the mm of a step.
    """

    indices: np.ndarray
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    moves: np.ndarray
    step_mm: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class HeadPacker:
    """Packs heads of one head model.

    Attributes:
      head: The model.
    """

    head: HeadModel

    @functools.cached_property
    def sliders(self) -> Sliders:
        """The strongest identity vectors, strongest first, and ARKit's expressions by name.

        Strength is the RMS displacement of the whole head's vertices by one standard deviation.
        """
        operator = self.head.mesh(COARSE_LEVEL).operator
        identity = np.stack([operator @ move for move in self.head.identity])
        strength = np.sqrt((identity**2).sum(-1).mean(1))
        strongest = np.argsort(-strength, kind="stable")[:STRONGEST]
        named = {name: k for k, name in enumerate(self.head.expression_names)}
        arkit = sorted(name for name in named if name.startswith(ARKIT_PREFIX))
        expression = [operator @ self.head.expression[named[name]] for name in arkit]
        moves, step = quantized(np.concatenate([identity[strongest], np.stack(expression)]))
        places = [*strongest, *(len(identity) + named[name] for name in arkit)]
        return Sliders(
            indices=np.array(places, np.int32),
            names=(
                *(f"identity/{k + 1}" for k in strongest),
                *(name.removeprefix(ARKIT_PREFIX) for name in arkit),
            ),
            kinds=("identity",) * len(strongest) + ("expression",) * len(arkit),
            moves=moves,
            step_mm=step,
        )

    def pack(self, mesh: TexturedMesh, iterations: np.ndarray) -> bytes:
        """The arrays of a head; see docs/web.md.

        Args:
          mesh: At level 1, in the shape of the last iteration.
          iterations: [K + 1, n] coefficients, those of the loop's start first.
        """
        coefficients = np.concatenate([np.zeros_like(iterations[:1]), iterations])
        vertices = np.stack([self.head.vertices(row, COARSE_LEVEL) for row in coefficients])
        sliders = self.sliders
        return _pack(
            mesh,
            vertices=vertices,
            values=coefficients[:, sliders.indices],
            sliders=sliders,
            labels=[AVERAGE, START, *map(str, range(1, len(iterations)))],
        )


def pack_face(mesh: TexturedMesh) -> bytes:
    """The arrays of a face whose model has no head: its own shape alone, without sliders."""
    none = np.zeros(0, np.int32)
    moves = np.zeros((0, len(mesh.vertices), 3), np.int16)
    sliders = Sliders(none, (), (), moves, np.zeros(0, np.float32))
    return _pack(
        mesh,
        vertices=mesh.vertices[None],
        values=np.zeros((1, 0)),
        sliders=sliders,
        labels=["result"],
    )


def _pack(
    mesh: TexturedMesh,
    *,
    vertices: np.ndarray,
    values: np.ndarray,
    sliders: Sliders,
    labels: Sequence[str],
) -> bytes:
    vertex, uv, triangles = mesh.corners
    arrays = {
        "vertices": vertices.astype(np.float32),
        "values": values.astype(np.float32),
        "moves": sliders.moves,
        "step_mm": sliders.step_mm,
        "vertex": vertex.astype(np.int32),
        "uv": uv.astype(np.float32),
        "triangles": triangles.astype(np.int32),
    }
    facts = {"labels": list(labels), "names": sliders.names, "kinds": sliders.kinds}
    return pack_arrays(arrays, facts)
