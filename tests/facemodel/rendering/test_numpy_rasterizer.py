"""The numpy z-buffer for records finds the triangles of rasterizer.rasterize."""

import numpy as np
import pytest

from facemodel import camera
from facemodel.rendering import numpy_rasterizer, rasterizer


def as_picture(found, height, width):
    pixel, triangle = found
    picture = np.full(height * width, -1)
    picture[pixel] = triangle
    return picture.reshape(height, width)


@pytest.mark.parametrize("name", ["tiny", "default"])
@pytest.mark.parametrize("size", [40, 200])
def test_both_z_buffers_show_the_same_triangles(name, size, request, random_faces):
    model = request.getfixturevalue(f"{name}_model")
    triangles = np.asarray(request.getfixturevalue(f"{name}_geometry").fine.triangles)
    vertices, pose = random_faces(model, 4, seed=size, size=size, angles=(0.6, 0.3, 0.3))
    screen = np.array(camera.project(vertices, pose))
    screen[1, :, 0] += 0.6 * size  # partly outside
    screen[2, :, :2] *= 3.0  # triangles of many pixels
    height, width = size, size + 7
    expected = np.asarray(rasterizer.rasterize(screen, triangles, height=height, width=width))
    for face, picture in zip(screen, expected):
        found = numpy_rasterizer.rasterize_numpy(face, triangles, height=height, width=width)
        assert (np.diff(found[0]) > 0).all()
        assert (as_picture(found, height, width) == picture).mean() > 0.9999


def test_a_face_out_of_sight_covers_nothing(tiny_model, tiny_geometry, random_faces):
    vertices, pose = random_faces(tiny_model, 1, seed=0, size=40)
    screen = np.array(camera.project(vertices, pose))[0] + np.float32([500, 0, 0])
    pixel, triangle = numpy_rasterizer.rasterize_numpy(
        screen, np.asarray(tiny_geometry.fine.triangles), height=40, width=40
    )
    assert len(pixel) == len(triangle) == 0
