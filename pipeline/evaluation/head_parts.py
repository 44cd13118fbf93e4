"""What the benchmark measures of a head: detail, texture, files; each alone and all of it."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator

import numpy as np

FACE_PX = 512
"""The photo is enlarged until the face is so high."""


def head_parts(photo: np.ndarray, face) -> Iterator[tuple[str, Callable[[], object]]]:
    """Names of parts, and functions that do them.

    Args:
      photo: uint8 [H, W, 3].
      face: Reconstruction from it, of the default model.
    """
    from facemodel.texture.recover import recover_texture
    from serving.head_options import HeadOptions
    from serving.heads import TEXTURE_PX, HeadMaker
    from serving.output.face_files import encode_face
    from serving.output.overview import render_overview

    maker = HeadMaker.load()
    large, pose = enlarged(photo, face)
    vertices = maker.head.vertices(face.coefficients)
    head = maker.make(large, pose)
    share, facts = head.texture.from_photo, {"name": "photo"}
    without = HeadOptions(texture=False)
    yield f"detail, face {FACE_PX} px high", lambda: maker.make(large, pose, options=without)
    yield (
        f"texture of {TEXTURE_PX} px",
        lambda: recover_texture(large, vertices, maker.skin, pose, size=TEXTURE_PX),
    )
    yield "head with texture and detail", lambda: maker.make(large, pose)
    yield "overview of a head", lambda: render_overview(photo, face, head.mesh, from_photo=share)
    yield (
        "all files of a head",
        lambda: encode_face(photo, face, name="face", photo_facts=facts, head=head),
    )


def enlarged(photo: np.ndarray, face) -> tuple[np.ndarray, types.SimpleNamespace]:
    """The photo with a face of FACE_PX, and what HeadMaker needs of the face in it."""
    import cv2

    height = face.scale * float(np.ptp((face.vertices @ face.rotation.T)[:, 1]))
    zoom = FACE_PX / height
    return cv2.resize(photo, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC), (
        types.SimpleNamespace(
            coefficients=face.coefficients,
            vertices=face.vertices,
            triangles=face.triangles,
            rotation=face.rotation,
            scale=zoom * face.scale,
            translation=zoom * face.translation,
        )
    )
