"""Face models, random faces and golden pictures that several test modules share."""

import fcntl
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # xdist's workers load it uncaptured
import numpy as np
import pytest
from keras import ops
from PIL import Image

from facemodel import camera, transforms
from facemodel.morphable.geometry import FaceGeometry
from facemodel.morphable.model import MorphableModel

GOLDEN = pathlib.Path(__file__).parent / "golden"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """With --dist loadgroup, tests of a file run in one process, or those that share a group.

    Files with servers or whole commands come first: what is quick then fills the last seconds.
    """
    long = {
        item.path for item in items if {"serving", "e2e"} & {m.name for m in item.iter_markers()}
    }
    items.sort(key=lambda item: item.path not in long)
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.fixture(scope="session")
def tiny_model():
    return MorphableModel.tiny()


@pytest.fixture(scope="session")
def default_model():
    return MorphableModel.load()


@pytest.fixture(scope="session")
def tiny_geometry(tiny_model):
    return FaceGeometry.create(tiny_model)


@pytest.fixture(scope="session")
def default_geometry(default_model):
    return FaceGeometry.create(default_model)


def _random_faces(model, count, *, seed, size, angles=(0.35, 0.2, 0.1)):
    """Vertices [count, V, 3] and poses in the middle of pictures of this size, as numpy arrays.

    angles are the standard deviations of yaw, pitch and roll in radians.
    """
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(count, model.coefficient_count)).astype(np.float32)
    weights = coefficients[:, model.identity_count :]
    weights[:] = rng.uniform(0, 0.8, weights.shape) * (rng.random(weights.shape) < 0.05)
    turns = (rng.normal(size=count) * angle for angle in angles)
    rotation = np.asarray(
        transforms.euler_rotation(
            *(ops.convert_to_tensor(turn.astype(np.float32)) for turn in turns)
        )
    )
    scale = camera.CROP_SCALE * size / camera.CROP_SIZE * (1 + 0.05 * rng.normal(size=count))
    centre = (model.mean.min(0) + model.mean.max(0)) / 2
    middle = scale[:, None] * (rotation @ centre)[:, :2] * [1, -1]
    pose = camera.Pose(rotation, scale.astype(np.float32), (size / 2 - middle).astype(np.float32))
    return model.vertices(coefficients), pose


@pytest.fixture(scope="session")
def random_faces():
    return _random_faces


@pytest.fixture
def golden():
    """A function that compares a picture [H, W] or [H, W, 3] in [0, 1] with tests/golden/NAME.png.

    At most 0.5 % of the pixels may differ by more than 4 %. `make golden` writes the files again.
    """

    def check(name, picture):
        path = GOLDEN / f"{name}.png"
        eight_bit = np.round(np.clip(np.asarray(picture), 0, 1) * 255).astype(np.uint8)
        if os.environ.get("UPDATE_GOLDEN"):
            GOLDEN.mkdir(exist_ok=True)
            Image.fromarray(eight_bit).save(path)
        assert path.exists(), f"{path.name} is missing: run `make golden` and look at it"
        expected = np.asarray(Image.open(path)).astype(float)
        assert expected.shape == eight_bit.shape
        difference = np.abs(expected - eight_bit).reshape(*eight_bit.shape[:2], -1).max(-1)
        assert (difference > 0.04 * 255).mean() <= 0.005, (
            f"{(difference > 0.04 * 255).mean():.2%} of the pixels differ from {path.name}"
        )

    return check


@pytest.fixture(scope="session")
def tiny_versions(tiny_model, tmp_path_factory):
    """Folders of two SavedModels of the tiny face model that differ in their answers.

    Worker processes share them: the first that comes makes them.
    """
    import model_servers

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    folder = shared / "tiny-versions"
    with (shared / "tiny-versions.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for number in (1, 2):
            if not (folder / str(number)).exists():
                model_servers.export_tiny(tiny_model, folder, version=number)
    return [folder / str(number) for number in (1, 2)]


@pytest.fixture
def ordinary_user():
    """The superuser may read and write everything, so give that up for the test."""
    superuser = os.geteuid() == 0
    if superuser:
        os.seteuid(65534)
    yield
    if superuser:
        os.seteuid(0)
