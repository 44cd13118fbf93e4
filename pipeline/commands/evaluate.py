"""`facerelief evaluate`: errors in millimetres on held-out synthetic faces."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from pipeline.commands.options import FaceModel, Weights


def command(
    count: Annotated[
        int | None,
        typer.Option(
            "--count",
            "-n",
            min=2,
            help="How many faces: 1000, 48 with --detail, 25 at each angle with --texture.",
            show_default=False,
        ),
    ] = None,
    weights: Weights = None,
    model: FaceModel = None,
    recipe: Annotated[
        str, typer.Option(help="Of the synthetic faces: paper or lifelike.")
    ] = "paper",
    seed: Annotated[
        int | None,
        typer.Option(help="Draws other faces than the usual ones.", show_default=False),
    ] = None,
    detail: Annotated[
        bool, typer.Option("--detail", help="Evaluate wrinkles instead, by other figures.")
    ] = False,
    texture: Annotated[
        bool, typer.Option("--texture", help="Evaluate completed textures instead.")
    ] = False,
    groups: Annotated[
        bool,
        typer.Option("--groups", help="Also by part of the face, yaw, expression, skin and light."),
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Faces at a time.")] = 8,
    json_file: Annotated[
        pathlib.Path | None, typer.Option("--json", help="Also write the table to this file.")
    ] = None,
) -> None:
    """Print the mean error in mm of mean face, landmark fit and network on held-out faces.

    Distances are between corresponding vertices of the inner face after similarity alignment. With
    --detail: how much of wrinkles whose truth is known is recovered, and what is made up. With
    --texture: errors of completed textures where the photo doesn't show the face.

    Example: facerelief evaluate -n 200 --json errors.json
    """
    from facemodel.files import check_folder
    from serving.quiet import without_notices

    if detail and texture:
        raise ValueError("--detail and --texture exclude each other")
    check_folder(json_file)
    if detail:
        return _evaluate_detail(count, seed, json_file)
    if texture:
        return _evaluate_texture(count, seed, model, json_file)
    with without_notices():
        from pipeline.evaluation import breakdown, error_table, held_out

    result = held_out.run(
        count=count or 1000,
        weights=weights,
        model_path=model,
        recipe=recipe,
        seed=held_out.HELD_OUT_SEED if seed is None else seed,
        batch_size=batch_size,
    )
    _show(error_table.as_table(result))
    for figures in result.breakdown if groups else ():
        _show(breakdown.as_rich(figures))
    if json_file:
        result.write_json(json_file)


def _evaluate_detail(count: int | None, seed: int | None, json_file: pathlib.Path | None) -> None:
    from pipeline.evaluation import detail

    faces, drawn = count or detail.COUNT, detail.SEED if seed is None else seed
    rows = detail.run(count=faces, seed=drawn)
    _show(detail.as_table(rows, count=faces, seed=drawn))
    if json_file:
        detail.write_json(rows, json_file, count=faces, seed=drawn)


def _evaluate_texture(
    count: int | None,
    seed: int | None,
    model: pathlib.Path | None,
    json_file: pathlib.Path | None,
) -> None:
    from pipeline.evaluation import held_out, texture

    drawn = held_out.HELD_OUT_SEED if seed is None else seed
    result = texture.run(count=count or 25, seed=drawn, model_path=model)
    _show(texture.as_table(result))
    if json_file:
        result.write_json(json_file)


def _show(table) -> None:
    from rich.console import Console

    Console().print(table)
