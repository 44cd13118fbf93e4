"""Builds the default face model with this project's own face detector."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

from facemodel import default_model
from pipeline.models.landmarks import face_detector

DEFAULT_CACHE = pathlib.Path("out") / "face-model-sources"
"""Where the two source packages are kept between builds."""


def build_model(
    output: str | os.PathLike[str],
    *,
    cache_dir: str | os.PathLike[str] = DEFAULT_CACHE,
    head_output: str | os.PathLike[str] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> default_model.BuildReport:
    """Builds the default face model; see facemodel.default_model.build_default_model.

    Args:
      output: the .npz file to write.
      cache_dir: folder for the downloaded packages.
      head_output: the .npz file of the whole head; none is built if None.
      progress: called with what comes next and the share of the work done.
    """
    with face_detector() as detect:
        return default_model.build_default_model(
            output,
            cache_dir=cache_dir,
            detect=detect,
            head_output=head_output,
            progress=progress,
        )
