"""Files that appear under their name only when complete."""

from __future__ import annotations

import os
import pathlib


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Writes a file under a temporary name beside it, then renames it."""
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(path: str | os.PathLike[str] | None) -> None:
    """Raises OSError, before long work, unless a file of this path can be written later."""
    folder = os.path.dirname(os.path.abspath(path)) if path else os.curdir
    if path and not os.path.isdir(folder):
        raise NotADirectoryError(f"{folder}: no such folder, so {path} cannot be written")
    if path and not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder}: may not be written to")
