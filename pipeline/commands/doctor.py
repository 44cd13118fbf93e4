"""`facerelief doctor`: whether everything that is needed is here and works."""

from __future__ import annotations

from typing import Annotated

import typer


def command(
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out what starts TensorFlow.")
    ] = False,
) -> None:
    """Check this installation: one line for each thing; exit code 1 if something is wrong.

    Optional things that are missing give a warning, which does not count as wrong.

    Example: facerelief doctor
    """
    from pipeline import checks

    marks = {checks.Status.OK: "green", checks.Status.WARN: "yellow", checks.Status.FAIL: "red"}
    failed = False
    for check in checks.run_all(quick=quick):
        label = typer.style(f"{check.status.value:4}", fg=marks[check.status])
        typer.echo(f"{label}  {check.name:12}  {check.message}")
        failed |= check.status is checks.Status.FAIL
    if failed:
        raise typer.Exit(1)
