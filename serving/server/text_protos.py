"""Reads the text protos that configure tensorflow_model_server."""

from __future__ import annotations

import os
import pathlib

from google.protobuf import text_format
from google.protobuf.message import Message


class ConfigFileError(ValueError):
    """A configuration file that cannot be used; one line that begins with its path."""


def read_text_proto(path: str | os.PathLike[str], message: Message) -> None:
    """Fills a message from a file in protobuf's text format.

    Args:
      path: Path of the file.
      message: Message that the file describes; it is filled.

    Raises:
      ConfigFileError: if the file cannot be read or does not describe such a message; line and
        column are named.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        raise ConfigFileError(f"{os.fspath(path)}: {reason}") from None
    try:
        text_format.Parse(text, message)
    except text_format.ParseError as error:
        raise ConfigFileError(f"{os.fspath(path)}: {error}") from None
