"""Scenes of the raycast set: a deformed head, its skin, hair, light and camera, from a seed.

A scene file (.npz) has all that blender/render.py reads; a truth file has what the evaluation
compares with.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib

import numpy as np

from facemodel.files import write_arrays
from facemodel.morphable.head import HeadModel
from facemodel.morphable.landmarks import embedded_points
from facemodel.morphable.mesh import SKIN, vertex_normals
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis import scenes, slices
from facemodel.synthesis.distributions import Normal
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.streams import PhiloxStreams
from pipeline.evaluation.raycast import clothing, environment, hair
from pipeline.evaluation.raycast.deformation import displace, sample_deformation
from pipeline.evaluation.raycast.skin import SkinPainter
from pipeline.evaluation.raycast.strands import join

SIDE = 384
"""Of the pictures, px."""
DISTANCE_MM = (350.0, 2500.0)
RELATIVE_SCALE = 1.25
"""Of the faces: about 1.1 px/mm at the model's origin, 200 px from brow to chin and above."""
GLASSES_FRACTION = 0.12
LUMA_TARGET, LUMA_SD = 0.6, 0.06
"""Mean luma of a face after exposure and tone curve, as measured on crops of real photos."""
MESH, SCENES, TRUTH, PICTURES = "mesh.npz", "scenes", "truth", "pictures"
"""Names below the folder of a set."""
_FINE, _TOLD = 2, 1


@dataclasses.dataclass(frozen=True, eq=False)
class SceneMaker:
    """Makes scenes of a face model that has a head."""

    model: MorphableModel
    head: HeadModel

    @classmethod
    def load(cls) -> SceneMaker:
        """For the default face model."""
        return cls(MorphableModel.load(level=_TOLD), HeadModel.load())

    @functools.cached_property
    def _painter(self) -> SkinPainter:
        return SkinPainter(self.model, self.head)

    @functools.cached_property
    def _scenes(self) -> scenes.SceneModel:
        return scenes.SceneModel.create(self.model)

    @functools.cached_property
    def _means(self) -> dict[int, np.ndarray]:
        return {k: self.head.mesh(k).operator @ self.head.mean for k in (_TOLD, _FINE)}

    @functools.cached_property
    def _eyes(self) -> dict[int, list[np.ndarray]]:
        """Vertices of each eyeball by level."""
        names = [k for k, name in enumerate(self.model.region_names) if name.startswith("eye")]
        return {
            level: [np.flatnonzero(self.head.mesh(level).regions == k) for k in names]
            for level in (_TOLD, _FINE)
        }

    @functools.cached_property
    def _rim(self) -> np.ndarray:
        return clothing.neck_rim(self.head.mesh(_FINE).triangles, self._means[_FINE])

    def mesh(self) -> dict[str, np.ndarray]:
        """What all scenes share."""
        mesh = self.head.mesh(_FINE)
        return {
            "triangles": mesh.triangles, "uv": mesh.uv, "uv_triangles": mesh.uv_triangles,
            "regions": mesh.regions, "region_names": np.array(self.model.region_names),
        }  # fmt: skip

    def make(self, seed: int, index: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The scene and the truth of a face; they depend on (seed, index) alone."""
        rng = np.random.default_rng([seed, index])
        sampled = scenes.sample_scene(self._scenes, recipe(), PhiloxStreams(seed, [index]))
        coefficients, albedo = (
            np.asarray(values)[0] for values in (sampled.coefficients, sampled.albedo_coefficients)
        )
        deformation = sample_deformation(rng)
        told, fine = (
            displace(
                deformation, self.head.vertices(coefficients, level), self._means[level],
                self._eyes[level],
            )
            for level in (_TOLD, _FINE)
        )  # fmt: skip
        camera = _camera(rng, sampled.pose)
        truth = self._truth(coefficients, told, camera)
        scene = self._geometry(rng, fine, told, camera)
        grown = hair.sample_hair(rng, self._hair_surface(told, camera["rotation"]))
        scene |= _strand_arrays("hair", grown.strands, grown.colour)
        scene |= _strand_arrays("brows", grown.brows, grown.brow_colour)
        mean = self._landmarks(self.model.mean)
        painted = self._painter.paint(rng, albedo, mean, (grown.scalp, grown.colour))
        scene |= {"albedo": painted.albedo, "height": painted.height}
        scene |= _light(rng) | _skin(rng) | self._development(rng, painted.luma, told, camera)
        wearing = rng.random() < GLASSES_FRACTION
        frame = clothing.glasses(rng, self._landmarks(told))
        frame = frame if wearing else join([])
        scene |= _strand_arrays("glasses", frame, rng.uniform(0.005, 0.3) * np.ones(3))
        truth |= {
            "tone_deg": _tone(albedo, self.model), "style": np.array(grown.style),
            "beard": np.array(grown.beard), "glasses": np.array(wearing),
            "seed": np.array(seed), "index": np.array(index),
        }  # fmt: skip
        return scene, truth

    def _landmarks(self, vertices: np.ndarray) -> np.ndarray:
        """[478, 3] mm, of a head or a face."""
        return embedded_points(
            vertices, self.model.triangles, self.model.landmark_triangles,
            self.model.landmark_barycentric,
        )  # fmt: skip

    def _truth(self, coefficients, told: np.ndarray, camera: dict) -> dict[str, np.ndarray]:
        weights = np.clip(coefficients[self.model.identity_count :], 0, 1)
        face = told[: self.model.vertex_count]
        return {
            "vertices": face.astype(np.float32), "coefficients": coefficients,
            "landmarks_px": project(self._landmarks(face), camera).astype(np.float32),
            "expression": weights.sum(), **camera,
        }  # fmt: skip

    def _geometry(self, rng, fine, told, camera) -> dict[str, np.ndarray]:
        rim = fine[self._rim] @ camera["rotation"].T
        forward = camera["rotation"] @ np.array([0, 0, 1.0])
        yaw = rng.uniform(0.2, 0.8) * np.arctan2(-forward[0], forward[2])
        vertices, triangles = clothing.shoulders(rng, rim, yaw)
        colour = rng.uniform(0.02, 0.7) * np.exp(rng.normal(0, 0.25, 3))
        return {
            "vertices": fine, "shoulders": vertices, "shoulder_triangles": triangles,
            "shirt": np.clip(colour, 0.01, 0.8), "side": np.array(SIDE),
            "hair_roughness": rng.uniform(0.25, 0.5), **camera,
        }  # fmt: skip

    def _hair_surface(self, told: np.ndarray, rotation: np.ndarray) -> hair.HeadSurface:
        mesh = self.head.mesh(_TOLD)
        skin = (mesh.regions == SKIN)[mesh.triangles].all(1)
        return hair.HeadSurface(
            vertices=told, normals=vertex_normals(told, mesh.triangles),
            places=self._means[_TOLD], triangles=mesh.triangles[skin],
            landmarks=self._landmarks(told), mean_landmarks=self._landmarks(self.model.mean),
            down=rotation.T @ np.array([0.0, -1.0, 0.0]),
        )  # fmt: skip

    def _development(self, rng, luma: float, told, camera) -> dict[str, np.ndarray]:
        """What a camera makes of the light: exposure, tone curve, noise, JPEG."""
        face = self.model.vertex_count
        normals = vertex_normals(told[:face], self.model.triangles) @ camera["rotation"].T
        towards = np.array([0, 0, camera["distance"]]) - told[:face] @ camera["rotation"].T
        seen = (normals * towards).sum(1) > 0.15 * np.linalg.norm(towards, axis=1)
        chosen = np.flatnonzero(seen & self.model.inner_face & (self.model.regions == SKIN))
        metered = project(told[chosen[:: max(1, len(chosen) // 1500)]], camera)
        target = rng.normal(LUMA_TARGET, LUMA_SD) + 0.3 * (luma - 0.45)
        return {
            "metered_px": metered.astype(np.float32),
            "target_luma": np.clip(target, 0.4, 0.8),
            "contrast": rng.uniform(-0.5, 0.2), "saturation": rng.uniform(1.0, 1.35),
            "white": np.exp(rng.normal(0, 0.04, 3)), "white_share": rng.uniform(0.5, 1.0),
            "noise": np.array([rng.uniform(0, 0.012), rng.uniform(0, 0.008)]),
            "blur_px": rng.uniform(0.25, 0.9), "sharpen": rng.uniform(0.0, 0.6),
            "jpeg_quality": rng.integers(60, 96), "noise_seed": rng.integers(2**31),
        }  # fmt: skip


def recipe() -> SynthesisConfig:
    """The lifelike recipe's people and poses in pictures of SIDE px."""
    scale = Normal(RELATIVE_SCALE, 0.08, 0.8 * RELATIVE_SCALE, 1.2 * RELATIVE_SCALE)
    return SynthesisConfig.lifelike(image_size=SIDE, relative_scale=scale)


def project(points: np.ndarray, camera: dict[str, np.ndarray]) -> np.ndarray:
    """Points [N, 3] mm in model space -> [N, 2] px of a perspective picture."""
    seen = points @ camera["rotation"].T
    away = camera["distance"] - seen[:, 2:]
    return camera["focal_px"] * seen[:, :2] * (1, -1) / away + camera["principal"]


def _camera(rng, pose) -> dict[str, np.ndarray]:
    """Rotation [3, 3], distance in mm, focal length and principal point [2] in px."""
    low, high = np.log(DISTANCE_MM)
    distance = np.exp(rng.uniform(low, high))
    return {
        "rotation": np.asarray(pose.rotation, np.float64)[0],
        "distance": np.array(distance),
        "focal_px": np.array(distance * float(pose.scale[0])),
        "principal": np.asarray(pose.translation, np.float64)[0],
    }


def _light(rng) -> dict[str, np.ndarray]:
    """Surroundings and 0 to 2 lamps: place [L, 3] mm, side mm, strength, colour [L, 3]."""
    count = int(rng.choice(3, p=(0.4, 0.35, 0.25)))
    around, up = rng.uniform(-1.5, 1.5, count), rng.uniform(-0.3, 1.2, count)
    away = rng.uniform(600, 2500, count)
    way = np.stack([np.sin(around) * np.cos(up), np.sin(up), np.cos(around) * np.cos(up)], 1)
    warm = rng.uniform(0, 0.6, (count, 1))
    return {
        "environment": environment.sample_environment(rng).astype(np.float16),
        "lamp_places": away[:, None] * way, "lamp_sides": np.exp(rng.uniform(3.5, 6.9, count)),
        "lamp_strengths": np.exp(rng.uniform(np.log(0.2), np.log(3.0), count)),
        "lamp_colours": np.array([1.0, 0.75, 0.5]) ** warm,
    }  # fmt: skip


def _skin(rng) -> dict[str, np.ndarray]:
    return {
        "roughness": rng.uniform(0.35, 0.6), "specular": rng.uniform(0.3, 0.6),
        "scatter_mm": rng.uniform(1.0, 2.5), "bump": rng.uniform(0.6, 1.2),
    }  # fmt: skip


def _strand_arrays(name: str, strands, colour: np.ndarray) -> dict[str, np.ndarray]:
    return {
        f"{name}_sizes": strands.sizes, f"{name}_points": strands.points,
        f"{name}_radius": strands.radius, f"{name}_colour": np.asarray(colour, np.float64),
    }  # fmt: skip


def _tone(albedo: np.ndarray, model: MorphableModel) -> np.ndarray:
    """Individual typology angle of the inner face's mean colour, degrees."""
    colour = model.albedo_rgb(albedo)[model.inner_face].mean(0)
    return np.asarray(slices.typology_angle_deg(colour[None].astype(np.float32)))[0]


def write(folder: pathlib.Path, *, count: int, seed: int, first: int = 0):
    """Writes scenes and truths that are not there yet; yields the index of each face.

    Args:
      folder: of the set; made if missing.
      count: how many faces there shall be.
      seed: Random seed.
      first: Index of the first face.
    """
    for name in (SCENES, TRUTH):
        (folder / name).mkdir(parents=True, exist_ok=True)
    maker = SceneMaker.load()
    write_arrays(folder / MESH, maker.mesh())
    for index in range(first, first + count):
        name = f"{index:05d}.npz"
        if not (folder / TRUTH / name).is_file():
            scene, truth = maker.make(seed, index)
            write_arrays(folder / SCENES / name, scene)
            write_arrays(folder / TRUTH / name, truth)
        yield index
