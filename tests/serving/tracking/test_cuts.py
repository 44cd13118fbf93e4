"""Cuts: seen where the picture changes, not where it moves, flickers or fades."""

import cv2
import numpy as np

from serving.tracking.cuts import CutDetector


def picture(seed):
    rng = np.random.default_rng(seed)
    grid = rng.uniform(0, 255, (6, 8, 3))
    return cv2.resize(grid, (320, 240), interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def cuts_in(frames):
    detector = CutDetector()
    return [number for number, frame in enumerate(frames) if detector(frame)]


def shifted(image, pixels):
    return np.roll(image, pixels, axis=1)


def test_cuts_are_found():
    rng = np.random.default_rng(0)
    shots = [picture(seed) for seed in (1, 2, 3)]
    frames = [shifted(shots[n // 10], 2 * n) for n in range(30)]
    noisy = [np.clip(f + rng.normal(0, 4, f.shape), 0, 255).astype(np.uint8) for f in frames]
    assert cuts_in(noisy) == [10, 20]


def test_pans_flicker_and_fades_are_none():
    image = picture(4)
    assert cuts_in([shifted(image, 9 * n) for n in range(20)]) == []
    assert cuts_in([(image * (0.85 + 0.15 * (n % 2))).astype(np.uint8) for n in range(20)]) == []
    other = picture(5)
    fade = [(image * (1 - t) + other * t).astype(np.uint8) for t in np.linspace(0, 1, 25)]
    assert cuts_in(fade) == []
