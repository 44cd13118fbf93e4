"""Atomic writes: files appear under their name only when complete; and digests of files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

DATA = pathlib.Path(__file__).parent / "data"
"""Face model, weights and measured landmark noise."""


def cache_dir() -> pathlib.Path:
    """Folder for what this project can make again: $XDG_CACHE_HOME/facerelief.

    Users without a home folder have one of their own among the temporary files.
    """
    base = os.path.expanduser(os.environ.get("XDG_CACHE_HOME") or "~/.cache")
    if base.startswith("~"):
        return pathlib.Path(tempfile.gettempdir(), f"facerelief-{os.getuid()}")
    return pathlib.Path(base, "facerelief")


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Gives the body a temporary name beside a file; renames it when the body is done.

    If the body raises, the temporary file goes and an older file of that name stays as it was.

    Args:
      path: The file, replaced if it exists.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file that is either complete or as it was before."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> None:
    """Writes arrays by name to a compressed .npz file that is complete or as it was before."""
    import numpy as np

    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def check_folder(path: str | os.PathLike[str] | None) -> None:
    """Raises OSError, before long work, unless a file of this path can be written later."""
    folder = os.path.dirname(os.path.abspath(path)) if path else os.curdir
    if path and not os.path.isdir(folder):
        raise NotADirectoryError(f"{folder}: no such folder, so {path} cannot be written")
    if path and not os.access(folder, os.W_OK, effective_ids=True):
        raise PermissionError(f"{folder}: may not be written to")


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def files_digest(files: Iterable[tuple[str, str | os.PathLike[str]]]) -> str:
    """SHA-256 of many files, each given as (name, path): of names and bytes, in this order."""
    digest = hashlib.sha256()
    for name, path in files:
        digest.update(f"{name}\0{file_digest(path)}\n".encode())
    return digest.hexdigest()
