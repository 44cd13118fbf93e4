"""What synthetic faces look like: every random quantity as a named field with its range."""

from __future__ import annotations

import dataclasses
from typing import Any

from facemodel.config import ConfigError, Section, setting
from facemodel.synthesis.distributions import Normal, Range

RECIPES = ("paper", "lifelike", "varied")
_OFF, _ONE = Range(0.0, 0.0), Range(1.0, 1.0)


def _fraction(default: Any = 0.0) -> Any:
    return setting(default, low=0.0, high=1.0)


def _strength(default: Any) -> Any:
    return setting(default, low=0.0, high=20.0)


@dataclasses.dataclass(frozen=True)
class SynthesisConfig(Section):
    """How faces are sampled and photographed. The defaults are the paper's recipe.

    Attributes:
      recipe: the name under which records keep it.
      image_size: Side of the square image, px.
      yaw_deg, pitch_deg, roll_deg: Turn of the head, around a frontal face.
      even_yaw_fraction: share of faces whose yaw is uniform between its limits instead.
      relative_scale: Scale of the face, 1 = CROP_SCALE px/mm in an image of CROP_SIZE px, whatever
        image_size is.
      shift_mm: Offset of the face's middle from the image's, in each direction.
      inverse_distance: 1/mm, one over the camera's distance; 0 = weak perspective.
      active_units: Number of expression units (or pairs of left and right) are active, whole
        numbers.
      natural_expressions: left and right move together, strong units are rare, the mouth's tissue
        has limits.
      neutral_fraction: share of faces without any expression.
      deformation: strength of smooth displacements of the whole face; at 1 they are 1.8 mm RMS on
        the inner face of the default model, half of which no coefficient expresses. The label is
        the nearest face.
      lower_face_mm: mm from the nose to the chin that displaced faces have more than others.
      mixed_albedo: mix two of the model's stored textures; otherwise coefficients are N(0, 1).
      even_skin_tones: mix textures of one group of skin tones, every group as often as the others.
      albedo_jitter: standard deviation added to mixed albedo coefficients.
      ambient, diffuse, specular: light's strengths.
      light_angle_deg: between light and viewing direction; directions are uniform on that part of
        the sphere.
      ambient_gradient: how much ambient light changes with the normal's direction, for each axis.
      skin_blotches, light_blotches, fine_blotches: log range of smooth brightness noise, in cells
        of about 1/9, 1/4 and 1/40 of the image.
      hair_fraction, occluder_fraction, hand_fraction, glasses_fraction: share of faces with hair
        over the forehead, an ellipse over something, a hand, glasses.
      environment: how uneven and coloured the ambient light is: standard deviation of its
        irradiance's spherical harmonics relative to the mean.
      shadow: how much of the directional light the face's own parts take away where they are in
        its way.
      blur: 0 = none, 1 = a 3x3 box twice.
      gamma, gain, offset: output = gain * linear^gamma + offset.
      white_balance: standard deviation of the log gain of red against blue.
      grain: standard deviation of pixel noise.
      jpeg_fraction, jpeg_quality: share of images that were JPEG files of this quality (1 to 100)
        before; in records only, training online goes without.
      landmark_noise: multiple of the measured noise of detected landmarks.
      landmark_bias: of that, multiple of what the detector always gets wrong on renders; photos
        need not share it.
      detector_fraction: share of faces whose landmarks err as the detector does on such a face
        instead, see detector_errors.py; in faces that are drawn in their crops only: training
        online, refit, evaluation. Records have noise.
      detector_strength: multiple of these errors, cut off at 1.

    Raises:
      ConfigError: naming the field that is wrong.

    Source: paper section 6.1; the additions of `lifelike` are this project's.
    """

    recipe: str = "paper"
    image_size: int = setting(256, low=32, high=4096)
    yaw_deg: Normal = setting(Normal(0.0, 20.0, -55.0, 55.0), low=-89.0, high=89.0)
    pitch_deg: Normal = setting(Normal(0.0, 10.0, -35.0, 35.0), low=-89.0, high=89.0)
    roll_deg: Normal = setting(Normal(0.0, 6.0, -20.0, 20.0), low=-180.0, high=180.0)
    even_yaw_fraction: float = _fraction()
    relative_scale: Normal = setting(Normal(1.0, 0.05, 0.85, 1.15), low=0.05, high=20.0)
    shift_mm: Normal = Normal(0.0, 4.5, -14.0, 14.0)
    inverse_distance: Range = setting(_OFF, low=0.0, high=1 / 200.0)
    active_units: Range = setting(Range(0, 6), low=0, high=1000)
    natural_expressions: bool = False
    neutral_fraction: float = _fraction()
    deformation: Range = _strength(_OFF)
    lower_face_mm: Normal = setting(Normal(0.0, 0.0, 0.0, 0.0), low=-20.0, high=20.0)
    mixed_albedo: bool = False
    even_skin_tones: bool = False
    albedo_jitter: float = setting(0.0, low=0.0, high=10.0)
    ambient: Normal = _strength(Normal(0.5, 0.15, 0.1, 1.0))
    diffuse: Normal = _strength(Normal(0.7, 0.2, 0.1, 1.4))
    specular: Normal = _strength(Normal(0.05, 0.05, 0.0, 0.3))
    light_angle_deg: Range = setting(Range(0.0, 90.0), low=0.0, high=90.0)
    ambient_gradient: Normal = Normal(0.0, 0.0, 0.0, 0.0)
    skin_blotches: Range = _OFF
    light_blotches: Range = _OFF
    fine_blotches: Range = _OFF
    hair_fraction: float = _fraction()
    occluder_fraction: float = _fraction()
    hand_fraction: float = _fraction()
    glasses_fraction: float = _fraction()
    environment: Range = _fraction(_OFF)
    shadow: Range = _fraction(_OFF)
    blur: Range = _fraction(_OFF)
    gamma: Range = setting(_ONE, low=0.05, high=20.0)
    gain: Range = _strength(_ONE)
    offset: Normal = Normal(0.0, 0.0, 0.0, 0.0)
    white_balance: Range = _fraction(_OFF)
    grain: Range = _strength(_OFF)
    jpeg_fraction: float = _fraction()
    jpeg_quality: Range = setting(Range(100, 100), low=1, high=100)
    landmark_noise: Range = _strength(Range(0.3, 1.2))
    landmark_bias: Range = setting(_ONE, low=-20.0, high=20.0)
    detector_fraction: float = _fraction()
    detector_strength: Range = _strength(_ONE)

    @classmethod
    def paper(cls, **changes) -> SynthesisConfig:
        """The recipe of the paper's section 6."""
        return cls(**changes)

    @classmethod
    def lifelike(cls, **changes) -> SynthesisConfig:
        """The paper's recipe with what real photos have besides."""
        return dataclasses.replace(_LIFELIKE, **changes)

    @classmethod
    def varied(cls, **changes) -> SynthesisConfig:
        """The lifelike recipe, wider where people, cameras and detectors differ: to train on."""
        wider: dict[str, Any] = {
            "recipe": "varied",
            "inverse_distance": Range(0.0, 1 / 300.0),
            "deformation": Range(0.0, 1.5),
            "lower_face_mm": Normal(-2.0, 2.5, -8.0, 6.0),
            "gamma": Range(0.35, 1.3),
            "gain": Range(0.75, 1.4),
            "landmark_noise": Range(0.1, 1.2),
            "landmark_bias": Range(-0.3, 1.2),
            "detector_fraction": 0.75,
            "detector_strength": Range(0.1, 2.8),
        }
        return dataclasses.replace(_LIFELIKE, **(wider | changes))

    @classmethod
    def named(cls, recipe: str, **changes) -> SynthesisConfig:
        """The recipe of that name, one of RECIPES."""
        if recipe not in RECIPES:
            raise ConfigError("recipe", f"should be one of {', '.join(RECIPES)}, got {recipe!r}")
        return {"paper": cls.paper, "lifelike": cls.lifelike, "varied": cls.varied}[recipe](
            **changes
        )


_LIFELIKE = SynthesisConfig(
    recipe="lifelike",
    yaw_deg=Normal(0.0, 25.0, -60.0, 60.0),
    pitch_deg=Normal(0.0, 12.0, -40.0, 40.0),
    even_yaw_fraction=0.2,
    inverse_distance=Range(0.0, 1 / 350.0),
    active_units=Range(1, 5),
    natural_expressions=True,
    neutral_fraction=0.2,
    mixed_albedo=True,
    even_skin_tones=True,
    albedo_jitter=0.3,
    ambient=Normal(0.45, 0.12, 0.15, 0.8),
    diffuse=Normal(0.6, 0.18, 0.15, 1.0),
    light_angle_deg=Range(0.0, 80.0),
    ambient_gradient=Normal(0.0, 0.2, -0.5, 0.5),
    skin_blotches=Range(0.0, 0.5),
    light_blotches=Range(0.0, 0.6),
    fine_blotches=Range(0.0, 0.3),
    hair_fraction=0.5,
    occluder_fraction=0.2,
    hand_fraction=0.1,
    glasses_fraction=0.2,
    environment=Range(0.0, 0.3),
    shadow=Range(0.3, 0.9),
    blur=Range(0.0, 1.0),
    gamma=Range(0.6, 1.5),
    gain=Range(0.7, 1.2),
    offset=Normal(0.0, 0.03, -0.1, 0.1),
    white_balance=Range(0.0, 0.12),
    jpeg_fraction=0.4,
    jpeg_quality=Range(45, 95),
    grain=Range(0.0, 0.03),
)
