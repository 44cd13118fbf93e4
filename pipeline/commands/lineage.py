"""`facerelief lineage`: what made a model."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer


def command(
    model: Annotated[
        pathlib.Path, typer.Argument(help="Folder of a SavedModel, or of versions of one.")
    ],
    root: Annotated[
        pathlib.Path, typer.Option(help="Of the local pipeline whose records are asked, too.")
    ] = pathlib.Path("out/pipeline"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which data, seed, settings, code and parent made a model.

    Example: facerelief lineage out/pipeline/serving/facerelief
    """
    import json

    import yaml

    from pipeline.runs import lineage
    from pipeline.runs.places import PipelinePaths

    found = lineage.lineage(model, PipelinePaths(root))
    text = json.dumps(found, indent=1) if as_json else yaml.safe_dump(found, sort_keys=False)
    typer.echo(text.rstrip())
