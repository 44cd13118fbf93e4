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
