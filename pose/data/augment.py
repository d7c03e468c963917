"""Augmentation: one random draw gives one crop.

The recipe of the published HRNet code for COCO, in its order: half body, scale, rotation, flip
(and between the last two the shift of MMPose's).
Everything ends in one matrix, so the picture is warped once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pose.geometry import Crop, PixelGrid, Size, box_center_extent, fix_aspect
from pose.structures import People, Person

HALF_BODY_MIN_LABELLED = 8
"""Half-body crops are drawn for people with more labelled keypoints than this."""
HALF_BODY_UPPER_CHANCE = 0.6915
"""Chance of the upper half: the published code asks whether a standard normal is below 0.5."""
HALF_BODY_PADDING = 1.5
"""A half-body crop is the bound of its keypoints times this."""


@dataclass(frozen=True)
class CropPolicy:
    """How training crops are drawn. Chances lie in [0, 1]; angles are in degrees."""

    size: Size
    draws: Literal["cut", "again"] = "cut"
    """Large draws are cut, the scale's at one standard deviation and the rotation's at two (the
    published way), or all drawn again until they are within one (MMPose's)."""
    scale: float = 0.35
    """Standard deviation of the extent's factor."""
    rotation: float = 45.0
    """Standard deviation of the rotation."""
    rotation_chance: float = 0.6
    shift: float = 0.0
    """Standard deviation of the centre's shift, in extents."""
    shift_chance: float = 0.0
    flip_chance: float = 0.5
    half_body_chance: float = 0.3
    upper_index: tuple[int, ...] = ()
    """Keypoints of the upper body; empty switches half-body crops off."""
    grid: PixelGrid = "published"

    def draw(self, person: Person, rng: np.random.Generator) -> Crop:
        """A random crop of `person`; the same generator state gives the same crop."""
        center, extent = box_center_extent(person.box, self.size)
        whole = (person.visibility > 0).sum() > HALF_BODY_MIN_LABELLED
        if self.upper_index and whole and rng.random() < self.half_body_chance:
            center, extent = self._half_body(person, rng) or (center, extent)
        extent = extent * (1 + self.scale * self._deviation(rng, 1))
        rotation = 0.0
        if rng.random() < self.rotation_chance:
            rotation = self.rotation * self._deviation(rng, 2)
        if self.shift_chance and rng.random() < self.shift_chance:
            shift = self._deviation(rng, 1), self._deviation(rng, 1)
            center = center + extent * self.shift * np.array(shift)
        mirrored = bool(rng.random() < self.flip_chance)
        return Crop.around(
            center, extent, self.size, rotation=rotation, mirrored=mirrored, grid=self.grid
        )

    def _deviation(self, rng: np.random.Generator, limit: float) -> float:
        """A draw of the standard normal, kept within `limit`, or within 1 by drawing again."""
        draw = rng.standard_normal()
        if self.draws == "cut":
            return float(np.clip(draw, -limit, limit))
        while abs(draw) > 1:
            draw = rng.standard_normal()
        return float(draw)

    def reach(self, people: People) -> tuple[np.ndarray, np.ndarray]:
        """What no draw goes beyond: bounds (N, 4) xyxy in image pixels of all crops of each person,
        and (N,) the input pixels that one of the image is magnified to at most."""
        limit = 2 if self.draws == "cut" else 1
        angle = np.deg2rad(self.rotation * limit) if self.rotation_chance else 0.0
        shift = self.shift if self.shift_chance else 0.0
        low, high = np.full((len(people), 2), np.inf), np.full((len(people), 2), -np.inf)
        narrowest = np.full(len(people), np.inf)
        for center, extent, drawn in self._bases(people):
            largest = extent * (1 + self.scale)
            # A rectangle's shadow on an axis is longest where its diagonal lies along it.
            turns = np.minimum(angle, np.arctan2(largest[:, ::-1], largest))
            shadow = largest * np.cos(turns) + largest[:, ::-1] * np.sin(turns)
            half = np.where(drawn[:, None], shadow / 2 + largest * shift, -np.inf)
            low, high = np.minimum(low, center - half), np.maximum(high, center + half)
            widths = np.where(drawn, extent[:, 0], np.inf)
            narrowest = np.minimum(narrowest, widths * (1 - self.scale))
        return np.concatenate([low, high], axis=1), self.size[0] / narrowest

    def _bases(self, people: People) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Centres (N, 2) and extents (N, 2) that crops are drawn about, and (N,) of whom: of the
        whole person, then of each half where half-body crops are drawn."""
        yield *box_center_extent(people.boxes, self.size), np.ones(len(people), bool)
        if not (self.upper_index and self.half_body_chance):
            return
        labelled = people.visibility > 0
        whole = labelled.sum(axis=1) > HALF_BODY_MIN_LABELLED
        is_upper = np.isin(np.arange(labelled.shape[1]), self.upper_index)
        points = people.keypoints.astype(np.float64)
        for half in (labelled & is_upper, labelled & ~is_upper):
            count = half.sum(axis=1)
            among = half[..., None]
            center = np.where(among, points, 0).sum(axis=1) / np.maximum(count, 1)[:, None]
            spread = np.where(among, points, -np.inf).max(axis=1, initial=-np.inf)
            spread = spread - np.where(among, points, np.inf).min(axis=1, initial=np.inf)
            drawn = whole & (count >= 2)
            extent = fix_aspect(np.where(drawn[:, None], spread, 1), self.size) * HALF_BODY_PADDING
            drawn &= extent[:, 0] > 0
            yield center, extent, drawn

    def _half_body(
        self, person: Person, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Centre and extent of the upper or lower half; None where too little is labelled."""
        is_upper = np.isin(np.arange(len(person.visibility)), self.upper_index)
        labelled = person.visibility > 0
        keypoints = person.keypoints.astype(np.float64)
        upper, lower = keypoints[labelled & is_upper], keypoints[labelled & ~is_upper]
        wants_upper = rng.random() < HALF_BODY_UPPER_CHANCE
        points = upper if (wants_upper and len(upper) > 2) or len(lower) <= 2 else lower
        if len(points) < 2:
            return None
        extent = fix_aspect(np.ptp(points, axis=0), self.size) * HALF_BODY_PADDING
        if extent[0] <= 0:
            return None
        return points.mean(axis=0), extent
