"""The grey crop: exact where it can be, and equal to a slow numpy version elsewhere."""

import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy import ndimage

from facemodel.fitting import crop

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, size=(2, 37, 53, 3), dtype=np.uint8)


def similarity(zoom=1.0, turn=0.0, x=0.0, y=0.0):
    cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
    return np.float32([[[cos, -sin, x], [sin, cos, y]]])


def luma_by_numpy(photo):
    return photo.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) / 255


def crop_by_numpy(photo, crop_from_image, size, supersample):
    """Means of bilinear samples, for a crop that does not shrink; one picture [H, W, 3]."""
    padded = np.pad(luma_by_numpy(photo), 1)
    steps = (np.arange(size * supersample) + 0.5) / supersample
    y, x = np.meshgrid(steps, steps, indexing="ij")
    linear, offset = crop_from_image[0, :, :2].astype(np.float64), crop_from_image[0, :, 2]
    source_x, source_y = np.linalg.inv(linear) @ (
        np.stack([x.ravel(), y.ravel()]) - offset[:, None]
    )
    samples = ndimage.map_coordinates(padded, [source_y + 0.5, source_x + 0.5], order=1)
    return samples.reshape(size, supersample, size, supersample).mean((1, 3))


def test_single_samples_of_the_identity_are_the_luma():
    grey = crop.grey_crop(PHOTO, np.repeat(similarity(), 2, 0), size=37, supersample=1)
    np.testing.assert_allclose(grey, luma_by_numpy(PHOTO)[:, :37, :37], atol=1e-5)


def test_the_identity_keeps_a_smooth_picture():
    ramp = np.linspace(0, 1, 40, dtype=np.float32)
    photo = np.broadcast_to((ramp[:, None] + ramp)[None, :, :, None] / 2, (1, 40, 40, 3))
    grey = np.asarray(crop.grey_crop(photo, similarity(), size=40))
    np.testing.assert_allclose(grey[0, 1:-1, 1:-1], photo[0, 1:-1, 1:-1, 0], atol=1e-5)


@pytest.mark.parametrize(("x", "y"), [(-5, -3), (4, 7)])
def test_whole_pixels_of_shift_move_the_picture_and_outside_is_black(x, y):
    still = np.asarray(crop.grey_crop(PHOTO, np.repeat(similarity(), 2, 0), size=30))
    moved = np.asarray(crop.grey_crop(PHOTO, np.repeat(similarity(x=x, y=y), 2, 0), size=30))
    if x < 0:
        np.testing.assert_allclose(
            moved[:, 1:3, 1:20], still[:, 1 - y : 3 - y, 1 - x : 20 - x], atol=1e-5
        )
    else:
        np.testing.assert_allclose(
            moved[:, y + 1 :, x + 1 :], still[:, 1 : 30 - y, 1 : 30 - x], atol=1e-5
        )
        assert (moved[:, : y - 1] == 0).all() and (moved[:, :, : x - 1] == 0).all()


@pytest.mark.parametrize("supersample", [1, 3])
@pytest.mark.parametrize(("zoom", "turn"), [(1.0, 0.4), (1.7, -2.0), (0.8, 0.0)])
def test_agrees_with_the_definition(zoom, turn, supersample):
    target_from_source = similarity(zoom, turn, 11.3, 6.1)
    grey = crop.grey_crop(PHOTO[:1], target_from_source, size=32, supersample=supersample)
    expected = crop_by_numpy(PHOTO[0], target_from_source, 32, supersample)
    np.testing.assert_allclose(grey[0], expected, atol=1e-5)


@pytest.mark.parametrize("zoom", [1 / 3, 1 / 5.3, 1 / 8, 1 / 17])
def test_a_fine_checkerboard_shrinks_to_grey(zoom):
    side = 512
    board = (np.indices((side, side)).sum(0) % 2).astype(np.float32)
    photo = np.repeat(board[None, :, :, None], 3, -1)
    grey = np.asarray(crop.grey_crop(photo, similarity(zoom, 0.3, 4.0, -3.0), size=20))
    covered = (
        np.asarray(crop.grey_crop(np.ones_like(photo), similarity(zoom, 0.3, 4.0, -3.0), size=20))
        > 0.999
    )
    assert covered.sum() > 60
    np.testing.assert_allclose(grey[covered], 0.5, atol=0.06)


def test_shrinking_keeps_the_place():
    """A bright disc lands where the similarity says, whatever level of the pyramid is read."""
    y, x = np.indices((400, 500)) + 0.5
    photo = np.repeat(((x - 300) ** 2 + (y - 140) ** 2 < 50**2)[None, :, :, None], 3, -1).astype(
        np.float32
    )
    for zoom in (1 / 2, 1 / 4, 1 / 9):
        grey = np.asarray(crop.grey_crop(photo, similarity(zoom), size=260))[0]
        rows, columns = np.indices(grey.shape) + 0.5
        middle = (grey * columns).sum() / grey.sum(), (grey * rows).sum() / grey.sum()
        np.testing.assert_allclose(middle, [300 * zoom, 140 * zoom], atol=0.05)
        np.testing.assert_allclose(grey.sum(), np.pi * (50 * zoom) ** 2, rtol=0.01)


def test_uint8_and_float_agree():
    target_from_source = np.repeat(similarity(0.7, 0.1, 2, 3), 2, 0)
    from_bytes = crop.grey_crop(PHOTO, target_from_source, size=24)
    from_floats = crop.grey_crop(PHOTO.astype(np.float32) / 255, target_from_source, size=24)
    np.testing.assert_allclose(from_bytes, from_floats, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2)])
def test_tiny_pictures_work(shape):
    grey = np.asarray(
        crop.grey_crop(np.full((1, *shape, 3), 255, np.uint8), similarity(0.25), size=8)
    )
    assert np.isfinite(grey).all() and 0 <= grey.min() and grey.max() <= 1 + 1e-6
    assert ops.shape(grey) == (1, 8, 8)


def test_batch_and_size_are_dynamic_in_a_graph():
    signature = [
        tf.TensorSpec([None, None, None, 3], tf.uint8),
        tf.TensorSpec([None, 2, 3], tf.float32),
    ]
    graph = tf.function(
        lambda image, matrix: crop.grey_crop(image, matrix, size=16), input_signature=signature
    )
    for height, width, batch in ((20, 31, 1), (64, 8, 3)):
        photo = RNG.integers(0, 256, size=(batch, height, width, 3), dtype=np.uint8)
        matrix = np.repeat(similarity(0.6, 0.2, 3, 1), batch, 0)
        np.testing.assert_allclose(
            graph(photo, matrix), crop.grey_crop(photo, matrix, size=16), atol=1e-6
        )
