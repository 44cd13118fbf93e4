"""Weights adopted for another basis of the same faces give the same faces."""

import dataclasses

import numpy as np
import pytest
from keras import ops
from model_files import write_model
from scipy import sparse

from facemodel.camera import Pose, project
from facemodel.morphable.geometry import FaceGeometry, decode, decode_landmarks
from facemodel.morphable.model import MorphableModel
from facemodel.network.regressor import IterativeRegressor, build_network
from facemodel.network.weights import WeightsError, load_weights, save_weights, weight_names
from pipeline.training import adopt
from pipeline.training.adopt import LinearFaces

SIZE = 40
MODEL = MorphableModel.tiny()
COUNT = MODEL.coefficient_count


@pytest.fixture(scope="module")
def mixing():
    """Orthogonal, among the identity vectors: as another PCA of the same faces might give."""
    rng = np.random.default_rng(1)
    mixing = np.eye(COUNT)
    identities = MODEL.identity_count
    mixing[:identities, :identities] = np.linalg.qr(rng.normal(size=(identities, identities)))[0]
    return mixing


@pytest.fixture(scope="module")
def reference(mixing):
    """A model with the same faces in another basis, around another of them as its mean."""

    def change(mesh):
        basis = np.einsum("kl,lvc->kvc", mixing, mesh.basis.astype(np.float64))
        mean = mesh.mean + np.einsum("k,kvc->vc", np.linspace(-0.5, 0.5, COUNT), mesh.basis)
        return mean.astype(np.float32), basis.astype(np.float32)

    (mean, basis), (coarse_mean, coarse_basis) = change(MODEL), change(MODEL.coarse)
    return dataclasses.replace(
        MODEL,
        mean=mean,
        identity=basis[: MODEL.identity_count],
        expression=basis[MODEL.identity_count :],
        coarse=dataclasses.replace(MODEL.coarse, mean=coarse_mean, basis=coarse_basis),
    )


@pytest.fixture(scope="module")
def trained():
    """A network with a last layer as after some training, and its arrays by name."""
    rng = np.random.default_rng(2)
    network = build_network(COUNT)
    for weight in network.weights[-2:]:
        weight.assign(0.05 * rng.normal(size=weight.shape))
    arrays = zip(weight_names(network), network.get_weights(), strict=True)
    return network, {name: np.asarray(array) for name, array in arrays}


def linear(model):
    return LinearFaces(model.mean, model.basis)


def change_between(source, target):
    return adopt.basis_change(linear(source), linear(target), np.ones(COUNT))


def faces_after_the_loop(model, network, start):
    """Vertices [K + 1, V, 3] of three iterations on one made-up photo."""
    geometry = FaceGeometry.create(model)
    pose = Pose(np.eye(3, dtype=np.float32)[None], np.float32([0.18]), np.float32([[20, 13]]))
    seen = FaceGeometry.create(MODEL)
    face = np.random.default_rng(4).normal(size=(1, COUNT)).astype(np.float32)
    landmarks = project(decode_landmarks(seen, face), pose)[..., :2]
    grey = np.random.default_rng(5).random((1, SIZE, SIZE)).astype(np.float32)
    loop = IterativeRegressor(geometry, network)
    estimates = loop({"grey": grey, "landmarks": landmarks, "start": np.float32(start)[None]})
    return np.asarray(decode(geometry.fine, ops.reshape(estimates, (-1, COUNT))))


def test_coefficients_change_exactly_between_bases_of_the_same_faces(reference):
    change = change_between(reference, MODEL)
    assert change.basis_residual_mm < 1e-5
    assert change.mean_residual_mm < 1e-5
    np.testing.assert_allclose(change.inverse @ change.matrix, np.eye(COUNT), atol=1e-6)
    np.testing.assert_allclose(change.offset, np.linspace(-0.5, 0.5, COUNT), atol=1e-4)
    old = np.random.default_rng(0).normal(size=COUNT)
    new = change.matrix @ old + change.offset
    np.testing.assert_allclose(MODEL.vertices(new), reference.vertices(old), atol=1e-3)


def test_the_adopted_network_gives_the_same_vertices(reference, trained):
    network, arrays = trained
    change = change_between(reference, MODEL)
    heads = {"heads.corrections": np.zeros((3, 2 * COUNT + 1, COUNT))}
    adopted = adopt.adopt_weights(arrays | heads, change, coefficient_count=COUNT)
    start = np.random.default_rng(3).normal(size=COUNT)
    before = faces_after_the_loop(reference, network, start)
    after = faces_after_the_loop(MODEL, adopted, change.matrix @ start + change.offset)
    assert np.abs(before[-1] - before[0]).max() > 1.0
    np.testing.assert_allclose(after, before, atol=2e-3)


def test_a_shift_of_the_whole_head_does_not_matter(trained):
    _, arrays = trained
    moved = dataclasses.replace(MODEL, mean=MODEL.mean + np.float32([3.0, -2.0, 40.0]))
    change = change_between(moved, MODEL)
    adopted = adopt.adopt_weights(arrays, change, coefficient_count=COUNT)
    for name, array in zip(weight_names(adopted), adopted.get_weights(), strict=True):
        np.testing.assert_allclose(array, arrays[name], atol=1e-5)


def test_what_the_target_cannot_reach_is_reported():
    """Another wave in one vector of six mm amplitude leaves about its own RMS unreached."""
    extra = np.zeros_like(MODEL.identity)
    extra[2] = np.cos(37.0 * np.arange(MODEL.vertex_count))[:, None]
    other = dataclasses.replace(MODEL, identity=MODEL.identity + extra)
    change = change_between(other, MODEL)
    assert change.basis_residual_mm == pytest.approx(np.sqrt(3 / 2), rel=0.1)
    assert change.mean_residual_mm < 1e-5


def test_geometries_without_correspondence_are_refused():
    smaller = LinearFaces(MODEL.mean[:-1], MODEL.basis[:, :-1])
    with pytest.raises(ValueError, match="geometries differ"):
        adopt.basis_change(smaller, linear(MODEL), np.ones(COUNT))


def write_reference(path, model):
    """A geometry file with the model's vertices as control mesh."""
    operator = sparse.identity(model.vertex_count, format="csr", dtype=np.float32)
    np.savez(
        path,
        mean=model.mean,
        id_basis=model.identity,
        exp_basis=model.expression,
        **{f"L1_{part}": getattr(operator, part) for part in ("data", "indices", "indptr")},
    )


def test_adopting_files(reference, trained, tmp_path):
    network, _ = trained
    write_reference(tmp_path / "geometry.npz", reference)
    save_weights(network, tmp_path / "reference.npz", {})
    write_model(tmp_path / "model.npz", MODEL)
    files = [tmp_path / name for name in ("geometry.npz", "reference.npz", "adopted.npz")]
    change = adopt.rebase_weights(*files, model_path=tmp_path / "model.npz", provenance="a test")
    adopted = build_network(COUNT)
    meta = load_weights(adopted, files[2])
    assert (meta["model_name"], meta["provenance"]) == ("tiny", "a test")
    assert meta["basis_residual_mm"] == 0.0
    before = faces_after_the_loop(reference, network, np.zeros(COUNT))
    after = faces_after_the_loop(MODEL, adopted, change.offset)
    np.testing.assert_allclose(after, before, atol=0.05)


def test_files_that_do_not_fit_are_refused(reference, trained, tmp_path):
    write_model(tmp_path / "model.npz", MODEL)
    with pytest.raises(WeightsError, match="model.npz: not a reference geometry"):
        adopt.read_reference(tmp_path / "model.npz")
    _, arrays = trained
    change = change_between(reference, MODEL)
    some = dict(list(arrays.items())[:-1])
    with pytest.raises(WeightsError, match="103_dense.bias"):
        adopt.adopt_weights(some, change, coefficient_count=COUNT)
