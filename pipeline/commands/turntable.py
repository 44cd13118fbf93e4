"""`facerelief turntable`: a film of a reconstructed head."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer


def command(
    face: Annotated[
        pathlib.Path,
        typer.Argument(
            metavar="FACE",
            help="A head's .glb, another of its files, or their common name.",
            show_default=False,
        ),
    ],
    output: Annotated[
        pathlib.Path,
        typer.Option("--output", "-o", metavar="FILM", help="The film, .mp4 or .gif."),
    ],
    size: Annotated[int, typer.Option(min=32, max=2048, help="Side of the film in px.")] = 480,
    seconds: Annotated[float, typer.Option(min=0.1, max=60.0, help="How long it is.")] = 6.0,
    fps: Annotated[int, typer.Option(min=1, max=50, help="Frames per second.")] = 25,
) -> None:
    """Make a film of a head: it turns, a lamp goes round it, it makes a few faces.

    FACE is what `facerelief reconstruct` wrote. The .mp4 holds H.264; a .gif is shown even where
    no film is, but is larger.

    Example: facerelief turntable out/portrait_0.glb -o portrait.mp4
    """
    from pipeline.inference import turntable

    turntable.run(face, output, size=size, seconds=seconds, fps=fps)
    typer.echo(f"wrote {output}")
