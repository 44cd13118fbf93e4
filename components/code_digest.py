"""A digest of the code that a step runs, so that editing it makes the cache miss."""

from __future__ import annotations

import ast
import os
import pathlib
from collections.abc import Iterable, Iterator

import facemodel
from facemodel.files import DATA, files_digest

ROOT = pathlib.Path(facemodel.__file__).parents[1]
"""Where the project's packages lie side by side."""


def code_digest(*modules: str, files: Iterable[str | os.PathLike[str]] = ()) -> str:
    """Digest of modules, of all modules of the project that they import, and of the data they name.

    Args:
      modules: full names, such as components.trainer.
      files: more that the step reads.

    Returns:
      16 hexadecimal digits.

    Raises:
      ModuleNotFoundError: if one of the modules is not the project's.
    """
    sources = source_files(*modules)
    paths = [*sources, *data_files(sources), *map(pathlib.Path, files)]
    return files_digest((_name(path), path) for path in paths)[:16]


def _name(path: pathlib.Path) -> str:
    """The same wherever the project lies."""
    return (path.relative_to(ROOT) if path.is_relative_to(ROOT) else path).as_posix()


def source_files(*modules: str) -> list[pathlib.Path]:
    """The files of modules and of everything in the project that they import, in order."""
    waiting, found = list(modules), {}
    for module in modules:
        if _source_file(module) is None:
            raise ModuleNotFoundError(f"no module of this project: {module}")
    while waiting:
        module = waiting.pop()
        path = _source_file(module)
        if path is None or module in found:
            continue
        found[module] = path
        parents = module.split(".")[:-1]
        waiting += [".".join(parents[: k + 1]) for k in range(len(parents))]
        waiting += _imported(path.read_text(encoding="utf-8"))
    return sorted(set(found.values()))


def data_files(sources: Iterable[pathlib.Path]) -> list[pathlib.Path]:
    """The files that modules name, in order: facemodel/data/*.npz, templates/*.html beside them."""
    found = set()
    for source in sources:
        texts = set(_texts(source.read_text(encoding="utf-8")))
        candidates = [*DATA.glob("*.npz"), *source.parent.glob("templates/*.html")]
        found |= {path for path in candidates if path.name in texts}
    return sorted(found)


def _texts(source: str) -> Iterator[str]:
    """All strings in a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _source_file(module: str) -> pathlib.Path | None:
    """Where a module of the project is; None for other modules, and for what is in a module."""
    place = ROOT.joinpath(*module.split("."))
    candidates = (place.with_suffix(".py"), place / "__init__.py")
    if not (ROOT / module.split(".")[0] / "__init__.py").is_file():
        return None
    return next((path for path in candidates if path.is_file()), None)


def _imported(source: str) -> Iterator[str]:
    """Full names that a module imports anywhere; the project has no relative imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
