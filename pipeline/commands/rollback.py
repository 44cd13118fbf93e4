"""`facerelief rollback`: back to an earlier version of a pushed model."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer


def command(
    folder: Annotated[pathlib.Path, typer.Argument(help="Of the versions that a server watches.")],
    to: Annotated[
        int | None,
        typer.Option(help="Version to go back to; the one before the newest if not given."),
    ] = None,
) -> None:
    """Withdraw the newest versions of a pushed model, so that servers go back to an earlier one.

    A withdrawn version stays in the folder as withdrawn-VERSION; renaming it brings it back.

    Example: facerelief rollback out/pipeline/serving/facerelief
    """
    from components.deployment import registry

    withdrawn = registry.withdraw(folder, to=to)
    for version in withdrawn:
        typer.echo(f"withdrew {version}")
    typer.echo(f"newest is {max(registry.versions(folder))}")
