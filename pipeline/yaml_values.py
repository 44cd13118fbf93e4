"""YAML as this project reads it, and what is wrong with it in one line."""

from __future__ import annotations

import re
from typing import Any

import yaml


def parse(text: str) -> Any:
    """The value that a text stands for.

    Raises:
      yaml.YAMLError: if it is no YAML, or a key comes twice.
    """
    return yaml.load(text, Loader=_Loader)


def unreadable(error: OSError | UnicodeDecodeError | yaml.YAMLError) -> str:
    """What is wrong with a YAML file, in one line without its name."""
    if isinstance(error, yaml.YAMLError):
        return f"is not YAML ({_yaml_problem(error)})"
    return f"cannot be read ({getattr(error, 'strerror', None) or error})"


def _yaml_problem(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return str(error).partition("\n")[0]
    mark = error.problem_mark
    return f"{error.problem}, line {mark.line + 1}, column {mark.column + 1}"


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-4 is a number and a key may come only once."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        if doubled := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(
                None, None, f"{', '.join(doubled)} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)
