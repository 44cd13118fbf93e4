"""Expressions that people make, sampled from a model's named units."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
from keras import ops

from facemodel.backend import Tensor
from facemodel.synthesis.distributions import Range
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.streams import RandomStreams

_SIDE = re.compile(r"Left|Right|-left(?=-|$)|-right(?=-|$)")
_COMPONENT = "pca/"
_JAW_OPEN, _MOUTH_CLOSE = "jawOpen", "mouthClose"
_BOTH_SIDES = 0.85
"""Share of times that each side of an active pair takes part."""
_SIDE_STRENGTH = Range(0.7, 1.0)
_OPEN_FRACTION = 0.3
_TENSION_LIMIT = 1.6
"""Most that all units of mouth and jaw may sum to: they move the same tissue."""


@dataclasses.dataclass(frozen=True, eq=False)
class ExpressionUnits:
    """What the names of a model's expression units say about them.

    Attributes:
      group: [E] int32; the left and the right unit of a pair are in one group.
      jaw_open, mouth_close: [E] 1 for the unit of that name, otherwise 0.
      mouth: [E] 1 for units of mouth and jaw.
      signed: [E] 1 for principal components (pca/...), whose weights go to both sides of 0.
    """

    group: np.ndarray
    jaw_open: np.ndarray
    mouth_close: np.ndarray
    mouth: np.ndarray
    signed: np.ndarray

    @classmethod
    def from_names(cls, names: tuple[str, ...]) -> ExpressionUnits:
        """Reads names such as arkit/mouthSmileLeft or unit/eye-left-closure; others stay single."""
        pairs = [_SIDE.sub("", name) for name in names]
        _, group = np.unique(pairs, return_inverse=True)
        kinds = [name.rsplit("/", 1)[-1] for name in names]
        return cls(
            group=group.astype(np.int32),
            jaw_open=np.array([kind == _JAW_OPEN for kind in kinds], np.float32),
            mouth_close=np.array([kind == _MOUTH_CLOSE for kind in kinds], np.float32),
            mouth=np.array([kind.startswith(("mouth", "jaw")) for kind in kinds], np.float32),
            signed=np.array([name.startswith(_COMPONENT) for name in names], np.float32),
        )

    @property
    def count(self) -> int:
        """E, how many units there are."""
        return len(self.group)


def sample_expression(
    units: ExpressionUnits, config: SynthesisConfig, rng: RandomStreams
) -> Tensor:
    """Samples weights [B, E] in [0, 1], those of principal components in [-1, 1].

    The lips never close further than the jaw is open.
    """
    sample = _natural if config.natural_expressions else _independent
    weights = sample(units, config, rng)
    neutral = rng.uniform("expression/neutral", (1,)) < config.neutral_fraction
    return ops.where(neutral, 0.0, _both_ways(units, _close_mouth(units, weights), rng))


def _both_ways(units: ExpressionUnits, weights, rng: RandomStreams):
    """Turns every second weight of a principal component round."""
    if not units.signed.any():
        return weights
    turned = ops.cast(rng.uniform("expression/sign", (units.count,)) < 0.5, "float32")
    return weights * (1.0 - 2.0 * turned * units.signed)


def _independent(units: ExpressionUnits, config: SynthesisConfig, rng: RandomStreams):
    """A few units of any strength, in half of the faces at most 0.6."""
    active = _choose(units.count, config, rng)
    most = ops.where(rng.uniform("expression/most", (1,)) < 0.5, 1.0, 0.6)
    return active * most * rng.uniform("expression/strength", (units.count,))


def _natural(units: ExpressionUnits, config: SynthesisConfig, rng: RandomStreams):
    """A few units or pairs, strong ones rarer, and in some faces an open jaw."""
    groups = int(units.group.max()) + 1
    strength = _humped(rng.uniform("expression/strength", (groups,)), 1.2, 1.6)
    strength = _choose(groups, config, rng) * strength
    side = rng.uniform("expression/side", (units.count,)) < _BOTH_SIDES
    share = _SIDE_STRENGTH.from_uniform(rng.uniform("expression/share", (units.count,)))
    weights = ops.take(strength, units.group, axis=1) * ops.where(side, share, 0.0)
    opens = rng.uniform("expression/opens", (1,)) < _OPEN_FRACTION
    opening = ops.where(opens, _humped(rng.uniform("expression/opening", (1,)), 1.0, 2.0), 0.0)
    weights = ops.maximum(weights, opening * units.jaw_open)
    tension = ops.sum(weights * units.mouth, -1, keepdims=True)
    relaxed = ops.minimum(1.0, _TENSION_LIMIT / ops.maximum(tension, 1e-6))
    return weights * (1.0 - units.mouth * (1.0 - relaxed))


def _choose(count: int, config: SynthesisConfig, rng: RandomStreams):
    """[B, count] 1 for as many random entries as the recipe's active_units says."""
    low, high = config.active_units
    active = ops.floor(low + (high - low + 1) * rng.uniform("expression/active", (1,)))
    order = ops.argsort(rng.uniform("expression/choice", (count,)), axis=-1)
    rank = ops.argsort(order, axis=-1)
    return ops.cast(ops.cast(rank, "float32") < active, "float32")


def _humped(uniform, a: float, b: float):
    """Kumaraswamy's distribution on [0, 1], close to Beta(a, b), from a uniform number."""
    return (1.0 - (1.0 - uniform) ** (1.0 / b)) ** (1.0 / a)


def _close_mouth(units: ExpressionUnits, weights):
    """Limits mouthClose to jawOpen: alone it would push the lips through each other."""
    jaw = ops.sum(weights * units.jaw_open, -1, keepdims=True)
    return ops.where(ops.cast(units.mouth_close, "bool"), ops.minimum(weights, jaw), weights)
