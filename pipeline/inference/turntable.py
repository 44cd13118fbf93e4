"""A head's .glb to a film: what `facerelief turntable` does."""

from __future__ import annotations

import pathlib
from collections.abc import Iterable

from rich.console import Console
from rich.progress import track

from facemodel.files import check_folder, write_bytes

FORMATS = (".mp4", ".gif")
_PALETTE_FRAMES = 8


def run(
    face: pathlib.Path, output: pathlib.Path, *, size: int, seconds: float, fps: int
) -> pathlib.Path:
    """Renders the film of a head and writes it.

    Args:
      face: The head's .glb, a file beside it of the same name, or that name without suffix.
      output: .mp4 or .gif, replaced if it exists.
      size: px, side of the film.
      seconds: How long it is.
      fps: frames per second.

    Returns:
      The .glb that was read.

    Raises:
      OSError: if the .glb cannot be read or the film cannot be written.
      ValueError: if the .glb is none of facerelief's, or an option does not fit.
    """
    suffix, count = output.suffix.lower(), round(seconds * fps)
    _check(suffix, size, count)
    check_folder(output)
    source = find_glb(face)

    from serving.output.gltf_read import read_glb
    from serving.output.turntable import moment, render_frame, render_frames
    from serving.output.video import encode_gif, encode_mp4

    mesh = read_glb(source)
    frames = _shown(render_frames(mesh, size=size, count=count), count)
    if suffix == ".gif":
        times = (number / _PALETTE_FRAMES for number in range(_PALETTE_FRAMES))
        colours = [render_frame(mesh, moment(time), size=size) for time in times]
        content = encode_gif(frames, fps=fps, palette_from=colours)
    else:
        content = encode_mp4(frames, fps=fps)
    write_bytes(output, content)
    return source


def _check(suffix: str, size: int, count: int) -> None:
    if suffix not in FORMATS:
        raise ValueError(f"--output: should end in {' or '.join(FORMATS)}, got {suffix!r}")
    if suffix == ".mp4" and size % 2:
        raise ValueError(f"--size: should be even for .mp4, got {size}")
    if count < 1:
        raise ValueError("--seconds and --fps: make no frame")


def find_glb(face: pathlib.Path) -> pathlib.Path:
    """The .glb of a face, of which it or any file beside it is named, with or without suffix.

    Raises:
      FileNotFoundError: if there is none.
    """
    tried = [face] if face.suffix.lower() == ".glb" else []
    tried += [face.with_name(face.name + ".glb"), face.with_suffix(".glb")]
    for path in tried:
        if path.is_file():
            return path
    raise FileNotFoundError(f"{face}: no such .glb; facerelief reconstruct writes it")


def _shown(frames: Iterable, count: int) -> Iterable:
    """The frames, counted on the screen if there is one."""
    console = Console(stderr=True)
    return track(
        frames,
        "rendering",
        total=count,
        console=console,
        transient=True,
        disable=not console.is_interactive,
    )
