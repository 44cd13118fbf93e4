"""Face models by the name that settings give them."""

from __future__ import annotations

from facemodel.morphable import MorphableModel


def load_face_model(name: str, level: int = 1) -> MorphableModel:
    """Reads a face model.

    Args:
      name: default, tiny (made up, of one level), or the path of an .npz file.
      level: of subdivision.

    Raises:
      ModelError: if the file is missing or no face model.
    """
    if name == "tiny":
        return MorphableModel.tiny()
    return MorphableModel.load(None if name == "default" else name, level=level)
