"""Adds motion to a head's .glb: weights of its expressions and turns of the head, over time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pygltflib as gltf

from serving.output.gltf import encode_glb
from serving.output.textured_mesh import MeshError, TexturedMesh

NAME = "performance"


@dataclasses.dataclass(frozen=True, eq=False)
class Animation:
    """Motion of a head at K moments; viewers interpolate between them.

    Attributes:
      time_s: [K] rising, the first is 0.
      weights: [K, N] of the mesh's N targets, in their order.
      rotation: [K, 3, 3] camera_from_model.
    """

    time_s: np.ndarray
    weights: np.ndarray
    rotation: np.ndarray

    def check(self, mesh: TexturedMesh) -> None:
        """Raises MeshError unless it fits to a mesh."""
        count = len(self.time_s)
        for name, value, shape in (
            ("weights", self.weights, (count, len(mesh.targets))),
            ("rotation", self.rotation, (count, 3, 3)),
        ):
            if value.shape != shape or not np.isfinite(value).all():
                raise MeshError(f"{mesh.name}: {name} should be finite and {shape}")
        if count < 1 or self.time_s[0] != 0 or (np.diff(self.time_s) <= 0).any():
            raise MeshError(f"{mesh.name}: time_s should rise from 0")


def encode_animated_glb(mesh: TexturedMesh, animation: Animation) -> bytes:
    """Gives the bytes of a .glb with one animation; equal inputs, equal bytes.

    Args:
      mesh: the head without expression, as of encode_glb.
      animation: how it moves. The head turns about the model's origin, and stays in its place.

    Raises:
      MeshError: if the arrays do not fit together.
    """
    animation.check(mesh)
    document = gltf.GLTF2.load_from_bytes(encode_glb(mesh))
    for accessor in document.accessors:
        if accessor.bufferView is None:
            accessor.byteOffset = None  # which pygltflib reads as 0, and glTF does not allow
    content = bytearray(document.binary_blob())
    time = _add(document, content, animation.time_s, bounds=True)
    weights = _add(document, content, animation.weights.ravel())
    turns = _add(document, content, quaternions(animation.rotation))
    samplers = [
        gltf.AnimationSampler(input=time, output=output, interpolation=gltf.ANIM_LINEAR)
        for output in (weights, turns)
    ]
    channels = [
        gltf.AnimationChannel(sampler=k, target=gltf.AnimationChannelTarget(node=0, path=path))
        for k, path in enumerate(("weights", "rotation"))
    ]
    document.animations = [gltf.Animation(name=NAME, samplers=samplers, channels=channels)]
    document.buffers = [gltf.Buffer(byteLength=len(content))]
    document.set_binary_blob(bytes(content))
    return b"".join(document.save_to_bytes())


def _add(document: gltf.GLTF2, content: bytearray, values, *, bounds: bool = False) -> int:
    """Appends float32 values [K] or [K, 4] to the buffer; returns the number of their accessor."""
    values = np.ascontiguousarray(values, "<f4")
    view = gltf.BufferView(buffer=0, byteOffset=len(content), byteLength=values.nbytes)
    content += values.tobytes()
    document.bufferViews.append(view)
    limits = {"min": [float(values.min())], "max": [float(values.max())]} if bounds else {}
    document.accessors.append(
        gltf.Accessor(
            bufferView=len(document.bufferViews) - 1, componentType=gltf.FLOAT, count=len(values),
            type=gltf.SCALAR if values.ndim == 1 else gltf.VEC4, **limits,
        )
    )  # fmt: skip
    return len(document.accessors) - 1


def quaternions(rotation: np.ndarray) -> np.ndarray:
    """Rotations [K, 3, 3] as unit quaternions [K, 4] in glTF's order x, y, z, w; no sign jumps."""
    from scipy.spatial.transform import Rotation

    found: np.ndarray = Rotation.from_matrix(np.asarray(rotation, np.float64)).as_quat()
    turned = np.sign((found[1:] * found[:-1]).sum(1))
    found[1:] *= np.cumprod(np.where(turned < 0, -1.0, 1.0))[:, None]
    return found
