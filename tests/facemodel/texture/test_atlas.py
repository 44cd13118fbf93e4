"""The atlas of a texture: known places, mirrored islands, gutters."""

import numpy as np
import pytest

from facemodel.texture.atlas import make_atlas

SQUARE = np.array([[0, 1, 2], [0, 2, 3]])
CORNERS = np.array([[0.25, 0.25], [0.75, 0.25], [0.75, 0.75], [0.25, 0.75]], np.float32)


def test_texels_lie_where_their_uv_says():
    """Interpolated texture coordinates give back the texel's own centre."""
    size = 64
    atlas = make_atlas(SQUARE, CORNERS, SQUARE, size=size)
    assert len(atlas.texel) == (size // 2) ** 2
    uv = atlas.from_vertices @ CORNERS
    centre = np.stack([atlas.texel % size, atlas.texel // size], -1) + 0.5
    np.testing.assert_allclose(uv[:, 0], centre[:, 0] / size, atol=1e-5)
    np.testing.assert_allclose(uv[:, 1], 1 - centre[:, 1] / size, atol=1e-5)


@pytest.mark.parametrize("flip", [(1, 1), (-1, 1), (1, -1)])
def test_mirrored_islands_are_covered_alike(flip):
    uv = 0.5 + (CORNERS - 0.5) * flip
    atlas = make_atlas(SQUARE, uv, SQUARE, size=32)
    assert len(atlas.texel) == 256
    np.testing.assert_allclose(atlas.weights.sum(1), 1, atol=1e-5)
    assert atlas.weights.min() > -1e-4


def test_gutters_take_the_nearest_texel():
    size = 32
    atlas = make_atlas(SQUARE, CORNERS, SQUARE, size=size)
    image = atlas.spread(np.arange(len(atlas.texel)))
    assert (image.ravel()[atlas.texel] == np.arange(len(atlas.texel))).all()
    row, column = np.divmod(atlas.texel, size)
    y, x = 3, 20
    away = np.hypot(row - y, column - x)
    assert away[image[y, x]] == away.min()


def test_vertices_of_a_seam_have_several_places():
    """Two triangles share vertices but not texture coordinates."""
    uv = np.array([[0.1, 0.1], [0.4, 0.1], [0.1, 0.4], [0.6, 0.6], [0.9, 0.6], [0.6, 0.9]])
    atlas = make_atlas(
        np.array([[0, 1, 2], [0, 1, 3]]), uv, np.array([[0, 1, 2], [3, 4, 5]]), size=50
    )
    values = atlas.from_vertices @ np.array([1.0, 1.0, 0.0, 0.0])
    assert values.max() <= 1.0 + 1e-6
    assert set(atlas.triangle) == {0, 1}


def test_a_texture_without_triangles_is_refused():
    with pytest.raises(ValueError, match="no triangle"):
        make_atlas(SQUARE, CORNERS * 1e-4, SQUARE, size=8)
