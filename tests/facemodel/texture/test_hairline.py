"""The hairline: what lies above the first hair is no skin, whatever its colour."""

import numpy as np
import pytest

from facemodel.texture.hairline import below_hairline

X, Y = np.meshgrid(np.arange(-80.0, 81.0), np.arange(110.0, -90.0, -1.0))
PLACES = np.stack([X, Y], -1)
BLOND = np.array([0.1, 0.0, -0.3])
DARK = np.array([-1.0, -1.0, -1.0])


def ratio_of(*parts):
    """Log colours over their prediction, with grain: parts are masks and colours."""
    ratio = np.random.default_rng(0).normal(0.1, 0.03, (*X.shape, 3))
    for mask, colour in parts:
        ratio[mask] += colour
    return ratio


@pytest.mark.parametrize("colour", [BLOND, DARK])
def test_a_fringe_ends_the_skin_and_so_does_all_above_it(colour):
    ratio = ratio_of(((Y > 55) & (Y < 75), colour))
    found = below_hairline(np.ones(X.shape), ratio, PLACES)
    assert (found[Y < 45] == 1.0).all()
    above = (Y > 55) & (np.abs(X) < 60)
    assert found[above].max() == 0.0


def test_a_forehead_without_hair_stays():
    skin = np.ones(X.shape)
    mole = np.hypot(X - 12, Y - 50) < 3
    found = below_hairline(skin, ratio_of((mole, DARK)), PLACES)
    np.testing.assert_array_equal(found, skin)


def test_hair_to_the_brows_is_compared_with_the_bridge_of_the_nose():
    found = below_hairline(np.ones(X.shape), ratio_of((Y > 24, BLOND)), PLACES)
    assert found[(Y > 28) & (np.abs(X) < 60)].max() == 0.0
    assert (found[Y < 15] == 1.0).all()


def test_outside_the_mesh_nothing_changes():
    places = np.where(Y[..., None] > 40, np.nan, PLACES)
    skin = np.random.default_rng(1).uniform(0.9, 1.0, X.shape)
    found = below_hairline(skin, ratio_of(), places)
    np.testing.assert_array_equal(found, skin)
