"""What synthetic faces look like: every random quantity as a named field with its range."""

from __future__ import annotations

import dataclasses
import json

from facemodel.synthesis.distributions import (
    ANY,
    ConfigError,
    Normal,
    Range,
    parse_field,
    validate_field,
)

_FRACTIONS = (
    "even_yaw_fraction",
    "neutral_fraction",
    "hair_fraction",
    "occluder_fraction",
    "hand_fraction",
    "glasses_fraction",
    "jpeg_fraction",
)
_LIMITS = {
    "image_size": (32, 4096),
    "yaw_deg": (-89.0, 89.0),
    "pitch_deg": (-89.0, 89.0),
    "roll_deg": (-180.0, 180.0),
    "relative_scale": (0.05, 20.0),
    "inverse_distance": (0.0, 1 / 200.0),
    "active_units": (0, 1000),
    "albedo_jitter": (0.0, 10.0),
    "light_angle_deg": (0.0, 90.0),
    "blur": (0.0, 1.0),
    "gamma": (0.05, 20.0),
    "gain": (0.0, 20.0),
    "environment": (0.0, 1.0),
    "shadow": (0.0, 1.0),
    "white_balance": (0.0, 1.0),
    "jpeg_quality": (1, 100),
    **dict.fromkeys(_FRACTIONS, (0.0, 1.0)),
    **dict.fromkeys(("ambient", "diffuse", "specular", "grain", "landmark_noise"), (0.0, 20.0)),
}
_OFF, _ONE = Range(0.0, 0.0), Range(1.0, 1.0)


@dataclasses.dataclass(frozen=True)
class SynthesisConfig:
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

    Raises:
      ConfigError: naming the field that is wrong.

    Source: paper section 6.1; the additions of `lifelike` are this project's.
    """

    recipe: str = "paper"
    image_size: int = 256
    yaw_deg: Normal = Normal(0.0, 20.0, -55.0, 55.0)
    pitch_deg: Normal = Normal(0.0, 10.0, -35.0, 35.0)
    roll_deg: Normal = Normal(0.0, 6.0, -20.0, 20.0)
    even_yaw_fraction: float = 0.0
    relative_scale: Normal = Normal(1.0, 0.05, 0.85, 1.15)
    shift_mm: Normal = Normal(0.0, 4.5, -14.0, 14.0)
    inverse_distance: Range = _OFF
    active_units: Range = Range(0, 6)
    natural_expressions: bool = False
    neutral_fraction: float = 0.0
    mixed_albedo: bool = False
    even_skin_tones: bool = False
    albedo_jitter: float = 0.0
    ambient: Normal = Normal(0.5, 0.15, 0.1, 1.0)
    diffuse: Normal = Normal(0.7, 0.2, 0.1, 1.4)
    specular: Normal = Normal(0.05, 0.05, 0.0, 0.3)
    light_angle_deg: Range = Range(0.0, 90.0)
    ambient_gradient: Normal = Normal(0.0, 0.0, 0.0, 0.0)
    skin_blotches: Range = _OFF
    light_blotches: Range = _OFF
    fine_blotches: Range = _OFF
    hair_fraction: float = 0.0
    occluder_fraction: float = 0.0
    hand_fraction: float = 0.0
    glasses_fraction: float = 0.0
    environment: Range = _OFF
    shadow: Range = _OFF
    blur: Range = _OFF
    gamma: Range = _ONE
    gain: Range = _ONE
    offset: Normal = Normal(0.0, 0.0, 0.0, 0.0)
    white_balance: Range = _OFF
    grain: Range = _OFF
    jpeg_fraction: float = 0.0
    jpeg_quality: Range = Range(100, 100)
    landmark_noise: Range = Range(0.3, 1.2)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            limits = _LIMITS.get(field.name, ANY)
            validate_field(field.name, field.type, getattr(self, field.name), limits)

    @classmethod
    def paper(cls, **changes) -> SynthesisConfig:
        """The recipe of the paper's section 6."""
        return cls(**changes)

    @classmethod
    def lifelike(cls, **changes) -> SynthesisConfig:
        """The paper's recipe with what real photos have besides."""
        return dataclasses.replace(_LIFELIKE, **changes)

    @classmethod
    def named(cls, recipe: str, **changes) -> SynthesisConfig:
        """The recipe of that name: paper or lifelike."""
        makers = {"paper": cls.paper, "lifelike": cls.lifelike}
        if recipe not in makers:
            raise ConfigError(f"recipe should be one of {', '.join(makers)}, got {recipe!r}")
        return makers[recipe](**changes)

    def to_json(self) -> str:
        """One JSON object, from which from_json makes an equal config."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str, base: SynthesisConfig | None = None) -> SynthesisConfig:
        """Reads a config; unknown fields are an error, missing ones are those of base or paper."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise ConfigError(f"a config should be JSON ({error})") from None
        if not isinstance(values, dict):
            raise ConfigError(f"a config should be a JSON object, got {text[:40]!r}")
        types = {field.name: field.type for field in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - set(types)):
            raise ConfigError(f"unknown field of SynthesisConfig: {', '.join(unknown)}")
        changes = {name: parse_field(name, types[name], value) for name, value in values.items()}
        return dataclasses.replace(base or cls(), **changes)


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
