"""Face model files for tests."""

import dataclasses

import numpy as np
from scipy import sparse


def write_model(path, model):
    """A face model file whose levels 0 and 1 are both the model."""
    names = [field.name for field in dataclasses.fields(model) if field.name != "coarse"]
    arrays = {name: np.asarray(getattr(model, name)) for name in names}
    meshes = ("triangles", "regions", "uv", "inner_face")
    meshes += ("landmark_triangles", "landmark_barycentric")
    levels = {name: arrays.pop(name) for name in meshes}
    operator = sparse.identity(model.vertex_count, format="csr", dtype=np.float32)
    levels |= {
        f"operator_{part}": getattr(operator, part) for part in ("data", "indices", "indptr")
    }
    arrays |= {f"level{k}_{name}": levels[name] for k in (0, 1) for name in levels}
    np.savez(path, **arrays)
