"""Random skin colours: tone, pores, blushes, lips, freckles, eyebrows, beard and eyes.

The generator mixes the details of two CC0 skins under a drawn tone and adds the rest procedurally.
Layers are combined in the logarithm of sRGB, where darkening is an addition.
"""

from __future__ import annotations

import numpy as np

from facemodel.default_model import colour, facemaps, regions

_GROUP_SHARES = (0.36, 0.28, 0.18, 0.18)
_GROUP_LIGHTNESS = ((65.0, 3.5), (61.0, 4.0), (52.0, 5.0), (38.0, 5.0))
"""CIE lightness, mean and standard deviation, of four groups of skin tones."""
_LIGHTNESS_LIMITS = (26.0, 74.0)
_DEEP_GROUP, _MEDIUM_GROUP = 3, 2

_REDNESS = np.array([0.3, -1.0, -0.8])
_BLUSH = np.array([0.05, -1.0, -0.8])
_SHADOW = np.array([1.0, 1.1, 0.8])
_LIP_TINT = np.array([0.3, -1.0, -0.7])
_FRECKLE_TINT = np.array([0.5, 1.0, 1.2])

_HAIR = np.array(
    [
        [0.06, 0.045, 0.04],
        [0.14, 0.09, 0.06],
        [0.28, 0.19, 0.12],
        [0.45, 0.33, 0.2],
        [0.35, 0.16, 0.08],
        [0.45, 0.43, 0.41],
    ]
)
_HAIR_SHARES = ((0.42, 0.25, 0.15, 0.07, 0.04, 0.07), (0.6, 0.2, 0.0, 0.0, 0.0, 0.2))
"""Of light and of medium to deep skin tones."""
_IRIS = np.array(
    [
        [0.20, 0.11, 0.06],
        [0.33, 0.20, 0.10],
        [0.36, 0.34, 0.18],
        [0.30, 0.42, 0.52],
        [0.38, 0.45, 0.48],
        [0.10, 0.06, 0.04],
    ]
)
_IRIS_SHARES = ((0.3, 0.15, 0.1, 0.1, 0.1, 0.25), (0.25, 0.25, 0.0, 0.0, 0.0, 0.5))
"""Of the lightest and of all other skin tones."""
_INNER_COLOURS = (
    (regions.MOUTH, (0.28, 0.10, 0.09), (0.7, 1.2)),
    (regions.TONGUE, (0.55, 0.25, 0.24), (0.8, 1.1)),
    (regions.TEETH, (0.82, 0.78, 0.70), (0.8, 1.1)),
)
"""Region, sRGB, range of a factor on it."""

_NOISES = {
    "tone": (30.0, 48),
    "fine": (8.0, 48),
    "red": (22.0, 48),
    "freckles": (1.6, 200),
    "hair": (2.5, 120),
}
"""Wavelength in mm over 2 pi, and number of waves, of each smooth random field."""
_BANK_SIZE = 24

_BEARD_SHARE, _LIPSTICK_SHARE, _FRECKLE_SHARE = 0.35, 0.12, 0.2


class AlbedoGenerator:
    """Draws skin textures: [V, 3] sRGB in [0.01, 1]."""

    def __init__(self, maps: facemaps.FaceMaps) -> None:
        """Prepares banks of smooth random fields on the vertices of maps."""
        self._maps = maps
        self._banks = {
            name: _noise_bank(maps.positions, wavelength, waves)
            for name, (wavelength, waves) in _NOISES.items()
        }

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Draws one face's colours: [V, 3] float32 sRGB."""
        masks = self._maps.masks
        group = int(rng.choice(len(_GROUP_SHARES), p=_GROUP_SHARES))
        logs = _draw_tone(rng, group) + self._draw_detail(rng, group) + self._draw_blotches(rng)
        bearded = rng.random() < _BEARD_SHARE
        logs = self._paint_lips(rng, logs, made_up=not bearded and rng.random() < _LIPSTICK_SHARE)
        if rng.random() < _FRECKLE_SHARE:
            spots = np.clip(self._noise(rng, "freckles") - 1.1, 0, 1) * masks["freckles"]
            logs = logs - spots[:, None] * rng.uniform(0.1, 0.4) * _FRECKLE_TINT
        hair = np.log(_HAIR[rng.choice(len(_HAIR), p=_HAIR_SHARES[group >= _MEDIUM_GROUP])])
        brow = self._maybe_mirrored(
            rng, self._maps.skin.brows[rng.integers(len(self._maps.skin.brows))]
        )
        logs = _cover(logs, np.minimum(hair, logs), np.clip(brow * rng.uniform(0.7, 1.25), 0, 0.95))
        if bearded:
            logs = _cover(logs, np.minimum(hair, logs), self._draw_beard(rng))
        logs = _cover(logs, np.log(0.05), masks["lashes"] * rng.uniform(0.2, 0.7))
        return self._paint_inside(rng, np.exp(logs), group).clip(0.01, 1).astype(np.float32)

    def _draw_detail(self, rng: np.random.Generator, group: int) -> np.ndarray:
        """Log detail mixed from two skins, both dark or both light."""
        skin = self._maps.skin
        dark = group == _DEEP_GROUP or (group == _MEDIUM_GROUP and rng.random() < 0.5)
        pair = rng.choice(np.flatnonzero(skin.dark == dark), 2, replace=False)
        share = rng.beta(0.6, 0.6)
        first, second = (self._maybe_mirrored(rng, skin.details[index]) for index in pair)
        return (share * first + (1 - share) * second) * rng.uniform(0.75, 1.2)

    def _draw_blotches(self, rng: np.random.Generator) -> np.ndarray:
        """Uneven tone, redness, blush and shadows under the eyes, as changes of log colour."""
        masks = self._maps.masks
        light = 0.025 * self._noise(rng, "tone") + 0.015 * self._noise(rng, "fine")
        red = 0.02 * self._noise(rng, "red")
        blush = masks["blush"] * abs(rng.normal(0, 0.10)) + masks["nose"] * abs(rng.normal(0, 0.08))
        shadow = masks["under_eyes"] * abs(rng.normal(0, 0.12))
        layers = ((light, np.ones(3)), (red, _REDNESS), (blush, _BLUSH), (-shadow, _SHADOW))
        return np.sum([amount[:, None] * tint for amount, tint in layers], axis=0)

    def _paint_lips(
        self, rng: np.random.Generator, logs: np.ndarray, *, made_up: bool
    ) -> np.ndarray:
        lips = self._maps.skin.lips
        darkness = np.clip(rng.normal(-0.10, 0.12), -0.4, 0.08)
        redness = np.clip(rng.normal(0.06, 0.09), -0.03, 0.3)
        logs = logs + lips[:, None] * (darkness + redness * _LIP_TINT)
        if made_up:
            lipstick = rng.uniform([0.45, 0.05, 0.1], [0.8, 0.3, 0.35])
            logs = _cover(logs, np.log(lipstick), 0.7 * lips)
        return logs

    def _draw_beard(self, rng: np.random.Generator) -> np.ndarray:
        """[V] opacity of stubble or a beard; a third of them only around the mouth."""
        density = rng.uniform(0.05, 0.3) if rng.random() < 0.6 else rng.uniform(0.3, 0.85)
        texture = np.clip(1 + 0.25 * self._noise(rng, "hair"), 0.4, 1.5)
        opacity = np.clip(self._maps.masks["beard"] * density * texture, 0, 0.92)
        if rng.integers(3) == 1:
            opacity = opacity * np.exp(-((self._maps.positions[:, 0] / 34) ** 4))
        return opacity

    def _paint_inside(self, rng: np.random.Generator, rgb: np.ndarray, group: int) -> np.ndarray:
        """Sets the colours of mouth, tongue, teeth and eyes."""
        maps, masks = self._maps, self._maps.masks
        for region, base, factor in _INNER_COLOURS:
            rgb[maps.labels == region] = np.array(base) * rng.uniform(*factor)
        # Lips shade the teeth at the corners of the mouth, and no renderer here casts shadows.
        rgb = rgb * (1 - 0.85 * masks["shaded_teeth"][:, None])
        iris = _IRIS[rng.choice(len(_IRIS), p=_IRIS_SHARES[group > 0])] * rng.uniform(0.8, 1.2)
        white = np.array([0.86, 0.83, 0.80]) * rng.uniform(0.85, 1.05)
        eyes = np.isin(maps.labels, (regions.EYE_LEFT, regions.EYE_RIGHT))
        corner, rim, disc, pupil = (
            masks[name][eyes, None] for name in ("eye_corner", "iris_rim", "iris", "pupil")
        )
        speckle = 1 + 0.15 * rng.normal(size=(int(eyes.sum()), 1))
        colours = white * (1 - 0.35 * corner * np.array([0.6, 1, 1]))
        colours = colours * (1 - disc) + iris * (1.15 - 0.55 * rim) * speckle * disc
        rgb[eyes] = colours * (1 - pupil) + 0.02 * pupil
        return rgb

    def _noise(self, rng: np.random.Generator, name: str) -> np.ndarray:
        """[V] smooth random field of about unit variance, a random mixture of four in the bank."""
        bank = self._banks[name]
        chosen = rng.choice(len(bank), 4, replace=False)
        shares = rng.normal(size=4)
        return self._maybe_mirrored(rng, shares / np.linalg.norm(shares) @ bank[chosen])

    def _maybe_mirrored(self, rng: np.random.Generator, values: np.ndarray) -> np.ndarray:
        return values if rng.random() < 0.5 else values[self._maps.mirror]


def _draw_tone(rng: np.random.Generator, group: int) -> np.ndarray:
    """[3] log sRGB of a skin tone; redness and yellowness follow lightness."""
    lightness = np.clip(rng.normal(*_GROUP_LIGHTNESS[group]), *_LIGHTNESS_LIMITS)
    a = rng.normal(13.2, 1.5) - 0.03 * (lightness - 60)
    b = rng.normal(18.5, 2.0) - 0.006 * (lightness - 56) ** 2
    return np.log(colour.srgb_from_lab(np.array([lightness, a, np.clip(b, 8, 24)])).clip(0.02, 1))


def _cover(under: np.ndarray, over: np.ndarray | float, opacity: np.ndarray) -> np.ndarray:
    return under * (1 - opacity[:, None]) + over * opacity[:, None]


def _noise_bank(positions: np.ndarray, wavelength: float, waves: int) -> np.ndarray:
    """[_BANK_SIZE, V] sums of random plane waves, about unit variance."""
    rng = np.random.default_rng([1000, round(wavelength * 10)])
    bank = np.empty((_BANK_SIZE, len(positions)), np.float32)
    for row in bank:
        directions = rng.normal(size=(waves, 3)) / wavelength
        phases, sizes = rng.uniform(0, 2 * np.pi, waves), rng.normal(size=waves)
        row[:] = np.cos(positions @ directions.T + phases) @ sizes * np.sqrt(2 / waves)
    return bank
