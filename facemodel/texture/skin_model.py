"""What texture recovery knows of a mesh before it sees a photo; the same for every face."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from facemodel.colour import LUMA
from facemodel.morphable.mesh import SKIN
from facemodel.morphable.model import MorphableModel
from facemodel.texture.atlas import Atlas, make_atlas

BROWS_MM, BROW_HALF_MM = (
    ((6.0, 15.0, 29.0, 42.0, 52.0, 66.0), (16.0, 18.0, 21.0, 23.0, 19.0, 8.0)),
    9.0,
)
"""Distances from the middle and heights of the brows on the mean shape, and half their width."""
FIT_SPACING_MM = 6.0
"""Side of the cells of which each gives one vertex to the fits."""


@dataclasses.dataclass(frozen=True, eq=False)
class SkinModel:
    """A mesh with its texture coordinates and the statistics of its colours.

    Attributes:
      positions: [V, 3] mm, the mean shape, model space.
      triangles: [T, 3].
      uv: [U, 2] in [0, 1], v up.
      uv_triangles: [T, 3] into uv.
      regions: [V] numbers as MorphableModel.regions.
      region_names: their names.
      face_count: F, so many of the first vertices are the face model's.
      albedo_mean: [V, 3] sRGB in [0, 1].
      albedo: [A, F, 3] sRGB per standard deviation.
    """

    positions: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    regions: np.ndarray
    region_names: tuple[str, ...]
    face_count: int
    albedo_mean: np.ndarray
    albedo: np.ndarray

    @classmethod
    def from_head(cls, mesh, positions: np.ndarray, model: MorphableModel) -> SkinModel:
        """Takes the mesh of a head at the level of the face model.

        Args:
          mesh: morphable.head.HeadMesh.
          positions: [V, 3] mm, its mean shape.
          model: the face model whose vertices come first.
        """
        return cls(
            positions=np.asarray(positions, np.float32),
            triangles=mesh.triangles,
            uv=mesh.uv,
            uv_triangles=mesh.uv_triangles,
            regions=mesh.regions,
            region_names=model.region_names,
            face_count=mesh.face_count,
            albedo_mean=mesh.albedo_mean,
            albedo=model.albedo,
        )

    @classmethod
    def from_face(cls, model: MorphableModel) -> SkinModel:
        """Takes the face model's own mesh, with one texture coordinate for each vertex."""
        return cls(
            positions=model.mean,
            triangles=model.triangles,
            uv=model.uv,
            uv_triangles=model.triangles,
            regions=model.regions,
            region_names=model.region_names,
            face_count=len(model.mean),
            albedo_mean=model.albedo_mean,
            albedo=model.albedo,
        )

    def in_region(self, *names: str) -> np.ndarray:
        """[V] bool, whether a vertex is in one of these regions; unknown names are in none."""
        numbers = [k for k, name in enumerate(self.region_names) if name in names]
        return np.isin(self.regions, numbers)

    def atlas(self, size: int) -> Atlas:
        """The texels of a texture of side `size` px; kept for the next photo."""
        if size not in self._atlases:
            self._atlases[size] = make_atlas(
                self.triangles, self.uv, self.uv_triangles,
                size=size, vertex_count=len(self.positions),
            )  # fmt: skip
        return self._atlases[size]

    def texels_per_mm(self, size: int) -> float:
        """Resolution in the middle of the face of a texture of side `size` px."""
        inner = self.core[self.triangles].min(1) > 0.9
        at, to = self.uv[self.uv_triangles[inner]], self.positions[self.triangles[inner]]
        texels, length = (
            np.linalg.norm(corners[:, 0] - corners[:, 1], axis=-1).sum() for corners in (at, to)
        )
        return float(size * texels / max(length, 1e-6))

    @functools.cached_property
    def _atlases(self) -> dict[int, Atlas]:
        return {}

    @functools.cached_property
    def albedo_sd(self) -> np.ndarray:
        """[V] how much colours vary beside the tone of the whole skin, sRGB; 0 outside the face."""
        tone = self.albedo[:, self.regions[: self.face_count] == SKIN].mean(1)
        own = np.sqrt(((self.albedo - tone[:, None]) ** 2).sum(0).mean(-1))
        return np.concatenate([own, np.zeros(len(self.positions) - self.face_count)])

    @functools.cached_property
    def core(self) -> np.ndarray:
        """[V] in [0, 1], the middle of the face, which hair and background rarely cover."""
        x, y, _ = self.positions.T
        share = np.clip((1.05 - np.hypot(x / 62.0, (y + 33.0) / 72.0)) / 0.2, 0.0, 1.0)
        inside = (np.arange(len(x)) < self.face_count) & (self.positions[:, 2] > -25.0)
        result: np.ndarray = share * share * (3.0 - 2.0 * share) * inside
        return result

    @functools.cached_property
    def below_eyes(self) -> np.ndarray:
        """[V] bool, skin below and beside the eyes, which glasses cover and brows do not."""
        x, y, z = self.positions.T
        ring = np.abs(np.hypot(np.abs(x) - 32.0, y + 12.0) - 15.0) < 6.0
        result: np.ndarray = ring & (y < -14.0) & (z > 0.0) & (self.regions == SKIN)
        return result

    @functools.cached_property
    def behind_glasses(self) -> np.ndarray:
        """[V] bool, what large glasses cover, the eyes with it."""
        x, y, z = self.positions.T
        result: np.ndarray = (np.hypot((np.abs(x) - 33.0) / 42.0, (y + 8.0) / 33.0) < 1.0) & (
            z > -40.0
        )
        return result

    @functools.cached_property
    def brows(self) -> np.ndarray:
        """[B] vertices of the brows."""
        x, y, z = self.positions.T
        across, up = BROWS_MM
        arc = np.interp(np.abs(x), across, up)
        near = (np.abs(x) > across[0]) & (np.abs(x) < across[-1]) & (np.abs(y - arc) < BROW_HALF_MM)
        return np.flatnonzero(near & (z > 0.0) & (self.regions == SKIN))

    @functools.cached_property
    def _around_brows(self) -> tuple[np.ndarray, np.ndarray]:
        """[B, 24] skin vertices around each of the brows, and their weights."""
        skin = np.setdiff1d(np.flatnonzero(self.regions == SKIN), self.brows)
        distance, found = cKDTree(self.positions[skin]).query(self.positions[self.brows], 24)
        weights = 1.0 / distance**2
        return skin[found], weights / weights.sum(1, keepdims=True)

    def without_brows(self, values: np.ndarray) -> np.ndarray:
        """Values [V, 3] at the vertices with those of the skin around the brows in their place."""
        around, weights = self._around_brows
        result = values.copy()
        result[self.brows] = np.einsum("bk,bkc->bc", weights, values[around])
        return result

    @functools.cached_property
    def skin_prior(self) -> np.ndarray:
        """[V] how probable it is that a photo shows skin at a vertex, by its place alone."""
        x, y, z = self.positions.T
        face = np.arange(len(x)) < self.face_count
        rim = np.where(y > 25.0, 0.45, 0.6)
        rest = np.where(face, rim, np.where((y > 45.0) | (z < -70.0), 0.01, 0.15))
        middle = self.core * np.clip((38.0 - y) / 20.0, 0.0, 1.0)  # a fringe reaches the brows
        prior = middle * 0.97 + (1.0 - middle) * rest
        return np.where(self.regions == SKIN, prior, 0.97)

    @functools.cached_property
    def mirror(self) -> np.ndarray:
        """[V] the vertex of the same region nearest to the mirrored place on the mean shape."""
        partner = np.arange(len(self.positions))
        twins = {k: k for k in range(len(self.region_names))}
        names = self.region_names
        if "eye_l" in names and "eye_r" in names:
            left, right = names.index("eye_l"), names.index("eye_r")
            twins |= {left: right, right: left}
        for region, twin in twins.items():
            own, other = (np.flatnonzero(self.regions == k) for k in (region, twin))
            if len(own) and len(other):
                _, found = cKDTree(self.positions[other]).query(self.positions[own] * (-1, 1, 1))
                partner[own] = other[found]
        return partner

    @functools.cached_property
    def skin_edges(self) -> np.ndarray:
        """[E, 2] pairs of neighbouring skin vertices, each once."""
        pairs = np.concatenate([self.triangles[:, [0, 1]], self.triangles[:, [1, 2]],
                                self.triangles[:, [2, 0]]])  # fmt: skip
        pairs = np.unique(np.sort(pairs, 1), axis=0)
        skin = self.regions == SKIN
        return pairs[skin[pairs].all(1)]

    @functools.cached_property
    def spacing(self) -> np.ndarray:
        """[V] mm, mean distance from each skin vertex to its neighbours; 0 without any."""
        start, end = self.skin_edges.T
        length = np.linalg.norm(self.positions[start] - self.positions[end], axis=1)
        both = np.concatenate([start, end])
        count = np.bincount(both, minlength=len(self.positions))
        total = np.bincount(both, np.tile(length, 2), len(self.positions))
        return total / np.maximum(count, 1)

    @functools.cached_property
    def fit_vertices(self) -> np.ndarray:
        """[M] skin vertices of the face, evenly spread, that light and albedo are fitted to."""
        skin = np.flatnonzero(self.regions[: self.face_count] == SKIN)
        cells = np.floor(self.positions[skin] / FIT_SPACING_MM).astype(int)
        _, first = np.unique(cells, axis=0, return_index=True)
        return np.sort(skin[first])

    @functools.cached_property
    def fit_basis(self) -> np.ndarray:
        """[M, 3, A] the albedo basis at fit_vertices."""
        return np.ascontiguousarray(np.moveaxis(self.albedo[:, self.fit_vertices], 0, -1))

    @functools.cached_property
    def gradients(self) -> sparse.csr_matrix:
        """[E, V] differences along skin_edges: end minus start."""
        count = len(self.skin_edges)
        rows = np.repeat(np.arange(count), 2)
        values = np.tile(np.array([-1.0, 1.0]), count)
        shape = (count, len(self.positions))
        return sparse.csr_matrix((values, (rows, self.skin_edges.ravel())), shape=shape)

    @functools.cached_property
    def skin_laplacian(self) -> sparse.csc_matrix:
        """[K, K] of the K skin vertices: products of gradients."""
        gradient = self.gradients[:, np.flatnonzero(self.regions == SKIN)]
        return (gradient.T @ gradient).tocsc()

    @functools.cached_property
    def grey(self) -> SkinModel:
        """The same mesh with the luma of all colours, for photos without any."""

        def luma(colours: np.ndarray) -> np.ndarray:
            return np.repeat((colours @ np.array(LUMA, np.float32))[..., None], 3, -1)

        model = dataclasses.replace(
            self, albedo_mean=luma(self.albedo_mean), albedo=luma(self.albedo)
        )
        vars(model)["_atlases"] = self._atlases
        return model
