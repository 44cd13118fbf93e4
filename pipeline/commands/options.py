"""Options that several commands have, and errors that end a command with a code of its own."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

FaceModel = Annotated[
    pathlib.Path | None, typer.Option(help="Face model, .npz; the default model if not given.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.")]
Weights = Annotated[
    pathlib.Path | None, typer.Option(help="Network weights, .npz; the shipped ones if not given.")
]


class CommandError(ValueError):
    """An error that ends a command.

    Attributes:
      exit_code: Exit code of the process.
    """

    def __init__(self, message: str, *, exit_code: int = 2):
        super().__init__(message)
        self.exit_code = exit_code
