"""What is checked before any photo is worked on: options, and the folder of results."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Iterable, Sequence

from serving.output.file_names import ALWAYS, FORMATS
from serving.server_access import ServerAccess


class ReconstructionError(ValueError):
    """Something that stops the whole command, or one photo; one line."""


def check_formats(formats: Sequence[str]) -> None:
    """Raises ReconstructionError unless there are formats, all of them known."""
    known = f"known are {', '.join(FORMATS)}"
    if not formats:
        raise ReconstructionError(f"--formats: names no format; {known}")
    unknown = [name for name in formats if name not in FORMATS]
    if unknown:
        always = " and ".join(f".{suffix}" for suffix in ALWAYS)
        also = f" ({always} are always written)" if unknown[0] in ALWAYS else ""
        raise ReconstructionError(f"--formats: unknown format {unknown[0]!r}{also}; {known}")


def check_choice(model, server, server_model, access: ServerAccess | None) -> None:
    """Raises ReconstructionError where options on the model exclude or need each other."""
    if server is not None and model is not None:
        raise ReconstructionError("--model and --server exclude each other")
    if server is None and server_model is not None:
        raise ReconstructionError("--server-model needs --server")
    if server is None and access not in (None, ServerAccess()):
        raise ReconstructionError("options that begin with --server- need --server")


def make_output(output: pathlib.Path) -> list[pathlib.Path]:
    """Makes the folder, and a file in it, to fail before any work is done.

    Returns:
      The folders that were missing, inner ones first.
    """
    try:
        missing = [path for path in (output, *output.parents) if not path.exists()]
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise ReconstructionError(f"{output}: cannot be written ({error.strerror})") from error
    return missing


def remove_empty(folders: Iterable[pathlib.Path]) -> None:
    """Removes folders, inner ones first, as far as there is nothing in them."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()
