"""Which files a face becomes: NAME.SUFFIX for each of these suffixes."""

from __future__ import annotations

from collections.abc import Sequence

TEXTURE, NORMAL_MAP = "texture.jpg", "normals.jpg"
PARTS = {"obj": ("obj", "mtl", TEXTURE), "ply": ("ply",), "glb": ("glb",)}
"""Of each mesh format."""
FORMATS = tuple(PARTS)
OVERVIEW = "png"
ALWAYS = ("json", OVERVIEW)
ONLY_WITH_DETAIL = (NORMAL_MAP,)
PICTURES = (TEXTURE, NORMAL_MAP, OVERVIEW)
"""Of files that could be taken for photos."""


def suffixes(formats: Sequence[str] = FORMATS, *, textured: bool = True) -> tuple[str, ...]:
    """Suffixes of all files that every face has in these mesh formats, textured or not."""
    parts = PARTS if textured else PARTS | {"obj": ("obj",)}
    return (*(end for name in formats for end in parts[name]), *ALWAYS)
