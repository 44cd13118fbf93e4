"""Loads what photos and films need, side by side: model, detector, head."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from threadpoolctl import ThreadpoolController

from pipeline.inference.overlap import Once
from serving.quiet import without_notices
from serving.server_access import ServerAccess
from serving.stopwatch import Stage, unmeasured

if TYPE_CHECKING:
    from serving.detection.detector import FaceDetector
    from serving.heads import HeadMaker
    from serving.reconstructor import Reconstructor
    from serving.tracking.estimator import FilmEstimator

LOADERS = 3
OPTIONAL = ("jax", "pandas", "h5py", "googleapiclient")
"""Packages that TensorFlow and Keras import where they are installed, and that nothing here uses:
they take a third of TensorFlow's import."""


class CannotStart(Exception):
    """The model cannot be loaded: nothing can be reconstructed."""


class Started(NamedTuple):
    """What is there or still being loaded; each function waits for its part.

    Attributes:
      detector: gives the FaceDetector.
      reconstructor: gives a Reconstructor, whose model has run once; raises CannotStart if it
        could not.
      heads: gives the HeadMaker.
    """

    detector: Callable[[], FaceDetector]
    reconstructor: Callable[[], Reconstructor]
    heads: Callable[[], HeadMaker]


@contextlib.contextmanager
def start(
    model: pathlib.Path | None,
    server: str | None,
    server_model: str | None,
    access: ServerAccess | None,
    min_face_px: float | None,
    stage: Stage = unmeasured,
) -> Iterator[Started]:
    """Loads the SavedModel or calls the server, and loads detector and head.

    This thread imports all modules, one after the other; others load meanwhile.

    Args:
      model: as of photos.run.
      server: as of photos.run.
      server_model: as of photos.run.
      access: as of photos.run.
      min_face_px: as of photos.run.
      stage: measures the parts.

    Raises:
      CannotStart: if the model is not there or a damaged one.
    """
    limits = {"min_face_px": min_face_px, "min_face_fraction": 0.0} if min_face_px else {}
    with contextlib.ExitStack() as stack, _loading(stage) as load:
        import_tensorflow(stage)
        # Small matrices: threads of BLAS would wait for each other. Its libraries are looked for
        # while no other thread imports, see HeadMaker.
        import scipy.linalg  # noqa: F401

        blas = ThreadpoolController()
        stack.enter_context(blas.limit(limits=1, user_api="blas"))
        with stage("imports for the model"):
            opener = _server_opener(server, server_model, access) if server else local_opener(model)
        face_model = load("model", lambda: stack.enter_context(opener()))
        warm = face_model if server else load("first run", lambda: face_model.result().warm_up())
        with stage("other imports"):
            from serving.detection.detector import FaceDetector, import_mediapipe

            import_mediapipe()
            detector = load("detector", lambda: stack.enter_context(FaceDetector(**limits)))
            from serving.heads import HeadMaker

            heads = load("head data", _prepared, HeadMaker, blas)
            from serving.output import face_files  # noqa: F401
            from serving.reconstructor import Reconstructor
        _usable(face_model)

        def reconstructor() -> Reconstructor:
            _usable(warm)
            return Reconstructor(face_model=face_model.result(), detector=detector.result())

        yield Started(detector.result, Once(reconstructor), heads.result)


def _usable(model: Future) -> None:
    """Waits for a step of the model; raises CannotStart with one line if it failed."""
    try:
        model.result()
    except (ValueError, ConnectionError) as error:
        raise CannotStart(" ".join(str(error).split())) from error


def start_film(weights: pathlib.Path | None) -> tuple[FilmEstimator, FaceDetector]:
    """Loads what films need; the weights are those of VideoOptions."""
    with without_notices(), _loading(unmeasured) as load:
        import_tensorflow()
        from serving.detection.detector import FaceDetector, import_mediapipe

        import_mediapipe()
        from serving.tracking.estimator import FilmEstimator

        detector = load("detector", FaceDetector)
        return FilmEstimator(weights), detector.result()


def import_tensorflow(stage: Stage = unmeasured) -> None:
    """Imports TensorFlow and Keras without OPTIONAL packages, which can still be imported later."""
    if "tensorflow" in sys.modules or os.environ.get("KERAS_BACKEND") == "jax":
        return
    hidden = [name for name in OPTIONAL if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        with stage("import of TensorFlow"), without_notices():
            import tensorflow  # noqa: F401
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


@contextlib.contextmanager
def _loading(stage: Stage) -> Iterator[Callable[..., Future]]:
    """Gives a function that runs another one in a thread, measured, and returns its Future."""

    def measured(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        with stage(name), without_notices():
            return function(*arguments)

    with ThreadPoolExecutor(LOADERS) as pool:
        yield functools.partial(pool.submit, measured)


def local_opener(model: pathlib.Path | None) -> Callable[[], AbstractContextManager]:
    """A function that loads the SavedModel in this folder; the default one if None."""
    from serving import saved_function  # noqa: F401
    from serving.local_model import LocalModel

    return lambda: contextlib.nullcontext(LocalModel(model))


def _server_opener(
    server: str, name: str | None, access: ServerAccess | None
) -> Callable[[], AbstractContextManager]:
    from tensorflow_serving.apis import prediction_service_pb2_grpc  # noqa: F401

    from serving.client import DEFAULT_NAME, RemoteModel

    return lambda: RemoteModel(server, name=name or DEFAULT_NAME, access=access)


def _prepared(maker, blas: ThreadpoolController):
    heads = maker.load(blas=blas)
    heads.prepare()
    return heads
