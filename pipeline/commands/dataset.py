"""`facerelief dataset describe`: what a data set holds."""

from __future__ import annotations

import enum
import pathlib
from typing import Annotated

import typer


class Action(str, enum.Enum):
    """What can be done with a data set."""

    DESCRIBE = "describe"


def command(
    action: Annotated[Action, typer.Argument(help="What to do.")],
    folder: Annotated[
        pathlib.Path,
        typer.Argument(help="From `facerelief synthesize`, or Examples of the pipeline."),
    ],
    out: Annotated[
        pathlib.Path | None,
        typer.Option("--out", "-o", help="The page; FOLDER/dataset_card.html if not given."),
    ] = None,
) -> None:
    """Say what a data set holds: counts, slices, histograms and pictures, also as one HTML page.

    Example: facerelief dataset describe faces
    """
    from rich.progress import Progress

    from facemodel.files import write_bytes
    from pipeline.datasets import card as dataset_card

    out = out or folder / dataset_card.CARD
    with Progress(transient=True) as bar:
        task = bar.add_task("Reading", total=None)
        card = dataset_card.describe(folder, progress=lambda n: bar.advance(task, n))
    write_bytes(out, dataset_card.as_page(card).encode())
    typer.echo(dataset_card.as_text(card))
    typer.echo(f"page: {out}")
