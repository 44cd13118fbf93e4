"""Loads what photos and films need: model, detector, head."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable

from serving.quiet import without_notices
from serving.server_access import ServerAccess


class CannotStart(Exception):
    """The model cannot be loaded: nothing can be reconstructed."""


@contextlib.contextmanager
def start(
    model: pathlib.Path | None,
    server: str | None,
    server_model: str | None,
    access: ServerAccess | None,
    min_face_px: float | None,
):
    """Loads the SavedModel or calls the server, and loads the detector; once a photo needs them."""
    with contextlib.ExitStack() as stack:
        try:
            with without_notices():
                from serving.client import DEFAULT_NAME, RemoteModel
                from serving.detection.detector import FaceDetector
                from serving.reconstructor import Reconstructor

                limit = {"min_face_px": min_face_px, "min_face_fraction": 0.0}
                detector = stack.enter_context(FaceDetector(**(limit if min_face_px else {})))
                name = server_model or DEFAULT_NAME
                remote = server and RemoteModel(server, name=name, access=access)
                face_model = stack.enter_context(remote) if remote else None
                reconstructor = stack.enter_context(
                    Reconstructor(model, face_model=face_model, detector=detector)
                )
        except (ValueError, ConnectionError) as error:
            raise CannotStart(" ".join(str(error).split())) from error
        yield reconstructor, _head_maker()


def _head_maker() -> Callable:
    """A function as HeadMaker.make, which gives None for faces of a model without a head."""
    from serving.heads import HeadMaker

    maker = HeadMaker.load()

    def make(photo, face, **options):
        return maker.make(photo, face, **options) if maker.fits(face) else None

    return make
