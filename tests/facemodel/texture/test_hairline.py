"""The hairline: what lies above the first hair is no skin, whatever its colour."""

import numpy as np
import pytest

from facemodel.texture.hairline import below_hairline, shows_brows
from facemodel.texture.skin_model import SkinModel

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


def test_brows_are_seen_unless_hair_covers_them():
    brows = (np.abs(np.abs(X) - 32) < 20) & (np.abs(Y - 12) < 3)
    skin = np.ones(X.shape)
    assert shows_brows(skin, ratio_of((brows, 0.5 * DARK)), PLACES)
    assert not shows_brows(skin, ratio_of(), PLACES)
    assert not shows_brows(np.where(Y > 5, 0.0, skin), ratio_of((brows, 0.5 * DARK)), PLACES)


def test_without_brows_there_is_only_skin(default_model):
    model = SkinModel.from_face(default_model)
    values = np.log(np.maximum(model.albedo_mean, 0.01))
    plain = model.without_brows(values)
    others = np.setdiff1d(np.arange(len(values)), model.brows)
    np.testing.assert_array_equal(plain[others], values[others])
    assert 50 < len(model.brows) < 0.1 * len(values)
    darkest = values[model.brows].mean(-1).min()
    around = values[model.brows].mean(-1).max()
    assert darkest < around - 0.3 and plain[model.brows].mean(-1).min() > darkest + 0.2
