"""A part of a photograph, as it is or scaled down: where a crop's pixels are taken from."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pose.geometry import Crop


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


class UnreadableError(ValueError):
    """A photograph cannot be read, or is not the one that was annotated."""


class Parts(Protocol):
    """Whatever shows the people of a set."""

    def part(self, person: int) -> Part:
        """Of the photograph of person number `person`: all that a crop of theirs can show."""
