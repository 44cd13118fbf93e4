"""What a face's flags mean, in words for somebody who looks at it."""

from __future__ import annotations

from collections.abc import Iterable

WORDS = {
    "extreme_pose": "The head is turned far from the camera: what the photo hides is guessed.",
    "small_face": "The face is small in the photo: a larger picture shows more of its shape.",
    "cut_by_border": "The border of the photo cuts the face.",
    "low_confidence": "The detector is not sure that this is a face.",
    "poor_fit": "The shape does not fit the landmarks that were found well.",
    "grey_photo": "The photo has no colours, so the texture has none, either.",
    "dark_glasses": "Dark glasses: the eyes behind them come from the face model.",
    "little_skin": "The photo shows little skin: most of the texture comes from the face model.",
    "covered_face": "Something covers much of the face: a mask, a hand or hair.",
    "uneven_light": "The light is much stronger on one side, and stays in the texture.",
    "no_detail_small_face": "Too small for wrinkles: there is no detail map.",
    "no_detail_hidden": "Too little of the skin is seen for wrinkles: there is no detail map.",
    "detail_without_colour": "Without colours, wrinkles may be marks of the skin.",
}


def in_words(flags: Iterable[str]) -> list[str]:
    """A sentence for each flag; one that is not known stands for itself."""
    return [WORDS.get(flag, flag.replace("_", " ")) for flag in flags]
