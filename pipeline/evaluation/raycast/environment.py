"""Surroundings of a face as small images of a high dynamic range: rooms and skies.

Pixels are those of an equirectangular image, the upper row first. Directions are in the camera
frame: x to the image right, y up, z to the viewer.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

HEIGHT, WIDTH = 256, 512
_WARM, _COLD = np.array([1.0, 0.72, 0.45]), np.array([0.82, 0.93, 1.12])


def directions(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Where each pixel lies: unit vectors [height, width, 3]."""
    around = 2 * np.pi * ((np.arange(width) + 0.5) / width - 0.5)
    up = np.pi * (0.5 - (np.arange(height) + 0.5) / height)
    level = np.cos(up)[:, None]
    x, z = -level * np.cos(around), -level * np.sin(around)
    return np.stack([x, np.broadcast_to(np.sin(up)[:, None], x.shape), z], -1)


def solid_angles(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Of each row's pixels, [height, 1]; together 4 pi."""
    up = np.pi * (0.5 - (np.arange(height) + 0.5) / height)
    return (np.cos(up) / np.cos(up).sum() * 4 * np.pi / width)[:, None]


def sample_environment(rng: np.random.Generator) -> np.ndarray:
    """Draws surroundings: float32 [HEIGHT, WIDTH, 3] linear radiance, of mean 1."""
    outside = rng.random() < 0.4
    image = _sky(rng) if outside else _room(rng)
    image = np.maximum(image * np.exp(0.1 * _noise(rng, 2.0) + 0.12 * _noise(rng, 8.0)), 1e-3)
    image = ndimage.gaussian_filter(image, (0.7, 0.7, 0), mode=("nearest", "wrap", "nearest"))
    weights = solid_angles()[..., None]
    mean = (image * weights).sum() / (4 * np.pi * 3)
    return (image / mean).astype(np.float32)


def _noise(rng, sigma: float) -> np.ndarray:
    """[HEIGHT, WIDTH, 1] smooth noise of about one scale in pixels, root mean square 1."""
    noise = ndimage.gaussian_filter(
        rng.standard_normal((HEIGHT, WIDTH)), sigma, mode=("nearest", "wrap")
    )
    return (noise / noise.std())[..., None]


def _colour(rng, low: float, high: float, tint: float = 0.06) -> np.ndarray:
    """[3] a dull random colour."""
    return rng.uniform(low, high) * np.exp(rng.normal(0, tint, 3))


def _sky(rng) -> np.ndarray:
    """A sky, clear or clouded, the ground, and what stands at the horizon."""
    view = directions()
    height = view[..., 1:2]
    clouded = rng.uniform(0, 1)
    clear = np.array([0.35, 0.6, 1.1]) * (0.5 + 0.9 * np.exp(-4 * np.maximum(height, 0)))
    grey = np.ones(3) * (1 + 2 * np.maximum(height, 0)) / 2
    sky = (1 - clouded) * clear + clouded * grey
    sky = sky * np.exp(0.5 * clouded * _noise(rng, 12.0))
    image = np.where(height > 0, sky, _ground(rng, height))
    image = _skyline(rng, image, view)
    if clouded > 0.75:
        return image
    return image + _sun(rng, view, share=rng.uniform(0.5, 4.0) * (1 - clouded))


def _ground(rng, height: np.ndarray) -> np.ndarray:
    near = _colour(rng, 0.1, 0.45)
    return near * (1 + 0.4 * np.exp(8 * np.minimum(height, 0))) * np.exp(0.15 * _noise(rng, 3.0))


def _skyline(rng, image: np.ndarray, view: np.ndarray) -> np.ndarray:
    """Trees and houses up to some height around."""
    for _ in range(rng.integers(2, 5)):
        steps = ndimage.gaussian_filter1d(
            rng.standard_normal(WIDTH), rng.uniform(2, 15), mode="wrap"
        )
        top = rng.uniform(0.0, 0.3) + rng.uniform(0.03, 0.15) * steps / steps.std()
        if rng.random() < 0.5:
            top = np.repeat(top[:: WIDTH // 32], WIDTH // 32)
        colour = _colour(rng, 0.05, 0.5, 0.15) * np.exp(0.3 * _noise(rng, rng.uniform(1, 5)))
        below = (view[..., 1] < top[None]) & (view[..., 1] > -0.05)
        image = np.where(below[..., None], colour, image)
    return image


def _sun(rng, view: np.ndarray, share: float) -> np.ndarray:
    """A low or high sun that gives `share` of an even light's irradiance of 1."""
    up, around = rng.uniform(0.2, 1.2), rng.uniform(-np.pi, np.pi)
    way = np.array([np.cos(up) * np.sin(around), np.sin(up), np.cos(up) * np.cos(around)])
    disc = np.exp((view @ way - 1) / (2 * np.deg2rad(1.0) ** 2))
    disc /= (disc * solid_angles()).sum()
    return share * np.pi * disc[..., None] * np.array([1.0, 0.93, 0.8])


def _room(rng) -> np.ndarray:
    """A box with windows, lamps and furniture, seen from a place inside."""
    size = np.array([rng.uniform(2.5, 8), rng.uniform(2.3, 3.2), rng.uniform(2.5, 8)])
    place = np.array([rng.uniform(0.25, 0.75), rng.uniform(0.4, 0.65), rng.uniform(0.25, 0.75)])
    turn = rng.uniform(-np.pi, np.pi)
    view = directions() @ np.array(
        [[np.cos(turn), 0, -np.sin(turn)], [0, 1, 0], [np.sin(turn), 0, np.cos(turn)]]
    )
    room = np.where(view > 0, 1 - place, place) * size
    reach = room / np.maximum(np.abs(view), 1e-6)
    axis = reach.argmin(-1)
    hit = view * reach.min(-1)[..., None] + place * size
    wall = 2 * axis + (np.take_along_axis(view, axis[..., None], -1)[..., 0] > 0)
    colours = np.stack([_colour(rng, 0.25, 0.75) for _ in range(6)])
    colours[2], colours[3] = _colour(rng, 0.1, 0.4, 0.12), _colour(rng, 0.6, 0.85, 0.03)
    image = colours[wall]
    image = _furniture(rng, image, hit, wall, size)
    lights = [_window(rng, hit, wall, size) for _ in range(rng.integers(0, 4))]
    lights += [_lamp(rng, hit, size) for _ in range(rng.integers(0 if lights else 1, 4))]
    lit = sum((_spread(rng, hit, middle, power) for _, middle, power in lights), start=0.15)
    return image * lit + sum(glow for glow, _, _ in lights)


def _along(hit: np.ndarray, wall: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Places along a wall (x or z) and whether pixels are on it."""
    return hit[..., 2 if number // 2 == 0 else 0], wall == number


def _furniture(rng, image, hit, wall, size) -> np.ndarray:
    """Rectangles on the walls: cupboards, pictures, doors."""
    for _ in range(rng.integers(4, 14)):
        along, on = _along(hit, wall, int(rng.choice([0, 1, 4, 5])))
        middle, half = rng.uniform(0, 5), rng.uniform(0.1, 0.8)
        bottom, tall = rng.choice([0.0, rng.uniform(0.5, 1.6)]), rng.uniform(0.2, 1.9)
        inside = on & (np.abs(along - middle) < half)
        inside &= (hit[..., 1] > bottom) & (hit[..., 1] < min(bottom + tall, size[1]))
        image = np.where(inside[..., None], _colour(rng, 0.05, 0.7, 0.18), image)
    return image


def _window(rng, hit, wall, size):
    """Glow [H, W, 3], middle [3] and power of a window."""
    number = int(rng.choice([0, 1, 4, 5]))
    along, on = _along(hit, wall, number)
    length = size[2 if number // 2 == 0 else 0]
    middle, half = rng.uniform(0.2, 0.8) * length, rng.uniform(0.3, 1.0)
    low, high = rng.uniform(0.0, 1.1), rng.uniform(1.9, 2.3)
    inside = on & (np.abs(along - middle) < half) & (hit[..., 1] > low) & (hit[..., 1] < high)
    frame = np.abs((along - middle) / half) > 0.04
    power = rng.uniform(4, 25)
    glow = power * np.where((inside & frame)[..., None], _COLD * np.exp(0.3 * _noise(rng, 6)), 0)
    fixed = {0: (0, 0.0), 1: (0, size[0]), 4: (2, 0.0), 5: (2, size[2])}[number]
    place = np.array([middle, (low + high) / 2, middle])
    place[fixed[0]] = fixed[1]
    return glow, place, power * half * (high - low) / 12


def _lamp(rng, hit, size):
    """Glow, middle and power of a lamp at the ceiling or on a table."""
    middle = size * np.array([rng.uniform(0.1, 0.9), 1.0, rng.uniform(0.1, 0.9)])
    if rng.random() < 0.4:
        middle[1] = rng.uniform(0.8, 1.6)
        middle[rng.choice([0, 2])] = 0.0
    radius, power = rng.uniform(0.08, 0.4), rng.uniform(10, 80)
    colour = _WARM ** rng.uniform(0, 1)
    inside = np.exp(-((((hit - middle) / radius) ** 2).sum(-1) ** 2))
    return power * inside[..., None] * colour, middle, power * radius**2


def _spread(rng, hit, middle, power) -> np.ndarray:
    """[H, W, 1] how a light brightens the walls around it."""
    distance = ((hit - middle) ** 2).sum(-1, keepdims=True)
    return power * 0.6 / (1.0 + distance)
