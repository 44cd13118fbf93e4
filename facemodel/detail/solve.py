"""Heights from shading: Gauss-Newton steps, each solved by preconditioned conjugate gradients."""

from __future__ import annotations

import numpy as np
from scipy import fft

from facemodel import vectors
from facemodel.detail.light import Light
from facemodel.detail.separation import Shading
from facemodel.detail.settings import Settings


def gradient(height: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Central differences of [H, W] to the right and upwards, periodic."""
    right = np.empty_like(height)
    right[:, 1:-1] = height[:, 2:] - height[:, :-2]
    right[:, 0], right[:, -1] = height[:, 1] - height[:, -1], height[:, 0] - height[:, -2]
    up = np.empty_like(height)
    up[1:-1] = height[:-2] - height[2:]
    up[0], up[-1] = height[-1] - height[1], height[-2] - height[0]
    return right * np.float32(0.5), up * np.float32(0.5)


def gradient_transposed(right: np.ndarray, up: np.ndarray) -> np.ndarray:
    """The adjoint of gradient, which is antisymmetric in each direction."""
    return -gradient(right)[0] - gradient(up)[1]


def tilted_normals(
    normals: np.ndarray, right: np.ndarray, up: np.ndarray, px_per_mm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Normals of a surface displaced along its normals.

    With slopes p = px_per_mm (right, up, 0) the displaced surface has the normal n - (I - n n^T) p,
    exactly for a plane, and up to the displacement over the radius of curvature otherwise.

    Args:
      normals: [H, W, 3] unit, camera frame.
      right: [H, W] mm a pixel, how the displacement rises to the right.
      up: [H, W] mm a pixel, and upwards.
      px_per_mm: Scale.

    Returns:
      Unit normals [H, W, 3], and the length [H, W] before they were made unit.
    """
    along = (normals[..., 0] * right + normals[..., 1] * up) * np.float32(px_per_mm)
    tilted = normals * (1 + along)[..., None]
    tilted[..., 0] -= np.float32(px_per_mm) * right
    tilted[..., 1] -= np.float32(px_per_mm) * up
    length = np.maximum(vectors.length(tilted), 1e-6)
    return tilted / length[..., None], length


def linearise(light: Light, normals, right, up, px_per_mm: float):
    """Log shading [H, W] of the displaced surface, and its derivatives by right and up."""
    tilted, length = tilted_normals(normals, right, up, px_per_mm)
    shading, slope = light.log_shading(tilted)
    slope = slope - tilted * vectors.dot(slope, tilted)[..., None]
    slope *= (-px_per_mm / length)[..., None]
    along = vectors.dot(slope, normals)
    return shading, slope[..., 0] - normals[..., 0] * along, slope[..., 1] - normals[..., 1] * along


class Prior:
    """How likely relief of each scale is: one over its spectrum, for crops of one size.

    Args:
      shape: (height, width) px.
      px_per_mm: Scale.
      settings: slope, smooth_mm and largest_mm.
    """

    def __init__(self, shape: tuple[int, ...], px_per_mm: float, settings: Settings):
        self.shape = shape
        rows = 2 * np.pi * np.fft.fftfreq(shape[0])[:, None]
        columns = 2 * np.pi * np.fft.rfftfreq(shape[1])[None]
        squared = rows**2 + columns**2
        wave = squared * px_per_mm**2  # (rad / mm)^2
        lowest = (2 * np.pi / settings.largest_mm) ** 2
        rise = (1 + lowest / np.maximum(wave, 1e-4)) ** 2
        falloff = 1 + settings.smooth_mm**2 * wave + (settings.smooth_mm**2 * wave) ** 2
        self.weight = (wave * falloff * rise / settings.slope**2).astype(np.float32)
        self.weight[0, 0] = self.weight.max()
        self.squared = squared.astype(np.float32)

    def preconditioner(self, data: float):
        """z = (prior + data * gradient^T gradient)^-1 r, and the prior times z, as a function."""
        both = 1.0 / (self.weight + np.float32(data) * self.squared)
        weighted = self.weight * both

        def apply(residual):
            spectrum = fft.rfft2(residual, workers=2)
            stacked = np.stack([spectrum * both, spectrum * weighted])
            return fft.irfft2(stacked, s=self.shape, workers=2)

        return apply


def solve_relief(
    light: Light, normals: np.ndarray, shading: Shading, weights: np.ndarray, px_per_mm: float,
    settings: Settings,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Finds the displacement whose shading explains what the coarse surface does not.

    Args:
      light: Light of the photo.
      normals: [H, W, 3] unit, camera frame.
      shading: log shading to explain.
      weights: [H, W] in [0, 1], how much pixels count.
      px_per_mm: Scale.
      settings: prior and number of steps.

    Returns:
      Displacement [H, W] mm along the normals; how strongly the data speak of it, [H, W].
    """
    height = np.zeros(weights.shape, np.float32)
    precision = weights * shading.precision
    prior, base = Prior(weights.shape, px_per_mm, settings), None
    for _ in range(settings.rounds):
        right, up = gradient(height)
        value, g_right, g_up = linearise(light, normals, right, up, px_per_mm)
        base = value if base is None else base
        target = shading.value - (value - base) + g_right * right + g_up * up
        height = _conjugate_gradients(prior, precision, (g_right, g_up), target, settings.steps)
    return height, precision * (g_right**2 + g_up**2)


def _conjugate_gradients(prior: Prior, precision, slopes, target, steps: int) -> np.ndarray:
    """Minimises sum precision (slopes . grad d - target)^2 + prior."""
    g_right, g_up = slopes

    def data(height):
        right, up = gradient(height)
        pull = precision * (g_right * right + g_up * up)
        return gradient_transposed(g_right * pull, g_up * pull)

    information = precision * (g_right**2 + g_up**2)
    seen = information[precision > 0]
    apply = prior.preconditioner(float(np.mean(seen)) / 2 if seen.size else 1.0)
    height = np.zeros_like(target)
    residual = gradient_transposed(g_right * precision * target, g_up * precision * target)
    way, own = apply(residual)
    square = float(np.vdot(residual, way))
    for _ in range(steps):
        if square <= 0:
            break
        forward = data(way) + own
        step = np.float32(square / max(float(np.vdot(way, forward)), 1e-30))
        height += step * way
        residual -= step * forward
        better, better_own = apply(residual)
        last, square = square, float(np.vdot(residual, better))
        ratio = np.float32(square / last)
        way, own = better + ratio * way, better_own + ratio * own
    return height
