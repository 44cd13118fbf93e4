"""Finding faces: large, small, several, turned, at the border; the same answer every time."""

import subprocess
import sys

import cv2
import numpy as np
import pytest

from serving.detection import tiles
from serving.detection.detector import FaceDetector
from serving.images import read_photo

DEMO = "docs/images/demo.jpg"


@pytest.fixture(scope="module")
def photo():
    return read_photo(DEMO)


@pytest.fixture(scope="module")
def detector():
    with FaceDetector() as detector:
        yield detector


@pytest.fixture(scope="module")
def reference(photo, detector):
    (face,) = detector.detect(photo)
    return face


def placed(photo, size, *, canvas, corner):
    """The photo at some size somewhere on a grey canvas (height, width)."""
    result = np.full((*canvas, 3), 128, np.uint8)
    small = cv2.resize(photo, (size, size), interpolation=cv2.INTER_AREA)
    result[corner[1] : corner[1] + size, corner[0] : corner[0] + size] = small
    return result


def deviation(landmarks, expected):
    """Mean distance as a share of the face's height."""
    return np.linalg.norm(landmarks - expected, axis=1).mean() / np.ptp(expected[:, 1])


def test_landmarks_lie_on_the_face(reference, photo):
    assert reference.landmarks.shape == (478, 2)
    assert reference.landmarks.dtype == np.float32
    assert 0.5 < reference.score <= 1.0
    right_eye, left_eye, nose, chin = reference.landmarks[[468, 473, 1, 152]]
    np.testing.assert_allclose([right_eye, left_eye], [[206, 106], [243, 103]], atol=6)
    assert right_eye[0] < nose[0] < left_eye[0]
    assert left_eye[1] < nose[1] < chin[1]
    left, top, right, bottom = reference.box
    assert 80 < right - left < 120
    assert 90 < bottom - top < 130


@pytest.mark.parametrize("share", [1.6, 0.5, 0.3, 0.2, 0.15])
def test_faces_of_any_size_are_found(share, photo, detector, reference):
    size = round(1000 * share)
    large = cv2.resize(photo, (size, size), interpolation=cv2.INTER_AREA)[:1000, :1000]
    image = placed(photo, size, canvas=(1000, 1000), corner=(60, 40)) if share < 1 else large
    (face,) = detector.detect(image)
    expected = reference.landmarks * size / 512 + ((60, 40) if share < 1 else 0)
    assert deviation(face.landmarks, expected) < 0.02


def test_several_faces_come_largest_first(photo, detector, reference):
    image = placed(photo, 500, canvas=(1000, 1600), corner=(900, 100))
    for size, corner in ((300, (50, 50)), (200, (500, 700))):
        part = placed(photo, size, canvas=(size, size), corner=(0, 0))
        image[corner[1] : corner[1] + size, corner[0] : corner[0] + size] = part
    faces = detector.detect(image)
    assert [round(face.size_px / reference.size_px * 512, -2) for face in faces] == [500, 300, 200]
    for face, size, corner in zip(faces, (500, 300, 200), ((900, 100), (50, 50), (500, 700))):
        assert deviation(face.landmarks, reference.landmarks * size / 512 + corner) < 0.02


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_photo_on_its_side_is_read_too(quarter_turns, photo, detector, reference):
    (face,) = detector.detect(np.ascontiguousarray(np.rot90(photo, quarter_turns)))
    x, y = reference.landmarks.T
    turned = {1: (y, 512 - x), 2: (512 - x, 512 - y), 3: (512 - y, x)}[quarter_turns]
    assert deviation(face.landmarks, np.stack(turned, -1)) < 0.02


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_a_turned_face_beside_an_upright_one_is_found(quarter_turns, photo, detector, reference):
    """A photo of two halves, of which the second one is turned."""
    turned = np.rot90(photo[:, ::-1], quarter_turns)
    faces = detector.detect(np.ascontiguousarray(np.concatenate([photo, turned], 1)))
    assert len(faces) == 2
    first, second = sorted(faces, key=lambda face: face.box)
    assert deviation(first.landmarks, reference.landmarks) < 0.02
    assert second.box[0] > 512


@pytest.mark.parametrize("degrees", [-40, 25])
def test_a_tilted_head_is_found(degrees, photo, detector, reference):
    matrix = cv2.getRotationMatrix2D((225, 125), degrees, 1.0)
    (face,) = detector.detect(cv2.warpAffine(photo, matrix, (512, 512)))
    expected = reference.landmarks @ matrix[:, :2].T + matrix[:, 2]
    assert deviation(face.landmarks, expected) < 0.03


def test_a_face_cut_by_the_border_is_found(photo, detector, reference):
    cut = np.ascontiguousarray(photo[:, 205:])
    (face,) = detector.detect(cut)
    assert face.landmarks[:, 0].min() < 0
    assert deviation(face.landmarks, reference.landmarks - (205, 0)) < 0.1


def test_no_face(detector):
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    assert detector.detect(noise) == []
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []
    assert detector.detect(np.full((20, 3000, 3), 200, np.uint8)) == []


def test_the_answer_does_not_depend_on_what_came_before(photo, detector, reference):
    detector.detect(placed(photo, 200, canvas=(400, 400), corner=(100, 100)))
    (again,) = detector.detect(photo)
    np.testing.assert_array_equal(again.landmarks, reference.landmarks)
    with FaceDetector() as fresh:
        np.testing.assert_array_equal(fresh.detect(photo)[0].landmarks, reference.landmarks)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10, 4), np.uint8),
        np.zeros((10, 10, 3), np.float32),
        np.zeros((0, 10, 3), np.uint8),
    ],
)
def test_other_arrays_are_refused(image, detector):
    with pytest.raises(ValueError, match=r"expected uint8 \[H, W, 3\], got"):
        detector.detect(image)


@pytest.mark.parametrize("shape", [(512, 512), (300, 2000), (3000, 2000)])
def test_tiles_cover_the_photo_with_overlap(shape):
    covered = np.zeros(shape, np.uint8)
    for tile in tiles.tiles(shape, smallest_face_px=shape[1] / 20):
        if not tile.whole:
            part = covered[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
            assert part.shape == (tile.height, tile.width)
            part += 1
    assert covered.min() >= 1


def test_crops_average_what_they_reduce():
    checks = np.tile(np.uint8([[0, 255], [255, 0]]), (200, 200))[..., None].repeat(3, -1)
    crop = tiles.warp(checks, np.array([[4.0, 0, 0], [0, 4.0, 0]]), 100)
    assert np.abs(crop.astype(int) - 127).max() < 4


QUIET = f"""
from serving.quiet import without_notices
with without_notices():
    from serving.detection.detector import FaceDetector
from serving.images import read_photo
with FaceDetector() as detector:
    print(len(detector.detect(read_photo({DEMO!r}))))
import os
with without_notices():
    os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\\n")
    os.write(2, b"a real error\\n")
"""


@pytest.mark.slow
@pytest.mark.e2e
def test_start_up_notices_are_held_back_but_not_errors():
    done = subprocess.run([sys.executable, "-c", QUIET], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
    assert done.stderr == "a real error\n"
