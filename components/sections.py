"""Sections of a configuration: frozen dataclasses whose fields are knobs.

A knob is a value with a type and limits, checked when the section is made. A section crosses TFX as
one JSON string.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing
from collections.abc import Mapping
from typing import Any


class SettingsError(ValueError):
    """An unknown or impossible setting; the message names the field."""

    def __init__(self, field: str, problem: str):
        super().__init__(f"{field}: {problem}")
        self.field, self.problem = field, problem


def setting(default: Any, **limits: Any) -> Any:
    """A field with its default and its limits: low and high of numbers, or the choices there are.

    A tuple's limits are those of its items.
    """
    return dataclasses.field(default=default, metadata=limits)


@dataclasses.dataclass(frozen=True)
class Section:
    """Base of all sections.

    Raises:
      SettingsError: naming the field that has another type or lies outside its limits.
    """

    def __post_init__(self):
        hints = typing.get_type_hints(type(self))
        for field in dataclasses.fields(self):
            given = getattr(self, field.name)
            value = _converted(field.name, hints[field.name], given, field.metadata)
            object.__setattr__(self, field.name, value)

    def to_json(self) -> str:
        """One JSON object, the same for equal sections."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str):
        """Reads what to_json wrote; unknown fields are an error, missing ones take the default."""
        return cls.from_mapping(json.loads(text))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, base: Section | None = None):
        """Makes a section from plain values, nested as the sections are.

        Args:
          values: by field name.
          base: has the values of the fields that are missing; the defaults if None.
        """
        base = base or cls()
        hints = typing.get_type_hints(cls)
        changes = {}
        for name, value in values.items():
            if name not in hints:
                raise SettingsError(str(name), f"unknown; there are {', '.join(sorted(hints))}")
            if value is None:
                raise SettingsError(name, "has no value")
            if _is_section(hints[name]):
                value = _nested(name, hints[name], value, getattr(base, name))
            changes[name] = value
        return dataclasses.replace(base, **changes)


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


def _nested(name: str, kind: Any, value: Any, base: Section) -> Section:
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise SettingsError(name, f"should hold fields, got {value!r}")
    try:
        return kind.from_mapping(value, base=base)
    except SettingsError as error:
        raise SettingsError(f"{name}.{error.field}", error.problem) from None


def _converted(name: str, kind: Any, value: Any, limits: Mapping[str, Any]) -> Any:
    """The value in its field's type, if it may have it."""
    if _is_section(kind):
        if not isinstance(value, kind):
            raise SettingsError(name, f"should be a {kind.__name__}, got {value!r}")
        return value
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, (list, tuple)):
            raise SettingsError(name, f"should be a list, got {value!r}")
        inner = typing.get_args(kind)[0]
        return tuple(_converted(name, inner, item, limits) for item in value)
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        raise SettingsError(name, f"should be {kind.__name__}, got {value!r}")
    value = kind(value)
    _check_limits(name, value, limits)
    return value


def _check_limits(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    choices = limits.get("choices")
    if choices and value not in choices:
        raise SettingsError(name, f"should be one of {', '.join(choices)}, got {value!r}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    low, high = limits.get("low", -math.inf), limits.get("high", math.inf)
    if not (math.isfinite(value) and low <= value <= high):
        raise SettingsError(name, f"should lie in [{low:g}, {high:g}], got {value!r}")
