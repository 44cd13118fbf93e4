"""`facerelief adopt`: takes over weights that were trained on another basis of the same faces."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer


def command(
    geometry: Annotated[
        pathlib.Path,
        typer.Argument(metavar="GEOMETRY.npz", help="That the weights were trained on."),
    ],
    weights: Annotated[
        pathlib.Path, typer.Argument(metavar="WEIGHTS.npz", help="Of figure 4's network.")
    ],
    output: Annotated[
        pathlib.Path, typer.Option("--output", "-o", metavar="OUT.npz", help="File to write.")
    ],
    model: Annotated[
        pathlib.Path | None,
        typer.Option(help="Face model to adopt them for; the default model if not given."),
    ] = None,
    provenance: Annotated[str, typer.Option(help="Kept in the file, in words.")] = "adopted",
) -> None:
    """Rewrite trained weights for a face model with other basis vectors of nearly the same span.

    Only the network's last layer changes. Prints what the face model cannot reach.

    Example: facerelief adopt geometry.npz weights.npz -o facemodel/data/regressor_float16.npz
    """
    from pipeline.training import adopt

    change = adopt.rebase_weights(
        geometry, weights, output, model_path=model, provenance=provenance
    )
    typer.echo(
        f"wrote {output}; not reached by the face model: {change.basis_residual_mm:.4f} mm of the "
        f"faces (RMS), {change.mean_residual_mm:.4f} mm of their mean"
    )
