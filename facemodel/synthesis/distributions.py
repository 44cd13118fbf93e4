"""Distributions as fields of a configuration, and what is checked about such fields."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

Limits = tuple[float, float]
ANY: Limits = (-math.inf, math.inf)


class ConfigError(ValueError):
    """A synthesis configuration that makes no sense; the message names the field."""


class Range(NamedTuple):
    """Uniform between two limits."""

    low: float
    high: float

    def from_uniform(self, uniform):
        """Maps [0, 1) to the range."""
        return self.low + (self.high - self.low) * uniform


class Normal(NamedTuple):
    """Normal, cut off at two limits."""

    mean: float
    sd: float
    low: float
    high: float

    def from_normal(self, normal):
        """Maps N(0, 1) to the distribution."""
        from keras import ops

        return ops.clip(self.mean + self.sd * normal, self.low, self.high)


_DISTRIBUTIONS: dict[Any, Any] = {"Range": Range, "Normal": Normal}


def parse_field(name: str, kind: Any, value):
    """What JSON holds as a field's type: a list becomes a Range or a Normal."""
    if kind not in _DISTRIBUTIONS:
        return value
    try:
        return _DISTRIBUTIONS[kind](*value)
    except TypeError:
        fields = ", ".join(_DISTRIBUTIONS[kind]._fields)
        raise ConfigError(f"{name} should be [{fields}], got {value!r}") from None


def validate_field(name: str, kind: Any, value, limits: Limits) -> None:
    """Raises ConfigError unless a field's value has its type and lies within its limits.

    Args:
      name: The field's name.
      kind: name of its type: str, bool, int, float, Range or Normal.
      value: The field's value.
      limits: the smallest and largest number allowed in it.
    """
    if kind in _DISTRIBUTIONS:
        if not isinstance(value, _DISTRIBUTIONS[kind]):
            raise ConfigError(f"{name} should be a {kind}, got {value!r}")
        numbers: tuple = tuple(value)
        ends: tuple = (value.low, value.high)
    else:
        expected: Any = {"str": str, "bool": bool, "int": int, "float": (int, float)}[kind]
        if not isinstance(value, expected) or (isinstance(value, bool) and kind != "bool"):
            raise ConfigError(f"{name} should be a {kind}, got {value!r}")
        numbers = (value,) if kind in ("int", "float") else ()
        ends = numbers
    if not all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers):
        raise ConfigError(f"{name} should hold finite numbers, got {value!r}")
    _check_numbers(name, value, ends, limits)


def _check_numbers(name: str, value, ends: tuple, limits: Limits) -> None:
    if len(ends) == 2 and ends[0] > ends[1]:
        raise ConfigError(f"{name}: low {ends[0]} is above high {ends[1]}")
    if isinstance(value, Normal) and (value.sd < 0 or not value.low <= value.mean <= value.high):
        raise ConfigError(
            f"{name}: sd should be >= 0 and the mean between low and high, got {value}"
        )
    least, most = limits
    if ends and not (least <= ends[0] and ends[-1] <= most):
        raise ConfigError(f"{name} should lie in [{least}, {most}], got {value!r}")
