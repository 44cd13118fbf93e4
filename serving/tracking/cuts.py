"""Notices where a film is cut: the whole picture changes from one frame to the next."""

from __future__ import annotations

import cv2
import numpy as np

GRID = (24, 16)
"""Cells (across, down) whose mean colours are compared."""
BINS = 16
HISTOGRAM_CHANGE, CELL_CHANGE = 0.35, 0.09
"""A cut changes the colours' distribution by more, and the cells by more (share of the range)."""
TIMES_USUAL = 4.0
"""And this many times as much as the frames before it."""
_MEMORY = 0.9


class CutDetector:
    """Compares each frame with the one before; call it once a frame, in order."""

    def __init__(self) -> None:
        self._cells: np.ndarray | None = None
        self._histogram = np.zeros(0)
        self._usual = 0.0

    def __call__(self, image: np.ndarray) -> bool:
        """Whether the film is cut before this frame.

        Args:
          image: uint8 [H, W, 3] sRGB.
        """
        cells = cv2.resize(image, GRID, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
        histogram = _histogram(image)
        before, old = self._cells, self._histogram
        self._cells, self._histogram = cells, histogram
        if before is None:
            return False
        change = float(np.abs(cells - before).mean())
        moved = float(np.abs(histogram - old).sum() / 2)
        usual = TIMES_USUAL * self._usual
        cut = change > max(CELL_CHANGE, usual) and (
            moved > HISTOGRAM_CHANGE or change > 2 * max(CELL_CHANGE, usual)
        )
        self._usual = 0.0 if cut else _MEMORY * self._usual + (1 - _MEMORY) * change
        return cut


def _histogram(image: np.ndarray) -> np.ndarray:
    """[3 * BINS] shares of the values of red, green and blue; each channel sums to 1 / 3."""
    small = cv2.resize(image, (96, 64), interpolation=cv2.INTER_AREA)
    counts = [np.bincount(small[..., k].ravel() * BINS // 256, minlength=BINS) for k in range(3)]
    found = np.concatenate(counts).astype(np.float64)
    return found / found.sum()
