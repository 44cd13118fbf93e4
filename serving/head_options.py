"""What a user may choose about a head; light, so that commands can read it before any work."""

from __future__ import annotations

import dataclasses

DETAIL = ("map", "geometry", "none")


@dataclasses.dataclass(frozen=True)
class HeadOptions:
    """What a head gets.

    Attributes:
      texture: colours from the photo; clay without.
      albedo: divide the photo's light out of the texture.
      detail: "map" for a normal map, "geometry" for a finer mesh that is displaced, or "none".

    Raises:
      ValueError: if detail is something else, or albedo is wanted without a texture.
    """

    texture: bool = True
    albedo: bool = False
    detail: str = "map"

    def __post_init__(self) -> None:
        if self.detail not in DETAIL:
            raise ValueError(f"detail: should be one of {', '.join(DETAIL)}, got {self.detail!r}")
        if self.albedo and not self.texture:
            raise ValueError("albedo: there is no texture to divide the light out of")
