"""Face models of other projects: small files in their own formats give known vertices."""

import os
import pickle
import struct

import foreign_models as formats
import numpy as np
import pytest

from facemodel.morphable.mesh import ModelError
from facemodel.morphable.readers import array_pickle, flame, foreign
from facemodel.morphable.readers.read import read_foreign

LIST = np.arange(68) % 30


@pytest.fixture
def shapes():
    return formats.Shapes.random()


def faces_outward(model):
    """Whether the sheet, which bulges to the viewer, shows its front from there."""
    a, b, c = (model.mean[model.triangles[:, k]].astype(float) for k in range(3))
    return (np.cross(b - a, c - a)[:, 2] > 0).all()


def same_triangles(model, triangles):
    """Whether the triangles are the same, whatever their order and first corners."""
    cycles = [np.roll(triangle, -triangle.argmin()) for triangle in (*model.triangles,)]
    expected = [np.roll(triangle, -triangle.argmin()) for triangle in triangles]
    return {tuple(c) for c in cycles} == {tuple(c) for c in expected}


def check(model, shapes, *, sd_per_weight=3.0, vertices=slice(None), colours=True):
    """The model is the known one: shapes in mm at one coefficient after the other."""
    for k, vector in enumerate(shapes.identity):
        expected = shapes.mean[vertices] + vector[vertices]
        np.testing.assert_allclose(model.mean + model.identity[k], expected, atol=2e-3)
    for k, vector in enumerate(shapes.expression if len(model.expression) else ()):
        np.testing.assert_allclose(model.expression[k] / sd_per_weight, vector[vertices], atol=2e-3)
    if colours:
        np.testing.assert_allclose(model.albedo_mean, shapes.colour[vertices], atol=1e-4)
        for k, vector in enumerate(shapes.colours):
            np.testing.assert_allclose(model.albedo[k], vector[vertices], atol=1e-4)
    assert faces_outward(model)


def test_basel_2009_without_expressions(tmp_path, shapes):
    formats.write_basel_2009(tmp_path / "01_MorphableModel.mat", shapes)
    model = read_foreign(tmp_path / "01_MorphableModel.mat")
    check(model, shapes)
    assert same_triangles(model, shapes.triangles)
    assert model.expression.shape == (0, 30, 3)
    assert (model.landmarks == -1).all()


def test_basel_2009_takes_the_expressions_beside_it(tmp_path, shapes):
    vertices = np.r_[5:30]
    formats.write_basel_2009(tmp_path / "01_MorphableModel.mat", shapes)
    formats.write_warehouse(tmp_path, shapes.expression, vertices)
    model = read_foreign(tmp_path / "01_MorphableModel.mat")
    check(model, shapes, vertices=vertices)
    inside = (shapes.triangles >= 5).all(1)
    assert same_triangles(model, shapes.triangles[inside] - 5)
    (tmp_path / "std_exp.txt").unlink()
    with pytest.raises(ModelError, match="but not std_exp.txt"):
        read_foreign(tmp_path / "01_MorphableModel.mat")


def test_face3ds_structure(tmp_path, shapes):
    formats.write_face3d(tmp_path / "BFM.mat", shapes, LIST)
    model = read_foreign(tmp_path / "BFM.mat")
    check(model, shapes)
    assert same_triangles(model, shapes.triangles)
    np.testing.assert_array_equal(model.landmarks, LIST)


def test_deep3ds_front_is_in_decimetres(tmp_path, shapes):
    formats.write_deep3d(tmp_path / "BFM_model_front.mat", shapes, LIST)
    model = read_foreign(tmp_path / "BFM_model_front.mat")
    check(model, shapes)
    np.testing.assert_array_equal(model.landmarks, LIST)


@pytest.mark.parametrize("order", ["<f4", ">f4", "<f8"])
def test_basel_2017_in_either_byte_order(tmp_path, shapes, order):
    formats.write_basel_h5(tmp_path / "model2019.h5", shapes, order=order, expression_mean=0.5)
    model = read_foreign(tmp_path / "model2019.h5")
    check(model, shapes)
    assert same_triangles(model, shapes.triangles)
    assert model.expression_names == ("pca/000", "pca/001")


@pytest.mark.parametrize("order", ["<f8", ">f8", ">f4"])
def test_flames_pickle_is_read_without_chumpy(tmp_path, shapes, order):
    arrays = formats.flame_arrays(shapes)
    formats.write_flame_pickle(tmp_path / "generic_model.pkl", arrays, order=order)
    model = read_foreign(tmp_path / "generic_model.pkl")
    assert model.identity.shape == (300, 30, 3) and np.abs(model.identity[3:]).max() == 0
    check(model, shapes, colours=False)
    assert model.albedo_mean is None
    assert same_triangles(model, shapes.triangles)


def test_flames_npz_gives_the_same(tmp_path, shapes):
    arrays = formats.flame_arrays(shapes)
    formats.write_flame_pickle(tmp_path / "a.pkl", arrays, order="<f8")
    np.savez(tmp_path / "a.npz", **arrays)
    first, second = (read_foreign(tmp_path / name) for name in ("a.pkl", "a.npz"))
    np.testing.assert_array_equal(first.expression, second.expression)
    np.testing.assert_array_equal(first.mean, second.mean)


def test_flames_jaw_turns_about_its_joint(tmp_path, shapes):
    arrays = formats.flame_arrays(shapes)
    np.savez(tmp_path / "flame.npz", **arrays)
    model = read_foreign(tmp_path / "flame.npz")
    assert model.expression_names[-1] == "arkit/jawOpen"
    moved, joint = model.mean + model.expression[-1], shapes.mean[0]
    low = arrays["weights"][:, 2] == 1
    before, after = model.mean - joint, moved - joint
    np.testing.assert_allclose(after[~low], before[~low], atol=1e-3)
    np.testing.assert_allclose(after[low, 0], before[low, 0], atol=1e-3)
    angle = np.arctan2(after[low, 2], after[low, 1]) - np.arctan2(before[low, 2], before[low, 1])
    far = np.hypot(*before[low, 1:].T) > 5
    np.testing.assert_allclose(
        (angle[far] + np.pi) % (2 * np.pi) - np.pi, flame.JAW_OPEN_RAD, atol=1e-4
    )


def test_flames_eyeballs_are_regions(tmp_path, shapes):
    arrays = formats.flame_arrays(shapes)
    balls = np.array([[x + dx, 20 + dy, 60] for x in (30, -30) for dx, dy in np.eye(3)[:, :2] * 9])
    padded = {
        name: np.concatenate([arrays[name], np.zeros((6, *arrays[name].shape[1:]))])
        for name in ("v_template", "shapedirs", "posedirs", "weights")
    }
    padded["v_template"][30:] = balls / 1000
    padded["f"] = np.concatenate([arrays["f"], [[30, 31, 32], [33, 34, 35]]])
    np.savez(tmp_path / "eyes.npz", **padded)
    model = read_foreign(tmp_path / "eyes.npz")
    assert [model.region_names[k] for k in model.regions[[0, 29, 30, 35]]] == [
        "skin", "skin", "eye_l", "eye_r",
    ]  # fmt: skip


def test_ict_folder_with_quads(tmp_path, shapes):
    corner = (np.arange(5)[:, None] * 5 + np.arange(4)).ravel()
    quads = np.stack([corner, corner + 1, corner + 6, corner + 5], -1)
    whole, shapes.triangles = shapes.triangles, shapes.triangles[:0]
    names = ("jawOpen", "mouthSmile_L")
    formats.write_ict(tmp_path / "FaceXModel", shapes, names, LIST, quads=quads)
    for folder in (tmp_path, tmp_path / "FaceXModel"):
        model = read_foreign(folder)
        check(model, shapes, sd_per_weight=1.0, colours=False)
        assert same_triangles(model, whole)
        assert model.expression_names == ("arkit/jawOpen", "arkit/mouthSmileLeft")
        np.testing.assert_array_equal(model.landmarks, LIST)


@pytest.mark.parametrize(("order", "version", "colours"), [("<", 1, False), (">", 4, True)])
def test_surrey_of_either_machine(tmp_path, shapes, order, version, colours):
    path = tmp_path / "sfm_shape_30.bin"
    path.write_bytes(formats.surrey_bytes(shapes, order=order, version=version, colours=colours))
    blendshapes = formats.surrey_blendshapes(shapes.expression, ("anger", "joy"), order=order)
    (tmp_path / "expression_blendshapes_30.bin").write_bytes(blendshapes)
    (tmp_path / "ibug_to_sfm.txt").write_text(
        "; a comment\nlandmarkMappings ; more\n{\n\t; 1 to 8 of the contour\n\t 9    23 ; chin\n"
        "\t18   5 ; brow\n\t19   2086 ; not in this one\n}\ncontour\n{\n\t1 2\n}\n"
    )
    model = read_foreign(path)
    check(model, shapes, sd_per_weight=1.0, colours=colours)
    assert model.expression_names == ("surrey/anger", "surrey/joy")
    assert same_triangles(model, shapes.triangles)
    assert {k: v for k, v in enumerate(model.landmarks.tolist()) if v >= 0} == {8: 23, 17: 5}


def test_a_model_wound_inwards_is_turned():
    shapes = formats.Shapes.random(1)
    arguments = {"name": "x", "terms": "", "mean": shapes.mean, "identity": shapes.identity}
    for triangles in (shapes.triangles, shapes.triangles[:, ::-1]):
        assert faces_outward(foreign.foreign_model(**arguments, triangles=triangles))


WRITERS = {
    "a.mat": lambda path, shapes: formats.write_basel_2009(path, shapes),
    "a.h5": lambda path, shapes: formats.write_basel_h5(path, shapes),
    "a.pkl": lambda path, shapes: formats.write_flame_pickle(path, formats.flame_arrays(shapes)),
    "a.npz": lambda path, shapes: np.savez(path, **formats.flame_arrays(shapes)),
    "a.bin": lambda path, shapes: path.write_bytes(formats.surrey_bytes(shapes)),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_a_file_that_ends_early_names_itself(tmp_path, shapes, name, share):
    path = tmp_path / name
    WRITERS[name](path, shapes)
    assert read_foreign(path).mean.shape == (30, 3)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError) as caught:
        read_foreign(path)
    assert str(caught.value).startswith(str(path))


def test_a_folder_or_mat_of_something_else_is_told_what_was_expected(tmp_path):
    with pytest.raises(ModelError) as caught:
        read_foreign(tmp_path)
    lacks = "lacks generic_neutral_mesh.obj, vertex_indices.json"
    assert str(caught.value) == f"{tmp_path}: not ICT-FaceKit's folder: {lacks}"
    path = tmp_path / "x.mat"
    kind = "not a Basel face model of 2009: expected a MATLAB file with shapeMU, model or idBase"
    path.write_bytes(b"no MATLAB file")
    with pytest.raises(ModelError) as caught:
        read_foreign(path)
    assert str(caught.value).startswith(f"{path}: {kind}, found 14 bytes that cannot be read as")
    formats.scipy.io.savemat(path, {"points": np.zeros(3), "names": np.zeros(2)})
    with pytest.raises(ModelError) as caught:
        read_foreign(path)
    assert str(caught.value) == f"{path}: {kind}, found points, names"


@pytest.mark.parametrize("name", ["a.mat", "a.h5", "a.npz"])
def test_what_a_file_lacks_is_named(tmp_path, name):
    path = tmp_path / name
    if name == "a.mat":
        formats.scipy.io.savemat(path, {"shapeMU": np.zeros(3)})
    elif name == "a.h5":
        formats.h5py.File(path, "w").close()
    else:
        np.savez(path, v_template=np.zeros((4, 3)))
    with pytest.raises(ModelError, match=f"{name}: not a .* model"):
        read_foreign(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("generic_neutral_mesh.obj", "v 1 2\n", "line 1 is damaged"),
        ("identity001.obj", "v 1 2 3\n", "has 1 vertices"),
        ("vertex_indices.json", "{}", "it lacks 'expressions'"),
        ("vertex_indices.json", None, "$"),
        ("mouthSmile_L.obj", None, "no such file"),
    ],
)
def test_the_damaged_file_of_a_folder_is_named(tmp_path, shapes, name, content, message):
    formats.write_ict(tmp_path, shapes, ("jawOpen", "mouthSmile_L"), LIST)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError, match=f"{name}.*{message}"):
        read_foreign(tmp_path)


def test_values_that_cannot_be_are_named(tmp_path, shapes):
    shapes.mean[3, 1] = np.nan
    formats.write_basel_h5(tmp_path / "nan.h5", shapes)
    with pytest.raises(ModelError, match="nan.h5: mean holds values that are not finite"):
        read_foreign(tmp_path / "nan.h5")
    arrays = formats.flame_arrays(formats.Shapes.random())
    arrays["f"][0, 0] = 99
    np.savez(tmp_path / "far.npz", **arrays)
    with pytest.raises(ModelError, match="far.npz: f should lie in"):
        read_foreign(tmp_path / "far.npz")
    (tmp_path / "old.bin").write_bytes(struct.pack("<I", 0) * 9)
    with pytest.raises(ModelError, match="old.bin: begins with"):
        read_foreign(tmp_path / "old.bin")


def test_other_files_and_missing_ones_are_refused(tmp_path):
    with pytest.raises(ModelError, match="nothing.h5: no such file"):
        read_foreign(tmp_path / "nothing.h5")
    (tmp_path / "face.stl").write_text("solid")
    with pytest.raises(ModelError, match="face.stl: should be .mat"):
        read_foreign(tmp_path / "face.stl")


class Malicious:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("inside", ["alone", "in an array", "in a chumpy array"])
def test_a_malicious_pickle_is_refused_and_runs_nothing(tmp_path, protocol, inside):
    victim, path = tmp_path / "victim", tmp_path / "generic_model.pkl"
    attack = Malicious(os.mkdir, str(victim))
    if inside == "in a chumpy array":
        path.write_bytes(
            formats.Opcodes()
            .dictionary({"v_template": formats.chumpy_array(np.array([attack, 0], object))})
            .finished()
        )
    else:
        value = np.array([attack, 0], object) if inside == "in an array" else attack
        path.write_bytes(pickle.dumps({"v_template": value}, protocol))
    with pytest.raises(ModelError, match="generic_model.pkl: refused: it names posix.mkdir"):
        read_foreign(path)
    assert not victim.exists()
    pickle.loads(path.read_bytes().replace(b"chumpy.ch\nCh", b"types\nSimpleNamespace"))
    assert victim.exists()  # so the attack was a real one


@pytest.mark.parametrize(
    "name", ["builtins.eval", "numpy.load", "numpy.core.multiarray.fromfile", "scipy.io.loadmat"]
)
def test_only_what_arrays_are_made_of_is_known(tmp_path, name):
    module, _, function = name.rpartition(".")
    (tmp_path / "a.pkl").write_bytes(f"c{module}\n{function}\n(tR.".encode())
    with pytest.raises(ModelError, match=f"it names {name}"):
        array_pickle.load_arrays(tmp_path / "a.pkl")


def test_a_sparse_matrix_that_points_outside_is_refused(tmp_path, shapes):
    arrays = formats.flame_arrays(shapes)
    formats.write_flame_pickle(tmp_path / "a.pkl", arrays)
    columns = formats.sparse.csc_matrix(arrays["J_regressor"])
    columns.indices[0] = 1 << 20
    arrays["J_regressor"] = columns
    formats.write_flame_pickle(tmp_path / "a.pkl", arrays)
    with pytest.raises(ModelError, match=r"a\.pkl"):
        read_foreign(tmp_path / "a.pkl")
