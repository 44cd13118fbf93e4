"""Small textured meshes for tests of files and pictures."""

import numpy as np

from facemodel.morphable.mesh import vertex_normals
from facemodel.morphable.model import MorphableModel
from serving.output.textured_mesh import TexturedMesh

SIZE = 64


def tiny_head(*, normal_map=False, seed=0):
    """The tiny face model with a seam down its middle, a smooth texture and three targets."""
    model = MorphableModel.tiny(seed)
    vertices = model.mean.astype(np.float32)
    low, high = vertices[:, :2].min(0), vertices[:, :2].max(0)
    left = (0.05 + 0.4 * (vertices[:, :2] - low) / (high - low)).astype(np.float32)
    right_side = vertices[model.triangles, 0].mean(1) > 0
    uv = np.concatenate([left, left + np.float32([0.45, 0.1])])
    targets = {
        "jawOpen": model.expression[0].astype(np.float32),
        "browInnerUp": np.where(vertices[:, 1:2] > 10, model.expression[1], 0).astype(np.float32),
        "tongueOut": np.zeros_like(vertices),
    }
    return TexturedMesh(
        name="anna_0",
        vertices=vertices,
        triangles=model.triangles,
        normals=vertex_normals(vertices, model.triangles),
        uv=uv,
        uv_triangles=model.triangles + len(left) * right_side[:, None],
        regions=model.regions,
        texture=smooth_texture(),
        normal_map=bumps() if normal_map else None,
        targets=targets,
    )


def smooth_texture(size=SIZE):
    """uint8 [S, S, 3] without edges, so that JPEG keeps it."""
    place = (np.arange(size) + 0.5) / size
    across, down = np.meshgrid(place, place)
    image = np.stack([across, down, 0.5 + 0.25 * np.sin(4 * across + 3 * down)], -1)
    return np.uint8(np.round(60 + 150 * image))


def bumps(size=SIZE):
    """A normal map of gentle waves."""
    place = np.arange(size) / size
    across, down = np.meshgrid(place, place)
    normals = np.stack([0.2 * np.sin(12 * across), 0.2 * np.cos(9 * down), np.ones_like(down)], -1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return np.uint8(np.round(127.5 * (normals + 1)))


def sheet(heights, normals=None, *, uv=None, side=100.0):
    """A square of side mm with heights [n, n], seen from z; row 0 is at the bottom.

    Its texture coordinates go from 0 to 1 across it.
    """
    count = len(heights)
    grid = np.linspace(0, 1, count)
    across, up = np.meshgrid(grid, grid)
    vertices = np.stack([side * (across - 0.5), side * (up - 0.5), heights], -1).reshape(-1, 3)
    first = (np.arange(count - 1)[:, None] * count + np.arange(count - 1)).ravel()
    triangles = np.concatenate(
        [
            np.stack([first, first + 1, first + count + 1], -1),
            np.stack([first, first + count + 1, first + count], -1),
        ]
    ).astype(np.int32)
    places = np.stack([across, up], -1).reshape(-1, 2) if uv is None else uv
    return TexturedMesh(
        name="sheet",
        vertices=vertices,
        triangles=triangles,
        normals=vertex_normals(vertices, triangles) if normals is None else normals,
        uv=places,
        uv_triangles=triangles,
        regions=np.zeros(len(vertices), np.uint8),
        texture=np.full((SIZE, SIZE, 3), 128, np.uint8),
    )
