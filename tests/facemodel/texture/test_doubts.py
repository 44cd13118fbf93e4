"""Flags of doubt, on photos of the mean head that are made here."""

import numpy as np
import pytest
from head_photos import photograph, turned

from facemodel.texture import completion
from facemodel.texture.analysis import analyse
from facemodel.texture.doubts import covered_share, doubts, light_difference


@pytest.fixture(scope="module")
def albedo(skin, coefficients):
    return completion.albedo_of(skin, coefficients)


def found_in(skin, colours, change=None):
    pose = turned(0)
    photo, _ = photograph(skin, colours, pose)
    if change:
        photo = change(photo)
    return analyse(skin, photo, skin.positions, pose)


def test_an_ordinary_photo_raises_none(skin, albedo):
    found = found_in(skin, albedo * 0.9)
    assert doubts(skin, found) == ()
    assert covered_share(skin, found) < 0.25
    assert abs(light_difference(skin, found)) < 0.3


def test_a_mask_covers_the_face(skin, albedo):
    def masked(photo):
        photo[160:, :] = (70, 120, 200)
        return photo

    found = found_in(skin, albedo * 0.9, masked)
    assert "covered_face" in doubts(skin, found)
    assert covered_share(skin, found) > covered_share(skin, found_in(skin, albedo * 0.9)) + 0.2


@pytest.mark.parametrize("side", [1, -1])
def test_a_half_dark_face_is_unevenly_lit(skin, albedo, side):
    """sRGB halved on one side is 2.2 powers of two less light."""
    dark = np.where(side * skin.positions[:, :1] < 0, 0.5, 1.0)
    found = found_in(skin, albedo * dark)
    assert "uneven_light" in doubts(skin, found)
    assert light_difference(skin, found) == pytest.approx(2.2 * side, abs=0.25)
