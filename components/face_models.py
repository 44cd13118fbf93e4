"""Face models by the name that settings give them."""

from __future__ import annotations

from facemodel.morphable.model import MorphableModel

NAMES = ("default", "tiny")
"""Names in the settings of the package's face model and of a made-up one."""


def load_face_model(name: str, level: int = 1) -> MorphableModel:
    """Reads a face model.

    Args:
      name: default, tiny (made up, of one level), or the path of an .npz file.
      level: Subdivision level.

    Raises:
      ModelError: if the file is missing or no face model.
    """
    if name == "tiny":
        return MorphableModel.tiny()
    return MorphableModel.load(face_model_file(name), level=level)


def face_model_file(name: str) -> str | None:
    """The file that settings name; None for the face models that need none."""
    return None if name in NAMES else name
