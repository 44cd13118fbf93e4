"""Writers of other projects' face model files, for tests: as these projects lay their bytes out."""

import io
import json
import pickle
import struct

import h5py
import numpy as np
import scipy.io
from scipy import sparse


class Shapes:
    """A linear model of shapes and colours as the formats store it.

    Args:
      mean: [V, 3] mm.
      identity: [I, V, 3] mm per standard deviation.
      expression: [E, V, 3] mm per standard deviation.
      triangles: [T, 3] wound outwards.
      colour: [V, 3] in [0, 1]; colours: [A, V, 3].
    """

    def __init__(self, mean, identity, expression, triangles, colour, colours):
        self.mean, self.triangles = np.asarray(mean, np.float64), np.asarray(triangles)
        self.identity, self.expression = identity, expression
        self.colour, self.colours = colour, colours

    @classmethod
    def random(cls, seed=0, *, identity=3, expression=2, colours=2):
        """A bulging sheet of 5 x 6 vertices with random vectors."""
        rng = np.random.default_rng(seed)
        y, x = np.meshgrid(np.linspace(-80, 80, 6), np.linspace(-60, 60, 5), indexing="ij")
        mean = np.stack([x, y, 60 - (x**2 + y**2) / 100], -1).reshape(-1, 3)
        corner = (np.arange(5)[:, None] * 5 + np.arange(4)).ravel()
        lower = np.stack([corner, corner + 1, corner + 6], -1)
        upper = np.stack([corner, corner + 6, corner + 5], -1)
        return cls(
            mean + rng.normal(size=mean.shape),
            rng.normal(size=(identity, *mean.shape)),
            rng.normal(size=(expression, *mean.shape)),
            np.concatenate([lower, upper]),
            rng.uniform(0.3, 0.6, mean.shape),
            0.02 * rng.normal(size=(colours, *mean.shape)),
        )


def unit_columns(vectors):
    """[n, V, 3] -> columns [3 V, n] of length 1, and their lengths [n]."""
    flat = np.asarray(vectors, np.float64).reshape(len(vectors), -1)
    lengths = np.linalg.norm(flat, axis=1)
    return (flat / lengths[:, None]).T, lengths


def write_basel_2009(path, shapes, *, extra=()):
    """01_MorphableModel.mat: micrometres, colours to 255, triangles from 1 and wound backwards."""
    vectors, lengths = unit_columns(shapes.identity * 1000)
    colours, colour_lengths = unit_columns(shapes.colours * 255)
    content = {
        "shapeMU": (shapes.mean * 1000).reshape(-1, 1).astype(np.float32),
        "shapePC": vectors.astype(np.float32),
        "shapeEV": lengths.reshape(-1, 1).astype(np.float32),
        "texMU": (shapes.colour * 255).reshape(-1, 1).astype(np.float32),
        "texPC": colours.astype(np.float32),
        "texEV": colour_lengths.reshape(-1, 1).astype(np.float32),
        "tl": (shapes.triangles[:, [1, 0, 2]] + 1).astype(np.int32),
    }
    scipy.io.savemat(path, {**content, **dict(extra)})


def write_warehouse(folder, expression, vertices):
    """Exp_Pca.bin, std_exp.txt and BFM_exp_idx.mat: expressions of some of the vertices."""
    columns, lengths = unit_columns(expression[:, vertices] * 1000)
    mean = np.full(len(columns), 7.0, np.float32)
    (folder / "Exp_Pca.bin").write_bytes(
        struct.pack("<i", len(expression)) + mean.tobytes() + columns.T.astype("<f4").tobytes()
    )
    np.savetxt(folder / "std_exp.txt", lengths[None])
    scipy.io.savemat(folder / "BFM_exp_idx.mat", {"trimIndex": vertices[:, None] + 1})


def write_face3d(path, shapes, landmarks):
    """face3d's BFM.mat: a structure whose triangles are columns."""
    vectors, lengths = unit_columns(shapes.identity * 1000)
    moves, move_lengths = unit_columns(shapes.expression * 1000)
    colours, colour_lengths = unit_columns(shapes.colours * 255)
    half = len(shapes.triangles) // 2
    faces = shapes.triangles.T[[1, 0, 2]] + 1
    model = {
        "shapeMU": shapes.mean.reshape(-1, 1) * 1000 - 500,
        "expMU": np.full((shapes.mean.size, 1), 500.0),
        "shapePC": vectors,
        "shapeEV": lengths[:, None],
        "expPC": moves,
        "expEV": move_lengths[:, None],
        "texMU": shapes.colour.reshape(-1, 1) * 255,
        "texPC": colours,
        "texEV": colour_lengths[:, None],
        "tri": faces[:, :half],
        "tri_mouth": faces[:, half:],
        "kpt_ind": landmarks[None] + 1,
    }
    scipy.io.savemat(path, {"model": model})


def write_deep3d(path, shapes, landmarks):
    """BFM_model_front.mat: decimetres, rows, deviations multiplied in."""
    scipy.io.savemat(
        path,
        {
            "meanshape": shapes.mean.reshape(1, -1) / 100,
            "idBase": shapes.identity.reshape(len(shapes.identity), -1).T / 100,
            "exBase": shapes.expression.reshape(len(shapes.expression), -1).T / 100,
            "texBase": shapes.colours.reshape(len(shapes.colours), -1).T * 255,
            "meantex": shapes.colour.reshape(1, -1) * 255,
            "tri": shapes.triangles + 1,
            "keypoints": landmarks[None] + 1,
        },
    )


def write_basel_h5(path, shapes, *, order="<f4", expression_mean=0.0):
    """model2017-1_face12_nomouth.h5 and the like; order is numpy's name of the floats."""
    parts = {
        "shape": (shapes.mean - expression_mean, shapes.identity),
        "expression": (np.full_like(shapes.mean, expression_mean), shapes.expression),
        "color": (shapes.colour, shapes.colours),
    }
    with h5py.File(path, "w") as file:
        for name, (mean, vectors) in parts.items():
            columns, lengths = unit_columns(vectors)
            group = file.create_group(f"{name}/model")
            group["mean"] = mean.reshape(-1).astype(order)
            group["pcaBasis"] = columns.astype(order)
            group["pcaVariance"] = (lengths**2).astype(order)
        file["shape/representer/cells"] = shapes.triangles.T.astype("<i4")


class Opcodes:
    """Writes a pickle one instruction after the other, without the classes that it names."""

    def __init__(self, protocol=2):
        self._out = io.BytesIO()
        self._out.write(b"\x80" + bytes([protocol]))

    def plain(self, value):
        """A value that needs no other class, or an array."""
        text = pickle.dumps(value, protocol=2)
        self._out.write(text[2:-1])  # without the protocol and the stop
        return self

    def new(self, module, name, state):
        """An object of a class of new style with this state, given as instructions."""
        self._out.write(f"c{module}\n{name}\n".encode() + b")\x81")
        self._out.write(state)
        self._out.write(b"b")
        return self

    def dictionary(self, entries):
        """A dictionary of names and instructions."""
        self._out.write(b"}(")
        for name, instructions in entries.items():
            self._out.write(Opcodes.bytes_of(name))
            self._out.write(instructions)
        self._out.write(b"u")
        return self

    def instructions(self):
        """What was written, to be put into another pickle."""
        return self._out.getvalue()[2:]

    def finished(self):
        """The whole pickle."""
        return self._out.getvalue() + b"."

    @staticmethod
    def bytes_of(name):
        """A string as Python 2 wrote it."""
        text = name.encode("latin1")
        return b"U" + bytes([len(text)]) + text


def instructions_of(value):
    """A plain value's or an array's instructions."""
    return Opcodes().plain(value).instructions()


def chumpy_array(values):
    """chumpy.ch.Ch with its field x, and one of its other fields."""
    state = Opcodes().dictionary({"x": instructions_of(values), "_dirty_vars": instructions_of([])})
    return Opcodes().new("chumpy.ch", "Ch", state.instructions()).instructions()


def chumpy_select(values, chosen, shape):
    """chumpy.reordering.Select of a Ch."""
    state = Opcodes().dictionary(
        {
            "a": chumpy_array(values),
            "idxs": instructions_of(chosen),
            "preferred_shape": instructions_of(shape),
        }
    )
    return Opcodes().new("chumpy.reordering", "Select", state.instructions()).instructions()


def old_scipy_columns(matrix):
    """scipy.sparse.csc.csc_matrix, as scipy called it before 1.8."""
    matrix = sparse.csc_matrix(matrix)
    state = {"_shape": matrix.shape, "maxprint": 50, "data": matrix.data}
    state |= {"indices": matrix.indices, "indptr": matrix.indptr}
    return Opcodes().new("scipy.sparse.csc", "csc_matrix", instructions_of(state)).instructions()


def flame_arrays(shapes, *, identity=300):
    """FLAME's arrays in metres; unused identity vectors are zero."""
    count = len(shapes.mean)
    vectors = np.zeros((count, 3, identity + len(shapes.expression)))
    vectors[..., : len(shapes.identity)] = np.moveaxis(shapes.identity, 0, -1)
    vectors[..., identity:] = np.moveaxis(shapes.expression, 0, -1)
    weights = np.zeros((count, 5))
    low = shapes.mean[:, 1] < shapes.mean[:, 1].mean()
    weights[low, 2], weights[~low, 1] = 1.0, 1.0
    joints = np.zeros((5, count))
    joints[:, 0] = 1.0
    return {
        "v_template": shapes.mean / 1000,
        "shapedirs": vectors / 1000,
        "f": shapes.triangles.astype(np.uint32),
        "posedirs": np.zeros((count, 3, 36)),
        "weights": weights,
        "J_regressor": joints,
        "kintree_table": np.array([[-1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
    }


def write_flame_pickle(path, arrays, *, order=">f8"):
    """generic_model.pkl: chumpy arrays, an old scipy matrix, floats of this byte order."""
    entries = {name: instructions_of(value) for name, value in arrays.items()}
    entries["v_template"] = chumpy_array(arrays["v_template"].astype(order))
    shapedirs = np.asfortranarray(arrays["shapedirs"])
    everything = np.arange(shapedirs.size)
    entries["shapedirs"] = chumpy_select(shapedirs.ravel(), everything, shapedirs.shape)
    entries["J_regressor"] = old_scipy_columns(arrays["J_regressor"])
    path.write_bytes(Opcodes().dictionary(entries).finished())


def write_ict(folder, shapes, names, landmarks, *, quads=()):
    """ICT-FaceKit's folder: absolute shapes in cm, 3- and 4-gons with texture coordinates."""
    folder.mkdir(parents=True, exist_ok=True)
    lists = {"expressions": list(names), "idx_to_landmark_verts": landmarks.tolist()}
    (folder / "vertex_indices.json").write_text(json.dumps(lists))
    files = {"generic_neutral_mesh": shapes.mean}
    files |= {f"identity{k:03d}": shapes.mean + v for k, v in enumerate(shapes.identity)}
    files |= {name: shapes.mean + v for name, v in zip(names, shapes.expression)}
    polygons = [*map(tuple, quads), *map(tuple, shapes.triangles)]
    faces = "".join(
        "f " + " ".join(f"{corner + 1}/{k + 1}" for k, corner in enumerate(polygon)) + "\n"
        for polygon in polygons
    )
    for name, vertices in files.items():
        lines = ("v {:.15f} {:.15f} {:.15f}\n".format(*row) for row in vertices / 10)
        (folder / f"{name}.obj").write_text(
            "mtllib a.mtl\n" + "".join(lines) + "vt 0 0\n" * 4 + "usemtl M_Face\n" + faces
        )


def surrey_bytes(shapes, *, order="<", version=1, colours=True):
    """sfm_shape_3448.bin: cereal's bytes of a MorphableModel."""

    def matrix(values):
        values = np.atleast_2d(values)
        head = struct.pack(order + "ii", *values.shape)
        return head + values.T.astype(order + "f4").tobytes()

    def components(mean, vectors, triangles):
        columns, lengths = unit_columns(vectors)
        content = matrix(mean.reshape(-1, 1)) + matrix(columns) + matrix(lengths[:, None] ** 2)
        count = struct.pack(order + "Q", len(triangles))
        return content + count + triangles.astype(order + "i4").tobytes()

    empty = struct.pack(order + "ii", 0, 0) * 3 + struct.pack(order + "Q", 0)
    content = struct.pack(order + "I", version)
    content += components(shapes.mean, shapes.identity, shapes.triangles)
    content += components(shapes.colour, shapes.colours, shapes.triangles) if colours else empty
    places = np.zeros((len(shapes.mean), 2), order + "f8")
    return content + struct.pack(order + "Q", len(places)) + places.tobytes()


def surrey_blendshapes(expression, names, *, order="<"):
    """expression_blendshapes_3448.bin."""
    content = struct.pack(order + "Q", len(names))
    for name, offset in zip(names, expression):
        content += struct.pack(order + "Q", len(name)) + name.encode()
        content += struct.pack(order + "ii", offset.size, 1)
        content += offset.reshape(-1).astype(order + "f4").tobytes()
    return content
