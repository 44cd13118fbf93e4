"""Random scenes: a face, how it is seen, its light and what else is in the image."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from facemodel import camera, transforms
from facemodel.backend import Tensor
from facemodel.camera import Pose
from facemodel.morphable.geometry import FaceGeometry, decode, decode_landmarks
from facemodel.morphable.model import MorphableModel
from facemodel.rendering.shading import Light
from facemodel.synthesis import slices
from facemodel.synthesis.deformation import Deformations, make_deformations
from facemodel.synthesis.detector_errors import DetectorErrors
from facemodel.synthesis.distributions import Range
from facemodel.synthesis.effects import photograph
from facemodel.synthesis.effects.photograph import Effects
from facemodel.synthesis.expressions import ExpressionUnits, sample_expression
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.streams import RandomStreams

_PIXEL_SCALE = camera.CROP_SCALE


@dataclasses.dataclass(frozen=True, eq=False)
class SceneModel:
    """A face model as drawing scenes needs it.

    Attributes:
      geometry: tensors of the mesh.
      albedo_mean: [V * 3]; albedo_basis: [A, V * 3]; albedo_scores: [N, A] stored textures.
      skin_mean: [3] mean colour of the skin inside the face; skin_basis: [A, 3] its variation.
      tone_order: [N] stored textures by skin tone; tone_sizes: how many are in each group of
        slices.SKIN_TONE_EDGES_DEG that has any.
      normals: [V, 3] unit, of the mean face.
      corners: [478, 3] vertices of each landmark's triangle; barycentric: [478, 3] its place there.
      units: what the expression names say.
      source: the face model.
    """

    geometry: FaceGeometry
    albedo_mean: Any
    albedo_basis: Any
    albedo_scores: Any
    skin_mean: Any
    skin_basis: Any
    tone_order: Any
    tone_sizes: np.ndarray
    normals: Any
    corners: Any
    barycentric: Any
    units: ExpressionUnits
    source: MorphableModel

    @classmethod
    def create(cls, model: MorphableModel) -> SceneModel:
        """Puts a face model's arrays on the backend's device."""
        tones = _tones(model)
        return cls(
            geometry=FaceGeometry.create(model),
            albedo_mean=ops.convert_to_tensor(model.albedo_mean.reshape(-1)),
            albedo_basis=ops.convert_to_tensor(model.albedo.reshape(len(model.albedo), -1)),
            albedo_scores=ops.convert_to_tensor(model.albedo_scores),
            skin_mean=ops.convert_to_tensor(model.albedo_mean[model.inner_face].mean(0)),
            skin_basis=ops.convert_to_tensor(model.albedo[:, model.inner_face].mean(1)),
            tone_order=ops.convert_to_tensor(np.argsort(tones, kind="stable").astype(np.int32)),
            tone_sizes=np.unique(tones, return_counts=True)[1].astype(np.int32),
            normals=ops.convert_to_tensor(_mean_normals(model)),
            corners=ops.convert_to_tensor(model.triangles[model.landmark_triangles]),
            barycentric=ops.convert_to_tensor(model.landmark_barycentric),
            units=ExpressionUnits.from_names(model.expression_names),
            source=model,
        )

    @functools.cached_property
    def deformations(self) -> Deformations:
        """Displacements of the whole face, made when a recipe asks for them."""
        return make_deformations(self.source)

    @functools.cached_property
    def detector_errors(self) -> DetectorErrors:
        """How the detector errs with the face, read when a recipe asks for it."""
        return DetectorErrors.load()

    @property
    def version(self) -> str:
        """Name and version of the face model."""
        return f"{self.source.name} {self.source.version}"

    @property
    def identity_count(self) -> int:
        """I, how many identity coefficients a face has."""
        return self.geometry.prior_mean.shape[0] - self.units.count

    @property
    def albedo_count(self) -> int:
        """A, how many albedo coefficients a face has."""
        return self.albedo_basis.shape[0]


def _tones(model: MorphableModel) -> np.ndarray:
    """[N] the group of each stored texture's mean colour of the skin inside the face."""
    mean, basis = model.albedo_mean[model.inner_face], model.albedo[:, model.inner_face]
    colours = np.clip(mean.mean(0) + model.albedo_scores @ basis.mean(1), 0.0, 1.0)
    angles = slices.typology_angle_deg(ops.convert_to_tensor(colours.astype(np.float32)))
    return np.asarray(slices.bin_number(angles, slices.SKIN_TONE_EDGES_DEG))


def _mean_normals(model: MorphableModel) -> np.ndarray:
    """Those of mesh.vertex_normals in float32, to whose last bit records are the same."""
    first, second, third = (model.mean[model.triangles[:, k]] for k in range(3))
    areas = np.cross(second - first, third - first)
    normals = np.zeros_like(model.mean)
    for k in range(3):
        np.add.at(normals, model.triangles[:, k], areas)
    return normals / np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)


class Scene(NamedTuple):
    """Everything that decides what a batch of images shows.

    Attributes:
      coefficients: [B, n]; albedo_coefficients: [B, A].
      pose: in an image of config.image_size px.
      inverse_distance: [B] 1/mm, 0 = weak perspective.
      light: [B, ...]; ambient_gradient: [B, 3] camera frame.
      environment: [B, 9, 3] what surrounds the face, see lighting.py; None = the same everywhere.
      shadow: [B] how much light the face's own parts take away; None = none.
      deformation: [B, D] how much of each displacement the face has, of what the coefficients do
        not express; None = none.
      effects: what lies between the face and the file.
    """

    coefficients: Any
    albedo_coefficients: Any
    pose: Pose
    inverse_distance: Any
    light: Light
    ambient_gradient: Any
    environment: Any
    shadow: Any
    deformation: Any
    effects: Effects


def sample_scene(
    model: SceneModel, config: SynthesisConfig, rng: RandomStreams, *, size: int | None = None
) -> Scene:
    """Samples random scenes.

    Args:
      model: Scene model to sample faces from.
      config: Ranges to sample from.
      rng: Random streams; their batch size sets the number of scenes.
      size: Side of the images that will be rendered, px; config.image_size if None.

    Source: paper section 6.1.
    """
    gradient = config.ambient_gradient.from_normal(rng.normal("light/gradient", (3,)))
    coefficients, deformation = sample_face(model, config, rng)
    return Scene(
        coefficients=coefficients,
        albedo_coefficients=_sample_albedo(model, config, rng),
        pose=_sample_pose(model, config, rng),
        inverse_distance=config.inverse_distance.from_uniform(
            rng.uniform("camera/inverse_distance")
        ),
        light=_sample_light(config, rng),
        ambient_gradient=gradient,
        environment=sample_environment(config, rng) if config.environment.high > 0 else None,
        shadow=config.shadow.from_uniform(rng.uniform("light/shadow"))
        if config.shadow.high > 0
        else None,
        deformation=deformation,
        effects=photograph.sample_effects(config, rng, size=size or config.image_size),
    )


def sample_face(
    model: SceneModel, config: SynthesisConfig, rng: RandomStreams
) -> tuple[Tensor, Tensor | None]:
    """Draws faces: coefficients [B, n], and Scene.deformation."""
    coefficients = sample_coefficients(model, config, rng)
    if config.deformation.high <= 0:
        return coefficients, None
    deformation = _sample_deformation(config, rng, len(model.deformations.identity))
    identity = ops.matmul(deformation, model.deformations.identity)
    return coefficients + ops.pad(identity, [[0, 0], [0, model.units.count]]), deformation


def sample_coefficients(model: SceneModel, config: SynthesisConfig, rng: RandomStreams) -> Tensor:
    """Draws faces: [B, n], identity N(0, 1), expression weights in [0, 1]."""
    identity = rng.normal("identity", (model.identity_count,))
    return ops.concatenate([identity, sample_expression(model.units, config, rng)], -1)


def _sample_albedo(model: SceneModel, config: SynthesisConfig, rng: RandomStreams):
    """[B, A] coefficients: mixtures of two stored textures look like skin, Gaussians less so."""
    jitter = rng.normal("albedo/jitter", (model.albedo_count,))
    if not config.mixed_albedo:
        return jitter
    chosen = _choose_textures(model, config, rng)
    first, second = (ops.take(model.albedo_scores, chosen[:, k], axis=0) for k in range(2))
    share = rng.uniform("albedo/share", (1,))
    return share * first + (1.0 - share) * second + config.albedo_jitter * jitter


def _sample_deformation(config: SynthesisConfig, rng: RandomStreams, count: int):
    """[B, D] waves N(0, s^2), where faces differ in s, and the lower face in mm."""
    strength = config.deformation.from_uniform(rng.uniform("deformation/strength", (1,)))
    waves = strength * rng.normal("deformation", (count - 1,))
    return ops.concatenate(
        [waves, config.lower_face_mm.from_normal(rng.normal("deformation/lower_face", (1,)))], -1
    )


def _choose_textures(model: SceneModel, config: SynthesisConfig, rng: RandomStreams):
    """[B, 2] which stored textures are mixed."""
    begin, size = 0, model.albedo_scores.shape[0]
    if config.even_skin_tones:
        count = len(model.tone_sizes)
        group = ops.cast(ops.floor(rng.uniform("albedo/tone", (1,)) * count), "int32")
        begins = np.int32(np.cumsum(model.tone_sizes)) - model.tone_sizes
        begin, size = (ops.take(table, group) for table in (begins, model.tone_sizes))
    share = rng.uniform("albedo/chosen", (2,))
    place = begin + ops.cast(ops.floor(share * ops.cast(size, "float32")), "int32")
    return ops.take(model.tone_order, place) if config.even_skin_tones else place


def _sample_pose(model: SceneModel, config: SynthesisConfig, rng: RandomStreams) -> Pose:
    turns = rng.normal("pose/angles", (3,))
    spreads = (config.yaw_deg, config.pitch_deg, config.roll_deg)
    degrees = [spread.from_normal(turns[:, k]) for k, spread in enumerate(spreads)]
    if config.even_yaw_fraction:
        even = Range(config.yaw_deg.low, config.yaw_deg.high).from_uniform(
            rng.uniform("pose/even_yaw")
        )
        chosen = rng.uniform("pose/evenly") < config.even_yaw_fraction
        degrees[0] = ops.where(chosen, even, degrees[0])
    yaw, pitch, roll = (np.pi / 180 * angle for angle in degrees)
    rotation = transforms.euler_rotation(yaw, pitch, roll)
    scale = _PIXEL_SCALE * config.relative_scale.from_normal(rng.normal("pose/scale"))
    shift_mm = config.shift_mm.from_normal(rng.normal("pose/shift", (2,)))
    turned = ops.einsum("bij,j->bi", rotation, model.geometry.centre)[:, :2]
    flip = np.array([1.0, -1.0], np.float32)
    translation = config.image_size / 2.0 + scale[:, None] * (shift_mm - turned * flip)
    return Pose(rotation, scale, translation)


def _sample_light(config: SynthesisConfig, rng: RandomStreams) -> Light:
    """Directions uniform on the part of the sphere within light_angle_deg of the view."""
    cosine = [float(np.cos(np.deg2rad(angle))) for angle in config.light_angle_deg]
    z = cosine[0] + (cosine[1] - cosine[0]) * rng.uniform("light/angle")
    around = 2 * np.pi * rng.uniform("light/around")
    across = ops.sqrt(ops.maximum(1.0 - z * z, 0.0))
    direction = ops.stack([across * ops.cos(around), across * ops.sin(around), z], -1)
    strengths = rng.normal("light/strengths", (3,))
    kinds = (config.ambient, config.diffuse, config.specular)
    ambient, diffuse, specular = (kind.from_normal(strengths[:, k]) for k, kind in enumerate(kinds))
    return Light(ambient, diffuse, specular, direction)


def scene_vertices(model: SceneModel, scene: Scene) -> Tensor:
    """The scene's faces: [B, V, 3] mm, model space."""
    vertices = decode(model.geometry.fine, scene.coefficients)
    if scene.deformation is None:
        return vertices
    return vertices + ops.tensordot(scene.deformation, model.deformations.rest, 1)


def scene_inner_landmarks(model: SceneModel, scene: Scene) -> Tensor:
    """The 51 inner landmarks on the scene's faces: [B, 51, 3] mm, model space."""
    points = decode_landmarks(model.geometry, scene.coefficients)
    if scene.deformation is None:
        return points
    return points + ops.tensordot(scene.deformation, model.deformations.landmarks, 1)


def scene_colours(model: SceneModel, scene: Scene) -> Tensor:
    """Skin colours [B, V, 3], >= 0, with the gradient of the ambient light in them."""
    offsets = ops.matmul(scene.albedo_coefficients, model.albedo_basis)
    colours = ops.clip(model.albedo_mean + offsets, 0.0, 1.0)
    gradient = ops.einsum("bi,bij->bj", scene.ambient_gradient, scene.pose.rotation)
    gain = ops.maximum(1.0 + ops.einsum("bj,vj->bv", gradient, model.normals), 0.0)
    return ops.reshape(colours, (-1, *model.normals.shape)) * gain[..., None]


def scene_landmarks(model: SceneModel, vertices, pose: Pose, inverse_distance) -> Tensor:
    """Where the 478 landmarks truly are: [B, 478, 2] px."""
    corners = ops.take(vertices, model.corners, axis=1)
    points = ops.sum(corners * model.barycentric[:, :, None], 2)
    return camera.project(points, pose, inverse_distance=inverse_distance)[..., :2]


_HARMONIC_MEAN = 2.0 * float(np.sqrt(np.pi))
"""Coefficient of the first spherical harmonic whose irradiance is 1 everywhere."""
_BAND_SHARE = np.array([0, 1, 1, 1, 0.4, 0.4, 0.4, 0.4, 0.4], np.float32)[:, None]
"""Irradiance is smooth: matte surfaces average over half of their surroundings."""
_COLOUR_SHARE = 0.15


def sample_environment(config: SynthesisConfig, rng: RandomStreams) -> Tensor:
    """[B, 9, 3] coefficients of the irradiance of coloured surroundings, 1 in the mean."""
    strength = config.environment.from_uniform(rng.uniform("environment/strength", (1, 1)))
    grey = rng.normal("environment/grey", (9, 1))
    colour = _COLOUR_SHARE * rng.normal("environment/colour", (9, 3))
    mean = np.zeros((9, 1), np.float32)
    mean[0] = _HARMONIC_MEAN
    return mean + strength * _BAND_SHARE * (grey + colour) / 0.4886
