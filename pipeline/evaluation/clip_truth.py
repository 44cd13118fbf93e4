"""Synthetic clips of one person whose pose, expression and shape are known in every frame."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping

import cv2
import numpy as np

from facemodel.morphable.head import ARKIT_PREFIX, HeadModel
from facemodel.morphable.landmarks import IBUG_68, embedded_points
from facemodel.morphable.mesh import vertex_normals
from facemodel.morphable.model import MorphableModel
from facemodel.synthesis.recipes import SynthesisConfig
from facemodel.synthesis.scenes import SceneModel, sample_scene
from facemodel.synthesis.streams import PhiloxStreams
from facemodel.texture import projection
from facemodel.texture.skin_model import SkinModel
from facemodel.transforms import euler_rotation
from pipeline.evaluation.texture_detail import sample_detail

WIDTH, HEIGHT, FPS = 640, 480, 25.0
SCALE = 1.25
"""px/mm of the face, which makes it some 220 px high."""
DISTANCE_MM = 700.0
"""From the camera to the head: an arm's length."""
GRAIN = 0.012
"""Standard deviation of the camera's grain, new in each frame."""
TEXTURE_PX = 512
_SUPERSAMPLE = 2
_LIGHT = np.array([-0.35, 0.45, 0.82])


@dataclasses.dataclass(frozen=True)
class Motion:
    """What the person does; times in seconds.

    Attributes:
      yaw_deg: amplitude of the head's turn to both sides.
      turn_s: how long a turn there and back takes.
      blinks_s: when each blink has the eyes closed.
      jaw_s: beginning and end of the time in which the person speaks.
    """

    yaw_deg: float = 30.0
    turn_s: float = 4.0
    blinks_s: tuple[float, ...] = (0.6, 2.1, 3.3, 4.9)
    jaw_s: tuple[float, float] = (1.0, 4.4)

    def angles_deg(self, time_s: float) -> tuple[float, float, float]:
        """Yaw, pitch and roll."""
        phase = 2 * np.pi * time_s / self.turn_s
        return (
            float(self.yaw_deg * np.sin(phase)),
            float(5.0 * np.sin(0.7 * phase + 0.4)),
            float(4.0 * np.sin(0.9 * phase + 1.1)),
        )

    def weights(self, time_s: float) -> Mapping[str, float]:
        """Weights of ARKit's expressions."""
        blink = max((_blink(time_s - middle) for middle in self.blinks_s), default=0.0)
        begin, end = self.jaw_s
        speaking = float(np.clip(min(time_s - begin, end - time_s) / 0.2, 0.0, 1.0))
        jaw = speaking * (0.28 + 0.22 * np.sin(2 * np.pi * 2.7 * (time_s - begin)))
        smile = 0.35 * np.clip(np.sin(2 * np.pi * (time_s - 0.3) / 5.0), 0.0, 1.0)
        return {
            "eyeBlinkLeft": blink, "eyeBlinkRight": blink, "jawOpen": float(jaw),
            "mouthSmileLeft": float(smile), "mouthSmileRight": float(smile),
            "browInnerUp": float(0.4 * np.clip(np.sin(2 * np.pi * time_s / 3.1), 0.0, 1.0)),
        }  # fmt: skip


def _blink(since_s: float) -> float:
    """Lids close in 80 ms, stay so for 40 ms, and open in 160 ms."""
    away = -since_s - 0.02 if since_s < 0 else since_s - 0.02
    duration = 0.08 if since_s < 0 else 0.16
    share = float(np.clip(1.0 - away / duration, 0.0, 1.0))
    return share * share * (3.0 - 2.0 * share)


@dataclasses.dataclass(frozen=True, eq=False)
class ClipFrame:
    """One frame and its ground truth.

    Attributes:
      image: uint8 [HEIGHT, WIDTH, 3] sRGB.
      coefficients: [n] identity, then expression.
      rotation: [3, 3] camera_from_model.
      landmarks_68_mm: [68, 3] on the mesh.
      landmarks_68_px: [68, 2] where they are in the image, by perspective.
      yaw_deg: turn of the head.
    """

    image: np.ndarray
    coefficients: np.ndarray
    rotation: np.ndarray
    landmarks_68_mm: np.ndarray
    landmarks_68_px: np.ndarray
    yaw_deg: float


class ClipRenderer:
    """Renders the frames of a clip: a head with a texture before a background, seen close by.

    Args:
      seed: decides face, skin, background and grain.
      motion: what the person does.
      background: uint8 [HEIGHT, WIDTH, 3] photo; a made-up one if None.
    """

    def __init__(
        self, seed: int, motion: Motion | None = None, background: np.ndarray | None = None
    ):
        self.motion, self._seed = motion or Motion(), seed
        self.model, self._head = MorphableModel.load(), HeadModel.load()
        mesh = self._head.mesh(1)
        self._skin = SkinModel.from_head(mesh, mesh.operator @ self._head.mean, self.model)
        scene = sample_scene(
            SceneModel.create(self.model), SynthesisConfig.lifelike(), PhiloxStreams(seed, [0])
        )
        self._identity = np.asarray(scene.coefficients)[0, : self.model.identity_count]
        self._albedo_coefficients = np.asarray(scene.albedo_coefficients)[0]
        rng = np.random.default_rng([seed, 1])
        self._background = _made_up(rng) if background is None else background
        self._blank = np.zeros((HEIGHT * _SUPERSAMPLE, WIDTH * _SUPERSAMPLE, 3), np.float32)

    @functools.cached_property
    def _texture(self) -> np.ndarray:
        """[S, S, 3] albedo with moles and blotches."""
        atlas, count = self._skin.atlas(TEXTURE_PX), self._skin.face_count
        colours = self._skin.albedo_mean.astype(np.float64, copy=True)
        own = self.model.albedo_rgb(self._albedo_coefficients)
        colours[count:] *= own.mean(0) / colours[:count].mean(0)
        colours[:count] = own
        places = atlas.from_vertices @ self._skin.positions
        detail = sample_detail(places, self._skin, np.random.default_rng([self._seed, 2]))
        albedo = (atlas.from_vertices @ colours) * np.exp(detail)
        return atlas.spread(np.clip(albedo, 0.01, 1.0).astype(np.float32))

    def coefficients(self, time_s: float) -> np.ndarray:
        """[n] identity and expression at a time."""
        names = [name.removeprefix(ARKIT_PREFIX) for name in self.model.expression_names]
        weights = np.zeros(len(names), np.float32)
        for name, weight in self.motion.weights(time_s).items():
            weights[names.index(name)] = weight
        return np.concatenate([self._identity, weights]).astype(np.float32)

    def frame(self, number: int) -> ClipFrame:
        """Renders frame `number` with its ground truth."""
        time_s = number / FPS
        yaw, pitch, roll = self.motion.angles_deg(time_s)
        angles = np.radians([yaw, pitch, roll]).astype(np.float32)
        rotation = np.asarray(euler_rotation(*angles), np.float64)
        coefficients = self.coefficients(time_s)
        vertices = self._head.vertices(coefficients)
        middle = np.array([WIDTH * (0.5 + 0.08 * np.sin(0.9 * time_s)), HEIGHT * 0.46])
        points = self._landmarks(vertices)
        return ClipFrame(
            image=self._render(vertices, rotation, middle, number),
            coefficients=coefficients, rotation=rotation, landmarks_68_mm=points,
            landmarks_68_px=_project(points, rotation, middle)[:, :2], yaw_deg=yaw,
        )  # fmt: skip

    def _landmarks(self, vertices: np.ndarray) -> np.ndarray:
        """[68, 3] mm on the head, whose first vertices are those of the face."""
        own = (self.model.landmark_triangles, self.model.landmark_barycentric)
        chosen = (array[list(IBUG_68)] for array in own)
        return embedded_points(vertices[: self._skin.face_count], self.model.triangles, *chosen)

    def _render(self, vertices, rotation, middle, number: int) -> np.ndarray:
        screen = _project(vertices, rotation, middle)
        normals = vertex_normals(vertices, self._skin.triangles) @ rotation.T
        view = projection.View(
            self._blank, (_SUPERSAMPLE * screen[:, :2]).astype(np.float32),
            screen[:, 2].astype(np.float32), normals, _SUPERSAMPLE * SCALE,
        )  # fmt: skip
        seen = projection.footprint(view, self._skin.triangles)
        light = 0.45 + 0.65 * np.clip(normals @ (_LIGHT / np.linalg.norm(_LIGHT)), 0.0, 1.0)
        corners = self._skin.uv[self._skin.uv_triangles[seen.triangle]]
        uv = (corners * seen.weights[..., None]).sum(1)
        colours = projection.sample(self._texture, uv * (TEXTURE_PX, -TEXTURE_PX) + (0, TEXTURE_PX))
        sheet = np.zeros((*self._blank.shape[:2], 4), np.float32)
        flat = sheet.reshape(-1, 4)
        flat[seen.pixel, :3] = colours * (light[seen.corners] * seen.weights).sum(1)[:, None]
        flat[seen.pixel, 3] = 1.0
        small = cv2.resize(sheet, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        image = self._background / 255.0 * (1.0 - small[..., 3:]) + small[..., :3]
        grain = np.random.default_rng([self._seed, 3, number]).normal(0, GRAIN, image.shape)
        return np.round(255 * np.clip(image + grain, 0, 1)).astype(np.uint8)


def _project(points: np.ndarray, rotation: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Perspective: [N, 3] mm -> [N, 3] x px, y px, depth mm."""
    turned = points @ rotation.T
    scale = SCALE / (1.0 - turned[:, 2] / DISTANCE_MM)
    pixels = turned[:, :2] * (1, -1) * scale[:, None] + middle
    return np.column_stack([pixels, turned[:, 2]])


def _made_up(rng: np.random.Generator) -> np.ndarray:
    """uint8 [HEIGHT, WIDTH, 3] with things of many sizes, as photos have them."""
    image = np.zeros((HEIGHT, WIDTH, 3))
    for cells in (3, 7, 17, 41, 97):
        grid = rng.normal(size=(cells, cells, 1)) + 0.25 * rng.normal(size=(cells, cells, 3))
        grid /= np.sqrt(cells)
        image += cv2.resize(grid, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.round(255 * np.clip(0.5 + 0.35 * image, 0, 1)).astype(np.uint8)
