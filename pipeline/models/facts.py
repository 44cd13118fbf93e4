"""What is in a face model file, in words and figures."""

from __future__ import annotations

import os

import numpy as np

from facemodel.files import file_digest
from facemodel.morphable.conversion import convert, places, transfer
from facemodel.morphable.landmarks import IRISES
from facemodel.morphable.model import MorphableModel


def describe(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """Pairs of a heading and a fact.

    Raises:
      ModelError: if the file is no face model, or its arrays do not fit together.
    """
    arrays = convert.read_arrays(path)
    models = places.at_levels(arrays)
    for model in models:
        model.check()
    model = models[1]
    vertices = ", ".join(f"{m.vertex_count:,}" for m in models)
    triangles = ", ".join(f"{len(m.triangles):,}" for m in models)
    return [
        ("name", f"{model.name} {model.version}"),
        ("sha256", file_digest(path)),
        ("vertices at levels 0, 1, 2", vertices),
        ("triangles", triangles),
        ("identity vectors", f"{model.identity_count}; RMS {_identity_mm(model):.2f} mm"),
        ("expression vectors", _expressions(model)),
        ("albedo vectors", f"{len(model.albedo)}, {len(model.albedo_scores)} stored textures"),
        ("regions", ", ".join(model.region_names)),
        ("inner face", f"{int(model.inner_face.sum()):,} vertices"),
        ("irises apart", f"{_irises_mm(model):.1f} mm"),
        ("mean face", " x ".join(f"{size:.0f}" for size in np.ptp(model.mean, axis=0)) + " mm"),
        *_origin(arrays),
    ]


def _origin(arrays: dict[str, np.ndarray]) -> list[tuple[str, str]]:
    """What a converted model's file says about where it comes from."""
    borrowed = arrays.get("borrowed")
    facts = []
    if borrowed is not None:
        facts.append(("borrowed", ", ".join(borrowed.tolist()) or "nothing"))
    for name, heading in (("landmark_source", "landmarks by"), ("terms", "terms")):
        if name in arrays:
            facts.append((heading, str(arrays[name])))
    return facts


def _identity_mm(model: MorphableModel) -> float:
    """Root mean square distance over vertices of random people from the mean."""
    return float(np.sqrt((model.identity.astype(np.float64) ** 2).sum((0, 2)).mean()))


def _irises_mm(model: MorphableModel) -> float:
    left, right = transfer.landmark_points(model)[list(IRISES)]
    return float(np.linalg.norm(left - right))


def _expressions(model: MorphableModel) -> str:
    if not model.expression_count:
        return "0"
    largest = np.linalg.norm(model.expression, axis=-1).max(1)
    first = ", ".join(model.expression_names[:3])
    return f"{model.expression_count}: {first}, ...; move {np.median(largest):.1f} mm (median)"
