"""Random people: how strongly each MakeHuman shape target applies to them.

A person is a mixture of ancestries, a gender, an age, muscle and weight ("macro" targets), a
position on each of MakeHuman's sliders (pairs of opposite targets), and a little asymmetry.

Source: macro target names and their blending as in MakeHuman's modifiers; spreads were chosen so
that distances between eyes, mouth corners and the like spread as in models made from scans
(docs/face-model.md).
"""

from __future__ import annotations

import dataclasses
import itertools
import re

import numpy as np

from facemodel.default_model import makehuman

_RACES = ("african", "asian", "caucasian")
_AGES = (("baby", 0.0), ("child", 0.1875), ("young", 0.5), ("old", 1.0))
_MUSCLES = (("minmuscle", 0.0), ("averagemuscle", 0.5), ("maxmuscle", 1.0))
_WEIGHTS = (("minweight", 0.0), ("averageweight", 0.5), ("maxweight", 1.0))

_OPPOSITES = (
    ("decr", "incr"),
    ("down", "up"),
    ("in", "out"),
    ("backward", "forward"),
    ("concave", "convex"),
    ("compress", "uncompress"),
)
_SINGLE_GROUPS = ("head", "nose", "mouth", "eyes", "cheek", "chin", "forehead", "eyebrows")
_PAIR_GROUPS = (*_SINGLE_GROUPS, "neck")

_DEFAULT_SPREAD = 0.32
_SPREADS = {
    "head-trans": 0.0,
    "neck": 0.0,
    "neck-double": 0.25,
    "head-back-scale-depth": 0.0,
    "head-scale-depth": 0.15,
    "head-scale-vert": 0.20,
    "head-scale-horiz": 0.20,
    "head-angle": 0.15,
    "head-age": 0.25,
    "head-fat": 0.3,
    "mouth-trans": 0.15,
    "nose-trans": 0.18,
    "eye-trans": 0.25,
    "eye-push": 0.2,
    "eye-bag-height": 0.3,
    "mouth-dimples": 0.3,
    "mouth-laugh-lines": 0.35,
    "mouth-scale-vert": 0.22,
    "mouth-scale-horiz": 0.30,
    "mouth-scale-depth": 0.25,
    "nose-scale": 0.28,
    "chin-cleft": 0.3,
    "chin-prognathism": 0.25,
    "chin-jaw-drop": 0.22,
}
"""Standard deviation of a slider whose key starts so (the longest match counts)."""

_SIDEWAYS = ("mouth-trans", "nose-trans")
_SIDEWAYS_FACTOR = 0.25
_SIDE_DIFFERENCE = 0.07
_SINGLE_SPREAD = 0.3
_ASYMMETRY_SPREAD = 0.22
_CHILD_SHARE = 0.06


@dataclasses.dataclass(frozen=True)
class Person:
    """The macro part of a person.

    Attributes:
      races: weights of "african", "asian", "caucasian", sum 1.
      gender: 0 female to 1 male.
      age: MakeHuman's scale: 0 baby, 0.1875 child, 0.5 young, 1 old.
      muscle: 0 to 1.
      weight: 0 to 1.
    """

    races: tuple[float, float, float]
    gender: float
    age: float
    muscle: float
    weight: float


AVERAGE_PERSON = Person((1 / 3, 1 / 3, 1 / 3), gender=0.5, age=0.6, muscle=0.5, weight=0.5)


@dataclasses.dataclass(frozen=True)
class Slider:
    """A pair of opposite targets.

    Attributes:
      key: name without side and direction, such as "nose-hump".
      side: "l", "r" or "".
      negative: target for values below zero.
      positive: target for values above.
      spread: standard deviation of its value.
    """

    key: str
    side: str
    negative: str
    positive: str
    spread: float


@dataclasses.dataclass(frozen=True)
class Controls:
    """What can be drawn for a person, found among the names of the targets."""

    sliders: tuple[Slider, ...]
    head_shapes: tuple[str, ...]
    singles: tuple[str, ...]
    asymmetries: tuple[str, ...]

    @classmethod
    def among(cls, names: tuple[str, ...]) -> Controls:
        """Sorts target names into sliders, head shapes, single targets and asymmetries."""
        sliders = tuple(slider for name in names if (slider := _slider(name, names)) is not None)
        paired = {name for slider in sliders for name in (slider.negative, slider.positive)}
        singles = [n for n in names if n.split("/")[0] in _SINGLE_GROUPS and n not in paired]
        asymmetries = {
            name[:-2]
            for name in names
            if name.startswith("asym/asym-") and not name.startswith("asym/asym-ear")
        }
        return cls(
            sliders=sliders,
            head_shapes=tuple(name for name in singles if name.startswith("head/")),
            singles=tuple(name for name in singles if not name.startswith("head/")),
            asymmetries=tuple(sorted(asymmetries)),
        )


def macro_weights(person: Person) -> dict[str, float]:
    """Weights of the macro targets that blend into a person: target name -> weight."""
    ages, muscles, weights = (
        _hat(value, knots)
        for value, knots in (
            (person.age, _AGES),
            (person.muscle, _MUSCLES),
            (person.weight, _WEIGHTS),
        )
    )
    result = {}
    genders = (("female", 1 - person.gender), ("male", person.gender))
    for (gender, a), (age, b) in itertools.product(genders, ages):
        for race, share in zip(_RACES, person.races, strict=True):
            result[f"macrodetails/{race}-{gender}-{age}"] = share * a * b
        for (muscle, c), (weight, d) in itertools.product(muscles, weights):
            result[f"macrodetails/universal-{gender}-{age}-{muscle}-{weight}"] = a * b * c * d
    return {name: weight for name, weight in result.items() if weight}


def shape(head: makehuman.Head, person: Person) -> np.ndarray:
    """[H, 3] decimetres: the head of a person without slider values."""
    vertices = head.mesh.vertices.copy()
    for name, weight in macro_weights(person).items():
        if name in head.target_names:
            vertices += weight * head.target(name)
    return vertices


def sample_sliders(
    rng: np.random.Generator, controls: Controls, *, gain: float
) -> dict[str, float]:
    """Draws one person.

    Args:
      rng: source of randomness.
      controls: the sliders that exist.
      gain: factor on the spread of all sliders.

    Returns:
      target name -> weight; names that no target has are macro blends that change nothing.
    """
    weights = macro_weights(_sample_person(rng))
    _add_sliders(rng, weights, controls.sliders, gain)
    shares = rng.dirichlet([0.5] * len(controls.head_shapes)) * rng.uniform(0, 0.8) * gain
    weights.update(zip(controls.head_shapes, shares.tolist(), strict=True))
    for name in controls.singles:
        weights[name] = abs(_clipped_normal(rng, _SINGLE_SPREAD * gain))
    for name in controls.asymmetries:
        value = _clipped_normal(rng, _ASYMMETRY_SPREAD * gain)
        weights[name + ("-l" if value < 0 else "-r")] = abs(value)
    return weights


def _sample_person(rng: np.random.Generator) -> Person:
    races = rng.dirichlet([0.45] * len(_RACES))
    gender = rng.beta(0.5, 0.5)
    grown = rng.random() > _CHILD_SHARE
    age = 0.5 + 0.5 * rng.beta(1.3, 2.2) if grown else rng.uniform(0.3, 0.5)
    muscle = np.clip(rng.normal(0.5, 0.18), 0, 1)
    weight = np.clip(rng.normal(0.52, 0.22), 0, 1)
    return Person(tuple(races.tolist()), float(gender), float(age), float(muscle), float(weight))


def _add_sliders(
    rng: np.random.Generator, weights: dict[str, float], sliders: tuple[Slider, ...], gain: float
) -> None:
    """Draws slider values; both sides of the face share a value but for a small difference."""
    shared: dict[tuple[str, str], float] = {}
    for slider in sliders:
        spread = slider.spread * gain
        if spread == 0:
            continue
        if slider.negative.endswith("-in") and not slider.side and slider.key in _SIDEWAYS:
            spread *= _SIDEWAYS_FACTOR * gain
        if slider.side:
            both = (slider.key, slider.positive.rsplit("-", 1)[-1])
            if both not in shared:
                shared[both] = _clipped_normal(rng, spread)
            value = float(np.clip(shared[both] + rng.normal(0, _SIDE_DIFFERENCE * gain), -1, 1))
        else:
            value = _clipped_normal(rng, spread)
        name = slider.positive if value > 0 else slider.negative
        weights[name] = weights.get(name, 0) + abs(value)


def _clipped_normal(rng: np.random.Generator, spread: float) -> float:
    return float(np.clip(rng.normal(0, spread), -1, 1))


def _hat(value: float, knots: tuple[tuple[str, float], ...]) -> list[tuple[str, float]]:
    """Linear blending weights of named knots at a value."""
    names, places = zip(*knots, strict=True)
    return list(
        zip(
            names, (float(np.interp(value, places, row)) for row in np.eye(len(knots))), strict=True
        )
    )


def _slider(name: str, names: tuple[str, ...]) -> Slider | None:
    """The slider whose negative end is the named target, if there is one."""
    group, _, target = name.partition("/")
    if group not in _PAIR_GROUPS:
        return None
    for negative, positive in _OPPOSITES:
        opposite = f"{group}/{target[: -len(negative)]}{positive}"
        if target.endswith(f"-{negative}") and opposite in names:
            side = target[0] if re.match("[lr]-", target) else ""
            key = re.sub("^[lr]-", "", target[: -len(negative) - 1])
            return Slider(key, side, name, opposite, _spread(group, key))
    return None


def _spread(group: str, key: str) -> float:
    matches = [start for start in _SPREADS if key.startswith(start) or group == start]
    return _SPREADS[max(matches, key=len)] if matches else _DEFAULT_SPREAD
