"""The committed head that goes with the default face model."""

import numpy as np
import pytest
import scipy.ndimage
from scipy import sparse
from scipy.sparse import csgraph
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from facemodel.morphable import head_npz
from facemodel.morphable.head import DEFAULT_HEAD, HeadModel, head_path
from facemodel.morphable.head_mesh import LEVELS
from facemodel.morphable.mesh import ModelError
from facemodel.morphable.model import DEFAULT_MODEL
from facemodel.morphable.npz import read_operator
from facemodel.rendering.numpy_rasterizer import rasterize_numpy

SKIN, MOUTH, TONGUE, TEETH, EYE_LEFT, EYE_RIGHT = range(6)
TEXTURE = 1024
RIM = {1: (152, 0.9), 2: (1162, 3.0)}
"""Of each level, how many of the face's vertices move where the cut was, and how far (mm)."""


@pytest.fixture(scope="module")
def head():
    return HeadModel.load()


@pytest.fixture(scope="module")
def face():
    with np.load(DEFAULT_MODEL) as archive:
        names = [name for name in archive if not name.startswith(("albedo", "landmark"))]
        return {name: archive[name] for name in names}


@pytest.fixture(scope="module")
def mean_vertices(head):
    return head.vertices(np.zeros(head.coefficient_count), 1)


@pytest.fixture(scope="module")
def texels(head):
    """Triangle of each texel of the control mesh's atlas, -1 outside, [S, S]; row 0 at v = 0."""
    return rasterized(head.mesh(1))


def rasterized(mesh, order=1):
    """Of triangles that overlap the one with the larger number is seen, or with the smaller."""
    triangles = mesh.uv_triangles
    corners = mesh.uv[triangles].reshape(-1, 2) * TEXTURE
    depth = np.repeat(order * np.arange(len(triangles)), 3)
    # The rasterizer looks from in front with y down, so the winding is turned over.
    screen = np.column_stack([corners, depth]).astype(np.float32)
    flipped = np.arange(len(corners)).reshape(-1, 3)[:, ::-1]
    pixel, triangle = rasterize_numpy(screen, flipped, height=TEXTURE, width=TEXTURE)
    image = np.full(TEXTURE * TEXTURE, -1)
    image[pixel] = triangle
    return image.reshape(TEXTURE, TEXTURE)


def directed_edges(triangles):
    return np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)]).astype(np.int64)


def border_edges(triangles, count):
    edges = directed_edges(triangles)
    keys, back = edges[:, 0] * count + edges[:, 1], edges[:, 1] * count + edges[:, 0]
    return edges[~np.isin(keys, back)]


def parts_of(edges, count):
    links = sparse.csr_matrix((np.ones(len(edges)), edges.T), shape=(count, count))
    return csgraph.connected_components(links, directed=False)[1]


def coefficients(head, **weights):
    values = np.zeros(head.coefficient_count, np.float32)
    for name, weight in weights.items():
        values[len(head.identity) + head.expression_names.index(f"arkit/{name}")] = weight
    return values


def random_coefficients(head, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=head.coefficient_count)
    values[len(head.identity) :] = rng.uniform(size=len(head.expression)) * 0.2
    return values.astype(np.float32)


def neck_loop(mesh, vertices):
    """Edges of the border at the neck, which lies lowest."""
    edges = border_edges(mesh.triangles, len(vertices))
    part = parts_of(edges, len(vertices))
    heights = {p: vertices[part == p, 1].mean() for p in np.unique(part[edges[:, 0]])}
    return edges[part[edges[:, 0]] == min(heights, key=heights.__getitem__)]


class TestFace:
    @pytest.mark.parametrize("level", LEVELS)
    def test_vertices_are_the_face_models_but_at_the_rim(self, head, face, level):
        mesh = head.mesh(level)
        operator = read_operator(face, f"level{level}_operator", len(face["mean"]))
        control = head.control(random_coefficients(head, 1))
        own = operator @ control[: len(face["mean"])]
        moved = np.linalg.norm((mesh.operator @ control)[: mesh.face_count] - own, axis=1)
        assert mesh.face_count == len(own)
        count, farthest = RIM[level]
        assert (moved > 1e-3).sum() == count
        assert moved.max() < farthest
        triangles = face[f"level{level}_triangles"]
        rim = np.unique(border_edges(triangles, len(own)))
        for _ in range(level):
            rim = np.unique(triangles[np.isin(triangles, rim).any(1)])
        assert np.isin(np.flatnonzero(moved > 1e-3), rim).all()

    @pytest.mark.parametrize("level", LEVELS)
    def test_triangles_and_regions_come_first(self, head, face, level):
        mesh = head.mesh(level)
        triangles = face[f"level{level}_triangles"]
        np.testing.assert_array_equal(mesh.triangles[: len(triangles)], triangles)
        np.testing.assert_array_equal(
            mesh.regions[: mesh.face_count], face[f"level{level}_regions"]
        )
        assert (mesh.triangles[len(triangles) :] >= mesh.face_count).any(1).mean() > 0.9

    def test_control_vertices_are_the_face_models(self, head, face):
        count = len(face["mean"])
        np.testing.assert_array_equal(head.mean[:count], face["mean"])
        np.testing.assert_array_equal(head.identity[:, :count], face["identity"])
        np.testing.assert_array_equal(head.expression[:, :count], face["expression"])
        assert head.expression_names == tuple(face["expression_names"])


class TestSurface:
    @pytest.mark.parametrize("level", LEVELS)
    def test_is_an_oriented_manifold(self, head, level):
        """Each edge has one triangle on each side, or one triangle only."""
        mesh = head.mesh(level)
        count = mesh.operator.shape[0]
        edges = directed_edges(mesh.triangles)
        keys = edges[:, 0] * count + edges[:, 1]
        assert len(np.unique(keys)) == len(keys)
        assert len(np.unique(mesh.triangles)) == count
        np.testing.assert_allclose(np.asarray(mesh.operator.sum(1)).ravel(), 1, atol=1e-5)

    def test_is_open_at_the_neck_and_behind_the_teeth_only(self, head, mean_vertices):
        mesh = head.mesh(1)
        edges = border_edges(mesh.triangles, len(mean_vertices))
        part = parts_of(edges, len(mean_vertices))
        borders = [edges[part[edges[:, 0]] == p] for p in np.unique(part[edges[:, 0]])]
        regions = sorted(mesh.regions[border].min() for border in borders)
        assert regions == [SKIN, TEETH, TEETH]
        assert all(len(np.unique(border)) == len(border) for border in borders)

    def test_parts_face_outwards(self, head, mean_vertices):
        """Volumes inside eyeballs and tongue, which are closed, are positive."""
        mesh = head.mesh(1)
        for region, low, high in (
            (EYE_LEFT, 14e3, 18e3),
            (EYE_RIGHT, 14e3, 18e3),
            (TONGUE, 8e3, 60e3),
        ):
            triangles = mesh.triangles[(mesh.regions[mesh.triangles] == region).all(1)]
            assert not len(border_edges(triangles, len(mean_vertices)))
            a, b, c = (mean_vertices[triangles[:, k]] for k in range(3))
            assert low < np.einsum("ij,ij->", np.cross(a, b), c) / 6 < high

    @pytest.mark.parametrize("level", LEVELS)
    def test_neck_ends_in_a_smooth_curve(self, head, level):
        for seed in range(3):
            vertices = head.vertices(random_coefficients(head, seed), level)
            edges = neck_loop(head.mesh(level), vertices)
            following = dict(edges.tolist())
            here = edges[:, 0]
            after = np.array([following[v] for v in here])
            beyond = np.array([following[v] for v in after])
            first, second = vertices[after] - vertices[here], vertices[beyond] - vertices[after]
            cosine = (first * second).sum(1) / np.linalg.norm(first, axis=1)
            cosine /= np.linalg.norm(second, axis=1)
            assert np.rad2deg(np.arccos(cosine.min())) < (30 if level == 1 else 20)

    def test_is_as_large_as_a_head(self, head, mean_vertices):
        width, height, depth = np.ptp(mean_vertices, axis=0)
        assert 160 < width < 200 and 250 < height < 310 and 200 < depth < 240

    def test_mean_is_symmetric(self, mean_vertices):
        distance, _ = cKDTree(mean_vertices).query(mean_vertices * [-1, 1, 1])
        assert np.quantile(distance, 0.99) < 0.5


class TestAtlas:
    def test_no_texel_has_two_triangles(self, head, texels):
        """Whichever triangle comes last, the same is seen, but on common edges."""
        mesh = head.mesh(1)
        other = rasterized(mesh, order=-1)
        assert ((texels >= 0) == (other >= 0)).all()
        different = texels != other
        first, second = (mesh.uv_triangles[image[different]] for image in (texels, other))
        common = (first[:, :, None] == second[:, None, :]).any((1, 2))
        assert common.all()

    def test_triangles_are_not_turned_over(self, head):
        for level in LEVELS:
            mesh = head.mesh(level)
            a, b, c = (mesh.uv[mesh.uv_triangles[:, k]].astype(np.float64) for k in range(3))
            assert np.cross(b - a, c - a).min() > 0
            assert mesh.uv.min() > 0 and mesh.uv.max() < 1

    def test_islands_keep_four_texels_apart(self, head, texels):
        mesh = head.mesh(1)
        part = parts_of(directed_edges(mesh.uv_triangles), len(mesh.uv))
        island = np.where(texels >= 0, part[mesh.uv_triangles[texels, 0]] + 1, 0)
        assert len(np.unique(island)) == 13
        y, x = np.mgrid[-4:5, -4:5]
        near = x**2 + y**2 <= 16
        highest = scipy.ndimage.maximum_filter(island, footprint=near)
        lowest = scipy.ndimage.minimum_filter(np.where(island > 0, island, 99), footprint=near)
        assert (highest <= lowest)[island > 0].all()
        padded = np.pad(island[4:-4, 4:-4], 4)
        np.testing.assert_array_equal(padded, island)

    def test_face_gets_more_than_half_the_width(self, head, texels):
        mesh = head.mesh(1)
        face = head.mesh(1).triangles[: 2 * len(head.surface.face_levels[1].quads)]
        skin = (mesh.regions[face] == SKIN).all(1)
        columns = np.flatnonzero(np.isin(texels, np.flatnonzero(skin)).any(0))
        assert np.ptp(columns) > 0.6 * TEXTURE

    def test_texels_are_dense_where_one_looks(self, head, mean_vertices):
        """At 1024 px about two texels a millimetre on the face, more on the eyeballs."""
        mesh = head.mesh(1)
        corners = mean_vertices[mesh.triangles]
        middle = corners.mean(1)
        surface = np.linalg.norm(
            np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1
        )
        a, b, c = (mesh.uv[mesh.uv_triangles[:, k]] * TEXTURE for k in range(3))
        density = np.sqrt(np.cross(b - a, c - a) / surface)
        regions = mesh.regions[mesh.triangles].max(1)
        part = parts_of(directed_edges(mesh.uv_triangles), len(mesh.uv))[mesh.uv_triangles[:, 0]]
        face = part == np.bincount(part).argmax()
        front = face & (regions == SKIN) & (np.linalg.norm(middle - (0, -35, 40), axis=1) < 70)
        assert np.median(density[front]) > 2.0
        assert np.quantile(density[front], 0.02) > 1.0
        eyes = (regions >= EYE_LEFT) & (middle[:, 2] > 5)
        assert np.median(density[eyes]) > 3.0

    def test_seams_split_vertices(self, head):
        """Each texture coordinate belongs to one vertex; at seams a vertex has several."""
        mesh = head.mesh(1)
        pairs = np.unique(np.stack([mesh.uv_triangles.ravel(), mesh.triangles.ravel()], 1), axis=0)
        assert len(pairs) == len(mesh.uv)
        assert len(mesh.operator.indptr) - 1 < len(mesh.uv) < 1.05 * len(mesh.operator.indptr)


class TestColours:
    @pytest.mark.parametrize("level", LEVELS)
    def test_continue_those_of_the_face(self, head, level):
        """Across the outer rim colours change no more than between neighbours on the face."""
        mesh = head.mesh(level)
        vertices = mesh.operator @ head.mean
        assert mesh.albedo_mean.min() >= 0 and mesh.albedo_mean.max() <= 1
        edges = directed_edges(mesh.triangles)
        edges = edges[(mesh.regions[edges] == SKIN).all(1)]
        edges = edges[(np.abs(vertices[edges, 0]) > 60).all(1)]
        change = np.abs(np.diff(mesh.albedo_mean[edges], axis=1)).max((1, 2))
        inside = (edges < mesh.face_count).sum(1)
        assert np.quantile(change[inside == 1], 0.99) < np.quantile(change[inside == 2], 0.99)

    def test_of_ears_and_neck_are_skin(self, head, mean_vertices):
        mesh = head.mesh(1)
        colours = mesh.albedo_mean[mesh.face_count :]
        red, green, blue = colours[mesh.regions[mesh.face_count :] == SKIN].T
        assert (red > green).all() and (green > blue - 0.02).all()
        assert 0.2 < green.mean() < 0.6


class TestExpressions:
    def test_arkit_targets(self, head):
        names, targets = head.arkit_targets()
        assert len(names) == len(set(names)) == len(targets) == 52
        assert {"jawOpen", "eyeLookInLeft", "mouthSmileRight", "tongueOut"} <= set(names)
        largest = dict(zip(names, np.abs(targets).max((1, 2)), strict=True))
        assert largest.pop("tongueOut") == 0
        assert min(largest.values()) > 0.5
        weights = {"jawOpen": 0.7, "browInnerUp": 0.4}
        moved = head.vertices(coefficients(head, **weights)) - head.vertices(coefficients(head))
        control = sum(w * targets[names.index(name)] for name, w in weights.items())
        np.testing.assert_allclose(moved, head.mesh(1).operator @ control, atol=1e-3)

    def test_keep_ears_back_and_neck_still(self, head, mean_vertices):
        mesh = head.mesh(1)
        border = np.unique(neck_loop(mesh, mean_vertices))
        x, z = mean_vertices[:, 0], mean_vertices[:, 2]
        still = np.union1d(border, np.flatnonzero((np.abs(x) > 80) & (z < -40) | (z < -100)))
        moves = np.abs(np.stack([mesh.operator[still] @ vector for vector in head.expression]))
        assert moves.max() < 0.3
        assert np.abs(mesh.operator[border] @ head.expression[0]).max() == 0

    @pytest.mark.parametrize("side", ["Left", "Right"])
    def test_eyeballs_turn_as_a_whole(self, head, mean_vertices, side):
        """A rotation and a shift explain how a whole eyeball moves, by at least 9 degrees."""
        mesh = head.mesh(1)
        ball = mesh.regions == (EYE_LEFT if side == "Left" else EYE_RIGHT)
        names, targets = head.arkit_targets()
        for direction, axis, sign in (("Up", 0, -1), ("Down", 0, 1), ("In", 1, 0), ("Out", 1, 0)):
            moves = mesh.operator[ball] @ targets[names.index(f"eyeLook{direction}{side}")]
            turn, left = rigid_motion(mean_vertices[ball], moves)
            assert np.linalg.norm(left, axis=1).max() < 0.5
            assert np.rad2deg(np.abs(turn[axis])) > 9
            assert np.abs(turn).sum() < 1.15 * np.abs(turn[axis])
            outwards = {"Left": 1, "Right": -1}[side] * {"In": -1, "Out": 1}.get(direction, 0)
            assert np.sign(turn[axis]) == (sign or outwards)


def rigid_motion(points, moves):
    """The rotation vector [3] of the rigid motion that explains moves [N, 3] best; what is left."""
    start, end = points - points.mean(0), points + moves
    end = end - end.mean(0)
    rotation, _ = Rotation.align_vectors(end, start)
    return rotation.as_rotvec(), end - rotation.apply(start)


class TestFile:
    def test_is_small(self):
        assert DEFAULT_HEAD.stat().st_size < 8 << 20

    def test_float16_vectors_are_exact_enough(self, head, face):
        """Half a unit in the last place of each vector, summed as for a random person."""
        rest = head.identity[:, len(face["mean"]) :].astype(np.float16)
        step = np.abs(np.spacing(rest)).astype(np.float64) / 2
        assert np.sqrt((step**2).sum((0, 2))).max() < 0.02

    def test_another_face_model_is_refused(self, tmp_path, face):
        other = tmp_path / "other.npz"
        with np.load(DEFAULT_MODEL) as archive:
            arrays = {name: archive[name] for name in head_npz.FACE_ARRAYS}
        arrays["mean"] = arrays["mean"] + 1
        np.savez(other, **arrays)
        with pytest.raises(
            ModelError, match=r"default_head\.npz was built for another .*other\.npz"
        ):
            HeadModel.load(DEFAULT_HEAD, face_path=other)
        with pytest.raises(ModelError, match="other_head"):
            HeadModel.load(face_path=other)

    def test_other_files_are_refused(self, tmp_path):
        damaged = tmp_path / "damaged.npz"
        damaged.write_bytes(b"PK\x03\x04 no archive")
        for path in (damaged, DEFAULT_MODEL):
            with pytest.raises(ModelError):
                HeadModel.load(path)

    def test_format_is_checked(self, tmp_path):
        newer = tmp_path / "newer.npz"
        with np.load(DEFAULT_HEAD) as archive:
            np.savez(newer, **{**archive, "format": 2})
        with pytest.raises(ModelError):
            HeadModel.load(newer)

    def test_names_of_heads(self, tmp_path):
        assert head_path() == head_path(DEFAULT_MODEL) == DEFAULT_HEAD
        assert head_path(tmp_path / "mine.npz") == tmp_path / "mine_head.npz"

    def test_wrong_arguments(self, head):
        with pytest.raises(ModelError):
            head.mesh(0)
        with pytest.raises(ValueError, match="284"):
            head.control(np.zeros(3))
