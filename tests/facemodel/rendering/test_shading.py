"""Normals, shading, Phong and photos against formulas, slow versions and golden pictures."""

import numpy as np
import pytest
import tensorflow as tf

from facemodel import camera, transforms
from facemodel.morphable.geometry import Surface, compute_vertex_triangles
from facemodel.rendering import rasterizer
from facemodel.rendering import shading as renderer


def mesh(triangles, vertex_count):
    """A surface of nothing but triangles."""
    fields = dict.fromkeys(Surface._fields)
    fields["triangles"] = tf.constant(triangles, tf.int32)
    fields["vertex_triangles"] = tf.constant(
        compute_vertex_triangles(np.asarray(triangles), vertex_count)
    )
    return Surface(**fields)


def sphere(subdivisions=5):
    """An octahedron, cut finer and blown up: vertices [V, 3] of length 1, triangles [T, 3]."""
    corners = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    faces = [(a, b, c) for a in (0, 1) for b in (2, 3) for c in (4, 5)]
    triangles = corners[np.array(faces)]
    inward = np.linalg.det(triangles) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    for _ in range(subdivisions):
        a, b, c = triangles.swapaxes(0, 1)
        ab, bc, ca = (
            (p + q) / np.linalg.norm(p + q, axis=1, keepdims=True)
            for p, q in ((a, b), (b, c), (c, a))
        )
        parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        triangles = np.concatenate([np.stack(part, 1) for part in parts])
    vertices, index = np.unique(triangles.reshape(-1, 3).round(9), axis=0, return_inverse=True)
    return vertices.astype(np.float32), index.reshape(-1, 3).astype(np.int32)


def still(scale, middle):
    """A pose that looks straight at the model's origin."""
    return camera.Pose(
        np.eye(3, dtype=np.float32)[None], np.float32([scale]), np.float32([[middle, middle]])
    )


def lamp(ambient=0.5, diffuse=0.7, specular=0.05, direction=(0.0, 0.0, 1.0), count=1):
    values = (np.full(count, value, np.float32) for value in (ambient, diffuse, specular))
    return renderer.Light(*values, np.tile(np.float32(direction), (count, 1)))


def test_vertex_normals_equal_a_slow_sum(tiny_model, tiny_geometry, random_faces):
    vertices, _ = random_faces(tiny_model, 2, seed=0, size=100)
    found = np.asarray(renderer.vertex_normals(tiny_geometry.fine, vertices))
    for points, normals in zip(vertices.astype(np.float64), found):
        expected = np.zeros_like(points)
        for a, b, c in tiny_model.triangles:
            expected[[a, b, c]] += np.cross(points[b] - points[a], points[c] - points[a])
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(normals, expected, atol=1e-4)


def test_a_sphere_is_shaded_as_its_formula_says():
    vertices, triangles = sphere()
    size, radius = 120, 50.0
    shading, mask = renderer.render_shading(
        mesh(triangles, len(vertices)), vertices[None], still(radius, 60.0), size=size
    )
    y, x = (np.mgrid[:size, :size] + 0.5 - 60) / radius
    distance = np.hypot(x, y)
    clear = np.abs(distance - 1) > 0.01
    np.testing.assert_array_equal(np.asarray(mask)[0][clear], (distance < 1)[clear])
    inside = distance < 0.98
    np.testing.assert_allclose(
        np.asarray(shading)[0][inside], np.sqrt(1 - distance[inside] ** 2), atol=0.01
    )
    assert not np.asarray(shading)[0][distance > 1.01].any()


def test_a_sphere_lit_from_the_side_is_shaded_as_its_formula_says():
    vertices, triangles = sphere()
    albedo = np.broadcast_to(np.float32([0.8, 0.5, 0.2]), vertices.shape)[None]
    direction = np.array([0.6, 0.48, 0.64])
    light = lamp(0.2, 0.6, 0.3, direction)
    rgb, _ = renderer.render_photo(
        mesh(triangles, len(vertices)),
        vertices[None],
        albedo,
        still(50.0, 60.0),
        light,
        height=120,
        width=120,
    )
    y, x = (np.mgrid[:120, :120] + 0.5 - 60) / 50
    inside = np.hypot(x, y) < 0.97
    normals = np.stack([x, -y, np.sqrt(np.clip(1 - x * x - y * y, 0, 1))], -1)[inside]
    facing = np.clip(normals @ direction, 0, None)
    mirrored = np.clip((2 * facing[:, None] * normals - direction)[:, 2], 0, None)
    expected = [0.8, 0.5, 0.2] * (0.2 + 0.6 * facing[:, None]) + 0.3 * (
        mirrored**10 * (facing > 0)
    )[:, None]
    assert (np.abs(np.asarray(rgb)[0][inside] - expected).max(-1) < 0.02).mean() > 0.995


@pytest.mark.parametrize(
    ("normal", "direction", "expected"),
    [
        ((0, 0, 1), (0, 0, 1), [0.55, 0.35, 0.15]),  # 0.4 (0.5 + 0.7) + 0.07
        ((0, 0, 1), (1, 0, 0), [0.2, 0.116667, 0.033333]),  # the light grazes: ambient alone
        ((0, 0, 1), (0, 0, -1), [0.2, 0.116667, 0.033333]),  # from behind
        ((0.6, 0, 0.8), (0.6, 0, 0.8), [0.487516, 0.287516, 0.087516]),  # r.v = 0.8, 0.8^10 = 0.107
        ((0, 0, 1), (0.6, 0, 0.8), [0.431516, 0.254849, 0.078182]),  # r.v = 0.8, n.l = 0.8
    ],
)
def test_phong_table(normal, direction, expected):
    albedo = np.float32([0.4, 7 / 30, 1 / 15])
    light = lamp(0.5, 0.7, 0.07, direction)
    shape = (1, 1, 1, 3)
    found = renderer.phong(np.float32(normal).reshape(shape), albedo.reshape(shape), light)
    np.testing.assert_allclose(np.asarray(found).ravel(), expected, atol=1e-5)


def test_phong_stays_between_black_and_white():
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(2, 5, 5, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    albedo = rng.random((2, 5, 5, 3)).astype(np.float32)
    rgb = np.asarray(renderer.phong(normals, albedo, lamp(1.5, 1.4, 2.0, (0, 0.6, 0.8), count=2)))
    assert rgb.min() >= 0 and rgb.max() == 1


def test_shading_is_the_third_component_of_camera_normals(tiny_model, tiny_geometry, random_faces):
    """The short cut through screen space equals rotating the normals of the model."""
    vertices, pose = random_faces(tiny_model, 3, seed=2, size=80, angles=(0.7, 0.4, 0.5))
    shading, mask = renderer.render_shading(tiny_geometry.fine, vertices, pose, size=80)
    screen = camera.project(vertices, pose)
    ids = rasterizer.rasterize(screen, tiny_geometry.fine.triangles, height=80, width=80)
    weights = rasterizer.barycentric(screen, tiny_geometry.fine.triangles, ids)
    normals = np.asarray(
        renderer.vertex_normals(tiny_geometry.fine, vertices)
    ) @ pose.rotation.swapaxes(1, 2)
    normals = np.asarray(
        rasterizer.interpolate(normals, tiny_geometry.fine.triangles, ids, weights)
    )
    length = np.maximum(np.linalg.norm(normals, axis=-1), 1e-9)
    np.testing.assert_allclose(shading, np.clip(normals[..., 2] / length, 0, 1), atol=1e-4)
    np.testing.assert_array_equal(mask, np.asarray(ids) >= 0)


def test_shading_and_photo_are_seen_where_the_mask_is(
    default_model, default_geometry, random_faces
):
    vertices, pose = random_faces(default_model, 2, seed=4, size=100)
    shading, mask = (
        np.asarray(x)
        for x in renderer.render_shading(default_geometry.fine, vertices, pose, size=100)
    )
    assert set(np.unique(mask)) == {0, 1}
    assert not shading[mask == 0].any()
    assert (shading[mask == 1] > 0).mean() > 0.99
    albedo = np.full_like(vertices, 0.5)
    rgb, same = renderer.render_photo(
        default_geometry.fine, vertices, albedo, pose, lamp(count=2), height=100, width=100
    )
    np.testing.assert_array_equal(same, mask)
    assert not np.asarray(rgb)[mask == 0].any()
    assert (np.asarray(rgb)[mask == 1] > 0).all()


def test_a_far_camera_is_weak_perspective(tiny_model, tiny_geometry, random_faces):
    vertices, pose = random_faces(tiny_model, 2, seed=5, size=80)
    albedo = tiny_model.albedo_rgb(np.zeros((2, 5)))
    draw = lambda **camera: np.asarray(  # noqa: E731
        renderer.render_photo(
            tiny_geometry.fine, vertices, albedo, pose, lamp(count=2), height=70, width=80, **camera
        )[0]
    )
    weak = draw()
    far = draw(inverse_distance=np.full(2, 1e-7, np.float32))
    near = draw(inverse_distance=np.full(2, 1 / 300, np.float32))
    assert (np.abs(weak - far).max(-1) > 2 / 255).mean() < 0.002
    assert (np.abs(weak - near).max(-1) > 2 / 255).mean() > 0.02


def test_one_graph_renders_batches_of_any_size(tiny_model, tiny_geometry, random_faces):
    @tf.function(
        input_signature=[
            tf.TensorSpec(shape) for shape in ([None, None, 3], [None, 3, 3], [None], [None, 2])
        ]
    )
    def render(vertices, rotation, scale, translation):
        pose = camera.Pose(rotation, scale, translation)
        return renderer.render_shading(tiny_geometry.fine, vertices, pose, size=50)

    for count in (1, 3):
        vertices, pose = random_faces(tiny_model, count, seed=count, size=50)
        eager = renderer.render_shading(tiny_geometry.fine, vertices, pose, size=50)
        for one, other in zip(render(vertices, *pose), eager):
            np.testing.assert_allclose(one, other, atol=1e-5)


def turned(model, degrees, size):
    """The mean face, turned by each of these angles, in the middle of pictures."""
    yaw = np.radians(np.float32(degrees))
    rotation = np.asarray(
        transforms.euler_rotation(*(tf.constant(x) for x in (yaw, 0 * yaw, 0 * yaw)))
    )
    scale = np.full(len(yaw), camera.CROP_SCALE * size / camera.CROP_SIZE, np.float32)
    centre = (model.mean.min(0) + model.mean.max(0)) / 2
    middle = scale[:, None] * (rotation @ centre)[:, :2] * [1, -1]
    pose = camera.Pose(rotation, scale, (size / 2 - middle).astype(np.float32))
    return np.tile(model.mean, (len(yaw), 1, 1)), pose


@pytest.mark.parametrize("name", ["tiny", "default"])
def test_golden_shading_and_photo(name, golden, request):
    model = request.getfixturevalue(f"{name}_model")
    surface = request.getfixturevalue(f"{name}_geometry").fine
    vertices, pose = turned(model, (0, 30, -60), 160)
    shading, mask = renderer.render_shading(surface, vertices, pose, size=160)
    golden(f"{name}_shading", np.concatenate(np.concatenate([shading, mask], 1), 1))
    albedo = model.albedo_rgb(model.albedo_scores[:3])
    light = lamp(0.45, 0.7, 0.1, (0.48, 0.36, 0.8), count=3)
    rgb, _ = renderer.render_photo(surface, vertices, albedo, pose, light, height=160, width=160)
    golden(f"{name}_photo", np.concatenate(np.asarray(rgb), 1))
