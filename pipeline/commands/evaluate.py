"""`facerelief evaluate`: errors in millimetres on held-out synthetic faces."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from pipeline.commands.options import FaceModel, Weights


def command(
    count: Annotated[
        int | None,
        typer.Option("--count", "-n", min=2, help="How many faces: 1000, or 48 with --detail."),
    ] = None,
    weights: Weights = None,
    model: FaceModel = None,
    recipe: Annotated[
        str, typer.Option(help="Of the synthetic faces: paper or lifelike.")
    ] = "paper",
    seed: Annotated[int | None, typer.Option(help="Draws other faces than the usual ones.")] = None,
    detail: Annotated[
        bool,
        typer.Option("--detail", help="Evaluate wrinkles and pores instead, by other figures."),
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Faces at a time.")] = 8,
    json_file: Annotated[
        pathlib.Path | None, typer.Option("--json", help="Also write the table to this file.")
    ] = None,
) -> None:
    """Print the mean error in mm of mean face, landmark fit and network on held-out faces.

    Distances are between corresponding vertices of the inner face after similarity alignment.

    Example: facerelief evaluate -n 200 --json errors.json
    """
    from rich.console import Console

    from facemodel.files import check_folder
    from serving.quiet import without_notices

    with without_notices():
        from pipeline.evaluation import error_table, held_out

    check_folder(json_file)
    if detail:
        _evaluate_detail(count, seed, json_file)
        return
    result = held_out.run(
        count=count or 1000,
        weights=weights,
        model_path=model,
        recipe=recipe,
        seed=held_out.HELD_OUT_SEED if seed is None else seed,
        batch_size=batch_size,
    )
    Console().print(error_table.as_table(result))
    if json_file:
        result.write_json(json_file)


def _evaluate_detail(count: int | None, seed: int | None, json_file: pathlib.Path | None) -> None:
    from rich.console import Console

    from pipeline.evaluation import detail

    faces, drawn = count or detail.COUNT, detail.SEED if seed is None else seed
    rows = detail.run(count=faces, seed=drawn)
    Console().print(detail.as_table(rows, count=faces, seed=drawn))
    if json_file:
        detail.write_json(rows, json_file, count=faces, seed=drawn)
