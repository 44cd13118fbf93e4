"""`facerelief video`: people in a film, as tracks, animated heads and a film of both."""

from __future__ import annotations

import pathlib
from typing import Annotated

import typer

from pipeline.commands.options import Weights


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILM|FOLDER|camera",
            help="A video file, a folder of pictures in the order of their names, or camera "
            "(camera:1 is the second one).",
            show_default=False,
        ),
    ],
    output: Annotated[
        pathlib.Path, typer.Option("--output", "-o", metavar="OUT", help="Folder for the results.")
    ],
    weights: Weights = None,
    fps: Annotated[
        float | None,
        typer.Option(min=1.0, max=480.0, help="Frames per second; a film's own, or 25.",
                     show_default=False),
    ] = None,
    max_people: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="At most N people at a time, largest first."),
    ] = None,
    causal: Annotated[
        bool,
        typer.Option("--causal", help="Use no later frame for an earlier one, as live tracking."),
    ] = False,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="Let the network see every sixth frame only; landmarks say "
                     "expressions."),
    ] = False,
    film: Annotated[
        bool, typer.Option("--film/--no-film", help="The film beside the heads, .mp4.")
    ] = True,
    heads: Annotated[
        bool, typer.Option("--heads/--no-heads", help="An animated head for each person, .glb.")
    ] = True,
    texture: Annotated[
        bool, typer.Option("--texture/--no-texture", help="Colours of the best frame, or clay.")
    ] = True,
    keep_cache: Annotated[
        bool, typer.Option("--keep-cache", help="Leave what a later run can resume from.")
    ] = False,
    seconds: Annotated[
        float, typer.Option(min=0.5, max=600.0, help="How long a camera is recorded.")
    ] = 10.0,
) -> None:  # fmt: skip
    """Follow the people in a film: one neutral shape for each, expression and pose in each frame.

    For person K of NAME.mp4 (0 is there longest) OUT gets NAME_K.npz and .json (the track) and
    NAME_K.glb (the head with its animation), and NAME.mp4 (frames and heads side by side, with the
    film's sound). A run that was interrupted goes on where it was.

    Example: facerelief video interview.mp4 -o out
    """
    from pipeline.inference import video
    from serving.tracking.tracker import FAST_EVERY

    options = video.VideoOptions(
        weights=weights, fps=fps, max_people=max_people, causal=causal, film=film, heads=heads,
        texture=texture, keep_cache=keep_cache, network_every=FAST_EVERY if fast else 1,
    )  # fmt: skip
    typer.echo(video.run(source, output, options, seconds=seconds))
