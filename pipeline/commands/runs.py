"""`facerelief runs`: the local runs of the pipeline, and their folders."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

_KEPT = 5


def command(
    root: Annotated[pathlib.Path, typer.Option(help="Of the local pipeline.")] = pathlib.Path(
        "out/pipeline"
    ),
    steps: Annotated[bool, typer.Option("--steps", help="List the steps of each run.")] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove what only older runs have, after --keep.")
    ] = False,
    keep: Annotated[
        int | None, typer.Option(min=1, help=f"How many runs --clean keeps; {_KEPT} if not given.")
    ] = None,
) -> None:
    """List the local runs of the pipeline with their states, newest first.

    Pushed models are never removed.

    Example: facerelief runs --clean --keep 3
    """
    from rich.console import Console

    from pipeline.runs import cleaning, history
    from pipeline.runs.places import PipelinePaths

    places = PipelinePaths(root)
    if keep is not None and not clean:
        raise history.RunsError("--keep needs --clean")
    if clean:
        removed = cleaning.clean(places, keep=keep or _KEPT)
        for path in removed:
            typer.echo(f"removed {path}")
    Console().print(_table(history.list_runs(places), steps=steps))


def _table(found, *, steps: bool):
    from rich.table import Table

    table = Table()
    for heading in ("run", "state", "ran", "cached", "failed", *(["time"] if steps else [])):
        table.add_column(heading)
    for run in found:
        counts = (str(len(run.of(state))) for state in ("done", "cached"))
        table.add_row(run.name, run.state, *counts, ", ".join(run.of("failed")))
        for step in run.steps if steps else ():
            table.add_row(f"  {step.node}", step.state, "", "", "", f"{step.seconds:.0f} s")
    return table
