"""The head's builder on small meshes: edge loops, regression, unwrapping, packing, colours."""

import numpy as np
import pytest
from scipy import sparse

from facemodel.default_model import (
    head_albedo,
    head_atlas,
    head_basis,
    head_mesh,
    packing,
    unwrap,
)
from facemodel.morphable import head_npz, subdivision
from facemodel.morphable.model import DEFAULT_MODEL


def tube(around=12, along=6, radius=40.0, step=15.0):
    """An open tube about the y axis, its top first: vertices [V, 3] mm, quads [F, 4]."""
    angle = 2 * np.pi * np.arange(around) / around
    ring = np.stack([radius * np.sin(angle), 0 * angle, radius * np.cos(angle)], 1)
    rings = [ring - np.array([0, step * k, 0]) for k in range(along + 1)]
    k, j = np.meshgrid(np.arange(along), np.arange(around), indexing="ij")
    after = (j + 1) % around
    quads = np.stack(
        [k * around + j, (k + 1) * around + j, (k + 1) * around + after, k * around + after], -1
    )
    return np.concatenate(rings), quads.reshape(-1, 4)


def grid(columns, rows):
    x, y = np.meshgrid(np.arange(columns + 1.0), np.arange(rows + 1.0))
    corner = (np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)).ravel()
    quads = np.stack([corner, corner + 1, corner + columns + 2, corner + columns + 1], 1)
    return np.stack([x.ravel(), y.ravel()], 1), quads


class TestEdgeLoops:
    def test_loops_around_a_tube_are_its_rings(self):
        points, quads = tube()
        topology = subdivision.Topology.of(len(points), quads)
        ring = points[topology.edges][..., 1]
        level = np.flatnonzero(ring[:, 0] == ring[:, 1])
        starts = level[np.unique(ring[level, 0], return_index=True)[1]]
        loops = head_mesh.closed_loops(topology, starts)
        assert len(loops) == 5  # all but the two borders
        for loop in loops:
            assert len(loop) == 12 and len(np.unique(ring[loop])) == 1

    def test_loops_along_a_tube_are_not_closed(self):
        points, quads = tube()
        topology = subdivision.Topology.of(len(points), quads)
        along = np.flatnonzero(np.ptp(points[topology.edges][..., 1], axis=1) > 0)
        assert head_mesh.closed_loops(topology, along) == []

    def test_neck_is_cut_along_the_lowest_loop(self):
        points, quads = tube()
        points = points - (0, 60, 10)
        points[:12, 2] += 50  # a face, so that the top is the head
        kept = head_mesh.above_neck(quads, points)
        assert kept.sum() == 5 * 12
        assert points[quads[kept], 1].min() == -60 - 5 * 15

    def test_missing_loop(self):
        points, quads = tube(along=1)
        with pytest.raises(head_mesh.EdgeLoopError):
            head_mesh.above_neck(quads, points - (0, 110, 0))

    def test_expressions_fade_out_at_the_lowest_border(self):
        points, quads = tube()
        fade = head_basis.border_fade(quads, points)
        assert (fade[-12:] == 0).all() and (fade[:48] == 1).all()
        assert 0 < fade[-24] < 1


class TestRegression:
    def test_recovers_a_linear_relation(self):
        rng = np.random.default_rng(0)
        scores = rng.normal(size=(300, 5)) + 0.3
        mean, vectors = rng.normal(size=(4, 3)), rng.normal(size=(5, 4, 3))
        rest = mean + np.einsum("nk,kra->nra", scores, vectors)
        found = head_basis.regress(scores, rest)
        np.testing.assert_allclose(found.mean, mean, atol=1e-10)
        np.testing.assert_allclose(found.identity, vectors, atol=1e-10)
        assert found.residual_mm.max() < 1e-10 < found.spread_mm.min()

    def test_residual_is_what_no_coefficient_explains(self):
        rng = np.random.default_rng(1)
        scores = rng.normal(size=(4000, 3))
        rest = rng.normal(size=(4000, 2, 3)) * 2.0
        found = head_basis.regress(scores, rest)
        np.testing.assert_allclose(found.residual_mm, 2 * np.sqrt(3), rtol=0.05)

    def test_coefficients_of_faces(self):
        rng = np.random.default_rng(2)
        basis = head_basis.FaceBasis(rng.normal(size=(30, 3)), rng.normal(size=(6, 30, 3)))
        scores = rng.normal(size=(8, 6))
        faces = basis.mean + np.einsum("nk,kca->nca", scores, basis.identity)
        measured = sparse.csr_matrix(rng.uniform(size=(20, 30)))
        np.testing.assert_allclose(
            head_basis.face_scores(faces, basis, measured), scores, atol=1e-8
        )


def rest_of(points, quads):
    triangles = subdivision.triangulate(quads)
    return unwrap.Rest.of(points[triangles], triangles, len(points), np.ones(len(triangles)))


class TestUnwrapping:
    def test_gradient_is_that_of_the_energy(self):
        uv, quads = grid(3, 2)
        rest = rest_of(np.column_stack([uv, 0.3 * uv[:, 0] ** 2]), quads)
        rng = np.random.default_rng(3)
        uv = uv + 0.1 * rng.normal(size=uv.shape)
        direction = rng.normal(size=uv.shape)
        value, gradient = unwrap.energy(rest, uv)
        ahead, behind = (unwrap.energy(rest, uv + h * direction)[0] for h in (1e-6, -1e-6))
        assert value > 4 * rest.area.sum()
        assert (ahead - behind) / 2e-6 == pytest.approx((gradient * direction).sum(), rel=1e-6)

    def test_turned_triangles_cost_everything(self):
        uv, quads = grid(3, 2)
        rest = rest_of(np.column_stack([uv, 0 * uv[:, 0]]), quads)
        assert unwrap.energy(rest, uv * (-1, 1))[0] == np.inf

    def test_cylinder_unrolls_without_stretch(self):
        """From a start that is stretched unevenly, lengths become those of the surface."""
        flat, quads = grid(10, 6)
        angle = flat[:, 0] / 5
        points = np.stack([5 * np.sin(angle), flat[:, 1], 5 * np.cos(angle)], 1)
        chord = 10 * np.sin(0.1)
        start = np.stack([flat[:, 0] ** 1.5, 0.3 * flat[:, 1] ** 1.3], 1)
        uv = unwrap.relax(rest_of(points, quads), start)
        value, _ = unwrap.energy(rest_of(points, quads), uv)
        assert value == pytest.approx(4 * rest_of(points, quads).area.sum(), rel=1e-5)
        lengths = np.linalg.norm(np.diff(uv.reshape(7, 11, 2), axis=1), axis=2)
        np.testing.assert_allclose(lengths, chord, rtol=1e-2)

    def test_no_triangle_turns_over(self):
        uv, quads = grid(8, 8)
        hill = 6 * np.exp(-((uv - 4) ** 2).sum(1) / 4)
        rest = rest_of(np.column_stack([uv, hill]), quads)
        assert np.isfinite(unwrap.energy(rest, unwrap.relax(rest, uv))[0])


class TestAtlas:
    def test_corners_are_welded_by_vertex_and_place(self):
        points, quads = grid(2, 1)
        corner_uvs = points[quads].copy()
        uv, uv_quads, vertex = head_atlas.weld(quads, corner_uvs)
        assert len(uv) == 6 and (vertex[uv_quads] == quads).all()
        corner_uvs[1, :, 0] += 5  # the second quad lies elsewhere: a seam
        uv, uv_quads, vertex = head_atlas.weld(quads, corner_uvs)
        assert len(uv) == 8 and (vertex[uv_quads] == quads).all()
        np.testing.assert_array_equal(uv[uv_quads], corner_uvs)
        assert sorted(head_atlas.islands(uv_quads)) == [0, 1]

    def test_fans_fill_holes_in_the_direction_of_the_surface(self):
        points, quads = grid(5, 5)
        middle = (points[quads].mean(1) == 2.5).all(1)
        assert head_atlas.hole_fans(quads) == []
        (edges,) = head_atlas.hole_fans(quads[~middle])
        along = points[edges[:, 1]] - points[edges[:, 0]]
        inward = np.array([2.5, 2.5]) - points[edges[:, 0]]
        assert len(edges) == 4 and (np.cross(along, inward) > 0).all()

    def test_texels_are_densest_on_the_face(self):
        nose, ear, behind_the_ear, back = head_atlas.texel_density(
            np.array([[0, -40, 45], [85, -20, -70], [60, -20, -130], [0, 0, -180.0]])
        )
        assert nose == pytest.approx(1) and nose > ear > behind_the_ear >= back > 0.2

    def test_packing_keeps_islands_apart_and_in_proportion(self):
        first, quads = grid(8, 3)
        others = [grid(2, 2), grid(1, 3), grid(2, 1)]
        placed = packing.pack([(first, quads), *others], gutter=0.01)
        corners = [(uv.min(0), uv.max(0)) for uv in placed]
        assert placed[0][:, 1].max() == pytest.approx(0.99)
        for k, (low, high) in enumerate(corners):
            assert low.min() >= 0.01 - 1e-9 and high.max() <= 0.99 + 1e-9
            for other_low, other_high in corners[:k]:
                gap = np.maximum(other_low - high, low - other_high).max()
                assert gap >= 0.01
        for uv, (before, _) in zip(placed, [(first, quads), *others], strict=True):
            np.testing.assert_allclose(
                np.ptp(uv, axis=0) / np.ptp(before, axis=0), 0.98 / 8, rtol=1e-9
            )

    def test_packing_shrinks_what_does_not_fit(self):
        (first, quads), other = grid(8, 5), grid(4, 4)
        _, placed = packing.pack([(first, quads), other], gutter=0.01)
        assert 0.2 < np.ptp(placed[:, 0]) < 0.37
        with pytest.raises(packing.PackingError):
            packing.pack([grid(2, 5)], gutter=0.01)


class TestColours:
    def test_harmonic_functions_are_linear_on_a_strip(self):
        _, quads = grid(10, 2)
        links = head_albedo.neighbours(quads, 33)
        column = np.tile(np.arange(11), 3)
        known = np.flatnonzero((column == 0) | (column == 10))
        values = np.stack([column[known], 5 - column[known]], 1).astype(float)
        found = head_albedo.harmonic(links, known, values)
        np.testing.assert_allclose(found, np.stack([column, 5 - column], 1), atol=1e-12)


@pytest.mark.slow
def test_building_again_gives_the_committed_head(tmp_path):
    """Downloads the sources; about a minute and a half on two cores."""
    from facemodel.default_model import build_head
    from facemodel.morphable.head import DEFAULT_HEAD

    report = build_head(DEFAULT_MODEL, tmp_path / "head.npz", cache_dir=tmp_path / "sources")
    assert report.residual_mm == pytest.approx(0.519, abs=0.005)
    with np.load(DEFAULT_HEAD) as old, np.load(tmp_path / "head.npz") as new:
        assert set(old) == set(new) == set(head_npz.HEAD_ARRAYS)
        for name in ("face_digest", "quads", "regions", "level2_face_quads"):
            np.testing.assert_array_equal(old[name], new[name])
        for name, tolerance in (("mean", 0.01), ("identity", 0.01), ("uv", 0.01), ("albedo", 0.01)):
            np.testing.assert_allclose(
                old[name].astype(float), new[name].astype(float), atol=tolerance
            )
