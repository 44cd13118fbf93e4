"""Sections of a configuration: frozen dataclasses whose fields have types, defaults and limits.

Everything is checked when a section is made, and an error names the field:

    @dataclasses.dataclass(frozen=True)
    class LightConfig(Section):
        angle_deg: float = setting(0.0, low=-90.0, high=90.0)

    LightConfig(angle_deg=100.0)  # ConfigError: angle_deg: should lie in [-90, 90], got 100.0

No library does it: training on a GPU needs no more than keras, jax, numpy and scipy.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

SectionType = TypeVar("SectionType", bound="Section")


class ConfigError(ValueError):
    """An unknown or impossible setting; the message names the field.

    Attributes:
      field: Name of the field, with the sections around it: trainer.batch_size.
      problem: What is wrong with it, one line.
    """

    def __init__(self, field: str, problem: str):
        super().__init__(f"{field}: {problem}")
        self.field, self.problem = field, problem

    def __reduce__(self):
        return type(self), (self.field, self.problem)


def setting(default: Any, **limits: Any) -> Any:
    """A field of a section.

    Args:
      default: Value of the field when none is given.
      limits: low and high of a number or distribution, or the choices; of each item of a tuple.
    """
    return dataclasses.field(default=default, metadata=limits)


def with_default(section: type[Section], name: str, default: Any) -> Any:
    """A field of another section, with its limits and another default."""
    return setting(default, **section.__dataclass_fields__[name].metadata)


@dataclasses.dataclass(frozen=True)
class Section:
    """Base of all sections.

    A field is a bool, int, float or str, a tuple of them, another section, or a named tuple with
    the fields low and high and a method problem().

    Raises:
      ConfigError: naming the field that has another type or lies outside its limits.
    """

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            given = getattr(self, field.name)
            value = _checked(field.name, hints[field.name], given, field.metadata)
            object.__setattr__(self, field.name, value)

    def to_json(self) -> str:
        """One JSON object, the same for equal sections."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    def part(self, kind: type[SectionType]) -> SectionType:
        """The fields of one of this section's base classes, as a section of that class."""
        names = [field.name for field in dataclasses.fields(kind)]
        return kind(**{name: getattr(self, name) for name in names})

    @classmethod
    def from_json(
        cls: type[SectionType], text: str, base: SectionType | None = None
    ) -> SectionType:
        """Reads a JSON object.

        Args:
          text: Fields and their values.
          base: Section with the values of the fields that are missing; the defaults if None.

        Raises:
          ConfigError: for what is no JSON object, and as from_mapping.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(cls.__name__, f"should be JSON ({error})") from None
        if not isinstance(values, dict):
            raise ConfigError(cls.__name__, f"should be a JSON object, got {text[:40]!r}")
        return cls.from_mapping(values, base=base)

    @classmethod
    def from_mapping(
        cls: type[SectionType], values: Mapping[str, Any], *, base: SectionType | None = None
    ) -> SectionType:
        """Makes a section from plain values, nested as the sections are.

        Args:
          values: Values by field name.
          base: Section with the values of the fields that are missing; the defaults if None.

        Raises:
          ConfigError: naming a field that is unknown, has no value or a wrong one.
        """
        base = base or cls()
        hints = typing.get_type_hints(cls)
        changes = {}
        for name, value in values.items():
            if name not in hints:
                raise ConfigError(str(name), f"unknown; there are {', '.join(sorted(hints))}")
            if value is None:
                raise ConfigError(name, "has no value")
            changes[name] = _parsed(name, hints[name], value, getattr(base, name))
        return dataclasses.replace(base, **changes)


def _is_named_tuple(kind: Any) -> bool:
    return hasattr(kind, "_fields")


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _parsed(name: str, kind: Any, value: Any, base: Any) -> Any:
    """The value of a section's field from plain values: mappings and lists."""
    if _is_section(kind) and not isinstance(value, kind):
        if not isinstance(value, Mapping):
            raise ConfigError(name, f"should hold fields, got {value!r}")
        try:
            return kind.from_mapping(value, base=base)
        except ConfigError as error:
            raise ConfigError(f"{name}.{error.field}", error.problem) from None
    if _is_named_tuple(kind):
        if not isinstance(value, (list, tuple)) or len(value) != len(kind._fields):
            raise ConfigError(name, f"should be [{', '.join(kind._fields)}], got {value!r}")
        return kind(*value)
    return value


def _checked(name: str, kind: Any, value: Any, limits: Mapping[str, Any]) -> Any:
    """The value in its field's type, if it may have it."""
    if _is_section(kind) or _is_named_tuple(kind):
        if not isinstance(value, kind):
            raise ConfigError(name, f"should be a {kind.__name__}, got {value!r}")
        if _is_named_tuple(kind):
            _check_distribution(name, value, limits)
        return value
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(name, f"should be a list, got {value!r}")
        inner = typing.get_args(kind)[0]
        return tuple(_checked(name, inner, item, limits) for item in value)
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(name, f"should be {kind.__name__}, got {value!r}")
    value = kind(value)
    if (choices := limits.get("choices")) and value not in choices:
        raise ConfigError(name, f"should be one of {', '.join(choices)}, got {value!r}")
    if kind in (int, float):
        _check_limits(name, value, (value,), limits)
    return value


def _check_distribution(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in value):
        raise ConfigError(name, f"should hold finite numbers, got {value!r}")
    if problem := value.problem():
        raise ConfigError(name, problem)
    _check_limits(name, value, (value.low, value.high), limits)


def _check_limits(name: str, value: Any, ends: tuple, limits: Mapping[str, Any]) -> None:
    low, high = limits.get("low", -math.inf), limits.get("high", math.inf)
    if not all(math.isfinite(end) and low <= end <= high for end in ends):
        raise ConfigError(name, f"should lie in [{low:g}, {high:g}], got {value!r}")
