"""`facerelief bench`: how long each part takes on this machine."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer


def command(
    photo: Annotated[pathlib.Path, typer.Option(help="A photo with a face.")] = pathlib.Path(
        "docs/images/demo.jpg"
    ),
    repeats: Annotated[int, typer.Option(min=2, help="Calls for each figure.")] = 10,
    json_file: Annotated[
        pathlib.Path | None, typer.Option("--json", help="Also write the figures to this file.")
    ] = None,
) -> None:
    """Measure detection, alignment, loop, whole photo, synthesis and training.

    Example: facerelief bench --repeats 20 --json bench.json
    """
    from rich.console import Console

    from facemodel.files import check_folder
    from serving.quiet import without_notices

    with without_notices():
        from pipeline.evaluation import benchmark

    check_folder(json_file)
    figures = benchmark.run(photo, repeats=repeats)
    Console().print(benchmark.as_table(figures))
    if json_file:
        benchmark.write_json(figures, json_file)
