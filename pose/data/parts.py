"""A part of a photograph, as it is or scaled down: where a crop's pixels are taken from."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import cv2
import numpy as np

from pose.geometry import Crop, Size

PADDED_PER_WARPED = 8
"""Pixels that get a fourth channel in less time than one pixel of a crop is warped sooner by it."""


@dataclass(frozen=True, eq=False)
class Part:
    """Of a photograph; the whole of it where it begins at 0, 0 and the factor is 1."""

    pixels: np.ndarray
    """(h, w, 3) uint8 RGB."""
    corner: np.ndarray
    """(2,) where it begins, x and y in pixels of the photograph."""
    factor: np.ndarray
    """(2,) pixels of the photograph, across and down, that one of the part is the mean of."""

    def crop(self, crop: Crop) -> Crop:
        """A crop of the photograph as one of the part.

        A pixel is the mean of `factor` pixels of the photograph, so its centre lies amid theirs.
        """
        linear = crop.matrix[:, :2]
        offset = crop.matrix[:, 2] + linear @ (self.corner + (self.factor - 1) / 2)
        return Crop(np.column_stack([linear * self.factor, offset]), crop.size)

    def to_warp(self, size: Size, crops: int) -> np.ndarray:
        """The pixels, behind them an idle fourth channel where that is worth its making for so many
        crops of `size`: OpenCV 5 warps four channels in half the time of three, to the same values.
        """
        height, width = self.pixels.shape[:2]
        worth_it = height * width <= PADDED_PER_WARPED * crops * size[0] * size[1]
        return self._padded if worth_it else self.pixels

    @cached_property
    def _padded(self) -> np.ndarray:
        return cv2.cvtColor(self.pixels, cv2.COLOR_RGB2RGBA)


class UnreadableError(ValueError):
    """A photograph cannot be read, or is not the one that was annotated."""


class Parts(Protocol):
    """Whatever shows the people of a set."""

    def part(self, person: int) -> Part:
        """Of the photograph of person number `person`: all that a crop of theirs can show."""
