"""Synthetic photos of heads whose whole texture is known, also where the photo doesn't show it."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import cv2
import numpy as np
from keras import ops

from facemodel import camera
from facemodel.morphable.head import HeadModel
from facemodel.morphable.landmarks import IRISES
from facemodel.morphable.mesh import SKIN, vertex_normals
from facemodel.morphable.model import MorphableModel
from facemodel.rendering.lighting import irradiance, light_visibility
from facemodel.rendering.shading import SHININESS
from facemodel.synthesis.distributions import Normal
from facemodel.synthesis.effects.overlays import FacePlacement
from facemodel.synthesis.effects.photograph import Sensor, photograph
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import Scene, SceneModel, sample_scene, scene_landmarks
from facemodel.synthesis.streams import PhiloxStreams
from facemodel.texture import projection
from facemodel.texture.skin_model import SkinModel
from pipeline.evaluation.texture_detail import sample_detail

SIDE = 448
"""Side of the photos, px."""
SCALE = 2.0
"""Of the faces, relative to the network's crop: about 1.8 px/mm, some 350 px for a face."""
SUPERSAMPLE = 2
DETAIL_SEED = 71


@dataclasses.dataclass(frozen=True, eq=False)
class TextureTruth:
    """A photo and what a texture recovered from it should be.

    Attributes:
      photo: uint8 [S, S, 3] sRGB.
      coefficients: [n] identity, then expression.
      vertices: [V, 3] mm of the head mesh.
      pose: rotation [3, 3], scale px/mm and translation [2] px.
      albedo: [N, 3] sRGB at the atlas's texels.
      lit: [N, 3] sRGB at the texels: the albedo under the photo's light, through its camera,
        without highlights, also where the photo doesn't show it.
      hidden: [N] bool, texels of the face's skin that the photo doesn't show.
      shown: [N] bool, texels of the face's skin that it shows well, but for hair and other things.
    """

    photo: np.ndarray
    coefficients: np.ndarray
    vertices: np.ndarray
    pose: SimpleNamespace
    albedo: np.ndarray
    lit: np.ndarray
    hidden: np.ndarray
    shown: np.ndarray


class TruthRenderer:
    """Makes photos of random heads with known textures.

    Args:
      model: the face model.
      head: the head that goes with it.
      size: Side of the textures, px.
    """

    def __init__(self, model: MorphableModel, head: HeadModel, *, size: int):
        mesh = head.mesh(1)
        self._model, self._head, self._operator = model, head, mesh.operator
        self.skin = SkinModel.from_head(mesh, mesh.operator @ head.mean, model)
        self.atlas, self.size = self.skin.atlas(size), size
        self._scenes = SceneModel.create(model)
        self.places = self.atlas.from_vertices @ self.skin.positions
        face = (self.skin.regions == SKIN) & (np.arange(len(mesh.regions)) < mesh.face_count)
        self.face_skin = self.atlas.from_vertices @ face.astype(np.float32) > 0.99

    def render(self, seed: int, index: int, *, yaw_deg: float) -> TextureTruth:
        """Renders sample `index` of a seed, a face of the lifelike recipe turned by yaw_deg."""
        config = SynthesisConfig.lifelike(
            image_size=SIDE,
            yaw_deg=Normal(yaw_deg, 0.0, -89.0, 89.0),
            even_yaw_fraction=0.0,
            inverse_distance=SynthesisConfig().inverse_distance,
            relative_scale=Normal(SCALE, 0.1, 0.85 * SCALE, 1.15 * SCALE),
        )
        scene = sample_scene(self._scenes, config, PhiloxStreams(seed, [index]), size=SIDE)
        rng = np.random.default_rng([DETAIL_SEED, seed, index])
        coefficients = np.asarray(scene.coefficients)[0]
        vertices = (self._operator @ self._head.control(coefficients)).astype(np.float32)
        pose = SimpleNamespace(
            **{name: np.asarray(value)[0] for name, value in scene.pose._asdict().items()}
        )
        detail = sample_detail(self.places, self.skin, rng)
        colours = self.atlas.from_vertices @ self._albedo(scene).astype(np.float32)
        albedo = np.clip(colours * np.exp(detail), 0.01, 1.0)
        light = self._light(scene, vertices)
        view = projection.view_of(
            np.zeros((SIDE, SIDE, 3), np.uint8), vertices, self.skin.triangles, pose,
            px_per_mm=10.0,
        )  # fmt: skip
        visible = self._visible(view)
        lit = expose(albedo * (self.atlas.from_vertices @ light), scene.effects.sensor)
        return TextureTruth(
            photo=self._photo(scene, vertices, pose, albedo, light),
            coefficients=coefficients, vertices=vertices, pose=pose, albedo=albedo, lit=lit,
            hidden=self.face_skin & (visible <= 0.0), shown=self.face_skin & (visible > 0.5),
        )  # fmt: skip

    def _visible(self, view) -> np.ndarray:
        covered = projection.footprint(view, self.skin.triangles)
        columns = [view.pixels, view.depth[:, None], view.normals[:, 2:]]
        at = self.atlas.from_vertices @ np.concatenate(columns, 1).astype(np.float32)
        return projection.visible(view, covered, (at[:, :2], at[:, 2], at[:, 3]))

    def _albedo(self, scene: Scene) -> np.ndarray:
        """[V, 3] of the head; outside the face the mean in the face's tone."""
        own = self.skin.albedo_mean.astype(np.float64, copy=True)
        count = self.skin.face_count
        own[:count] = self._model.albedo_rgb(np.asarray(scene.albedo_coefficients)[0])
        skin = self.skin.regions[:count] == SKIN
        tone = own[:count][skin].mean(0) / self.skin.albedo_mean[:count][skin].mean(0)
        own[count:] *= tone
        return np.clip(own, 0.02, 1.0)

    def _light(self, scene: Scene, vertices: np.ndarray) -> np.ndarray:
        """[V, 3] matte light at the vertices."""
        rotation = np.asarray(scene.pose.rotation)[0]
        normals = vertex_normals(vertices, self.skin.triangles) @ rotation.T
        surround = np.asarray(irradiance(scene.environment, normals[None].astype(np.float32)))[0]
        direction = np.asarray(scene.light.direction)[0]
        strengths = (scene.light.ambient, scene.light.diffuse)
        ambient, diffuse = (float(value[0]) for value in strengths)
        facing = np.maximum(normals @ direction, 0.0) * self._reached(scene, vertices)
        gradient = np.asarray(scene.ambient_gradient)[0] @ rotation
        mean_normals = vertex_normals(self.skin.positions, self.skin.triangles)
        gain = np.maximum(1.0 + mean_normals @ gradient, 0.0)
        light: np.ndarray = (ambient * surround + diffuse * facing[:, None]) * gain[:, None]
        return light.astype(np.float32)

    def _reached(self, scene: Scene, vertices: np.ndarray) -> np.ndarray:
        """[V] how much of the directional light reaches the vertices."""
        direction = ops.einsum("bij,bi->bj", scene.pose.rotation, scene.light.direction)
        face = vertices[None, : self.skin.face_count]
        lit = light_visibility(
            ops.convert_to_tensor(face), self._scenes.geometry.centre, direction, scene.shadow
        )
        rest = np.ones(len(vertices) - self.skin.face_count)
        return np.concatenate([np.asarray(lit)[0], rest])

    def _photo(self, scene: Scene, vertices, pose, albedo, light) -> np.ndarray:
        """uint8 [S, S, 3] the head with its texture, photographed with the recipe's effects."""
        large = SUPERSAMPLE * SIDE
        turned = vertices @ pose.rotation.T
        pixels = turned[:, :2] * (pose.scale, -pose.scale) + pose.translation
        screen = np.concatenate([SUPERSAMPLE * pixels, turned[:, 2:]], 1).astype(np.float32)
        normals = vertex_normals(turned, self.skin.triangles)
        view = projection.View(
            np.zeros((large, large, 3), np.float32), screen[:, :2], screen[:, 2], normals,
            SUPERSAMPLE * float(pose.scale),
        )  # fmt: skip
        covered = projection.footprint(view, self.skin.triangles)
        attributes = covered.image(np.concatenate([normals, light], 1))
        texture = self.atlas.spread(albedo.astype(np.float32))
        colours = np.zeros((large * large, 3), np.float32)
        colours[covered.pixel] = projection.sample(texture, self._places_in_texture(covered))
        image = colours.reshape(large, large, 3) * attributes[..., 3:]
        image += _highlight(attributes[..., :3], scene)[..., None]
        mask = np.isfinite(covered.depth).astype(np.float32)
        return self._photographed(scene, np.clip(image * mask[..., None], 0.0, 1.0), mask)

    def _places_in_texture(self, covered) -> np.ndarray:
        """[P, 2] px of the texture that the pixels of a footprint see."""
        triangle = self.skin.uv_triangles[covered.triangle]
        uv = (self.skin.uv[triangle] * covered.weights[..., None]).sum(1)
        places: np.ndarray = uv * (self.size, -self.size) + (0, self.size)
        return places

    def _photographed(self, scene: Scene, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        small = (SIDE, SIDE)
        cover = cv2.resize(mask, small, interpolation=cv2.INTER_AREA)
        face = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
        face = face / np.maximum(cover, 1e-3)[..., None]
        landmarks = scene_landmarks(
            self._scenes, self._model.vertices(scene.coefficients), scene.pose,
            scene.inverse_distance,
        )  # fmt: skip
        centre = ops.reshape(self._scenes.geometry.centre, (1, 1, 3))
        middle = camera.project(centre, scene.pose)[:, 0, :2]
        eyes = ops.take(landmarks, np.asarray(IRISES), axis=1)
        place = FacePlacement(middle, scene.pose.scale, scene.pose.rotation, eyes)
        solid = (cover > 0.5).astype(np.float32)
        face = (face * solid[..., None]).astype(np.float32)
        result = photograph(face[None], solid[None], scene.effects, place)
        return np.round(255.0 * np.asarray(result)[0]).astype(np.uint8)


def _highlight(normals: np.ndarray, scene: Scene) -> np.ndarray:
    """[h, w] the white highlight of shading.phong."""
    direction = np.asarray(scene.light.direction)[0]
    unit = normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-6)
    facing = np.maximum(unit @ direction, 0.0)
    mirrored = np.maximum(2.0 * facing * unit[..., 2] - direction[2], 0.0)
    strength = float(scene.light.specular[0])
    result: np.ndarray = strength * np.where(facing > 0.0, mirrored**SHININESS, 0.0)
    return result


def expose(colours: np.ndarray, sensor: Sensor) -> np.ndarray:
    """What photograph's camera makes of colours [N, 3], without grain."""
    if sensor.white is not None:
        colours = colours * np.asarray(sensor.white)[0]
    if sensor.gamma is not None:
        colours = np.clip(colours, 1e-4, 1.0) ** float(sensor.gamma[0])
    if sensor.gain is not None:
        colours = colours * float(sensor.gain[0]) + float(sensor.offset[0])
    result: np.ndarray = np.clip(colours, 0.0, 1.0)
    return result
