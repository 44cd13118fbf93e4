"""What the page's viewer gets: arrays in bytes, shapes of all iterations, what sliders move."""

from types import SimpleNamespace

import numpy as np
import pytest
from textured_meshes import tiny_head
from web_pages import unpack

from serving.head_options import HeadOptions
from serving.heads import HeadMaker
from serving.web.arrays import pack_arrays, quantized
from serving.web.head_data import STRONGEST, HeadPacker, pack_face


def test_arrays_come_back_with_their_facts():
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.integers(0, 255, 7).astype(np.uint8),
        "b": rng.normal(size=(5, 3)).astype(np.float32),
        "none": np.zeros((0, 4, 3), np.int16),
        "c": rng.integers(-9, 9, (2, 2)).astype(np.int32),
    }
    facts, read = unpack(pack_arrays(arrays, {"labels": ["ä", "b"]}))
    assert facts == {"labels": ["ä", "b"]} and list(read) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].shape == array.shape


def test_a_type_that_browsers_lack_is_named():
    with pytest.raises(ValueError, match=r"wide: .*got float64"):
        pack_arrays({"wide": np.zeros(3)}, {})


def test_moves_are_kept_to_half_a_step():
    moves = np.random.default_rng(1).normal(size=(3, 50, 3)) * [[[9.0]], [[0.01]], [[0.0]]]
    steps, step_mm = quantized(moves)
    assert np.abs(steps).max(axis=(1, 2)).tolist() == [32767, 32767, 0]
    assert (np.abs(steps * step_mm[:, None, None] - moves) <= 0.51 * step_mm[:, None, None]).all()


@pytest.fixture(scope="module")
def maker():
    return HeadMaker.load()


@pytest.fixture(scope="module")
def iterations(maker):
    return np.random.default_rng(2).normal(size=(3, maker.head.coefficient_count)).astype("f4") / 3


@pytest.fixture(scope="module")
def packed(maker, iterations):
    face = SimpleNamespace(coefficients=iterations[-1], rotation=None, scale=1.0, translation=None)
    options = HeadOptions(texture=False, detail="none")
    mesh = maker.make(np.zeros((8, 8, 3), np.uint8), face, options=options).mesh
    return mesh, *unpack(HeadPacker(maker.head).pack(mesh, iterations))


def test_every_iteration_has_its_shape(maker, iterations, packed):
    mesh, facts, arrays = packed
    assert facts["labels"] == ["average", "start", "1", "2"]
    shapes = [maker.head.vertices(row) for row in [np.zeros_like(iterations[0]), *iterations]]
    np.testing.assert_array_equal(arrays["vertices"], shapes)
    np.testing.assert_allclose(arrays["vertices"][-1], mesh.vertices, atol=1e-4)
    np.testing.assert_array_equal(mesh.corners.vertex, arrays["vertex"])


def test_a_slider_moves_the_mesh_as_its_coefficient_does(maker, iterations, packed):
    _, facts, arrays = packed
    sliders = HeadPacker(maker.head).sliders
    assert facts["names"] == list(sliders.names)
    for slider in (0, STRONGEST - 1, facts["names"].index("jawOpen"), len(facts["names"]) - 1):
        changed = iterations[1].copy()
        changed[sliders.indices[slider]] = arrays["values"][2, slider] + 0.7
        move = 0.7 * arrays["step_mm"][slider] * arrays["moves"][slider]
        moved = arrays["vertices"][2] + move
        np.testing.assert_allclose(moved, maker.head.vertices(changed), atol=2e-3)


def test_the_strongest_identity_vectors_and_all_arkit_expressions_have_sliders(maker, packed):
    _, facts, arrays = packed
    identity = [name for name, kind in zip(facts["names"], facts["kinds"]) if kind == "identity"]
    assert identity[0] == "identity/1" and len(set(identity)) == STRONGEST
    strength = np.square(arrays["moves"][:10] * arrays["step_mm"][:10, None, None]).sum((1, 2))
    assert (np.diff(strength) <= 0).all()
    expressions = set(facts["names"][STRONGEST:])
    assert expressions == set(maker.head.arkit_targets()[0]) - {"tongueOut"}


def test_a_face_without_a_head_has_its_shape_and_no_sliders():
    mesh = tiny_head()
    facts, arrays = unpack(pack_face(mesh))
    assert facts == {"labels": ["result"], "names": [], "kinds": []}
    np.testing.assert_array_equal(arrays["vertices"][0], mesh.vertices)
    assert arrays["moves"].shape == (0, len(mesh.vertices), 3)
