"""Quick inner products and lengths give what numpy's sums and norms do."""

import numpy as np
import pytest

from facemodel import vectors


@pytest.fixture
def image():
    return np.random.default_rng(0).normal(size=(5, 7, 3)).astype(np.float32)


def test_products_and_lengths_are_numpys(image):
    other = image[::-1]
    np.testing.assert_allclose(vectors.dot(image, other), (image * other).sum(-1), atol=1e-6)
    np.testing.assert_allclose(vectors.length(image), np.linalg.norm(image, axis=-1), rtol=1e-6)
    np.testing.assert_allclose(vectors.mean_channel(image), image.mean(-1), atol=1e-6)
    np.testing.assert_array_equal(vectors.largest_channel(image), image.max(-1))
    np.testing.assert_array_equal(vectors.smallest_channel(image), image.min(-1))


def test_unit_vectors_keep_their_direction_and_nothing_stays_nothing(image):
    image[0, 0] = 0.0
    found = vectors.unit(image)
    assert found.dtype == np.float32 and (found[0, 0] == 0.0).all()
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1).ravel()[1:], 1.0, rtol=1e-6)
    np.testing.assert_allclose(found * vectors.length(image)[..., None], image, atol=1e-6)
