"""Boxes, and the crop: the affine map between an image and the input of a network.

Pixel centres are at integers and there is no half-pixel offset anywhere (the convention of the
published HRNet code). A box is xyxy in absolute image pixels; other formats carry their name.
Rotation is in degrees, counter-clockwise on the screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

Size = tuple[int, int]
"""(width, height) in pixels."""

BOX_PADDING = 1.25
"""The published crop is the box, brought to the input's aspect ratio, times this."""


def xywh_to_xyxy(boxes_xywh: np.ndarray) -> np.ndarray:
    """(..., 4) boxes as left, top, width, height -> left, top, right, bottom."""
    boxes = np.array(boxes_xywh, dtype=np.float64)
    boxes[..., 2:] += boxes[..., :2]
    return boxes


def xyxy_to_xywh(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) boxes as left, top, right, bottom -> left, top, width, height."""
    boxes_xywh = np.array(boxes, dtype=np.float64)
    boxes_xywh[..., 2:] -= boxes_xywh[..., :2]
    return boxes_xywh


def has_area(box: Sequence[float] | np.ndarray) -> bool:
    """Whether a box (4,) xyxy still has an area as float32, as which boxes are kept."""
    x1, y1, x2, y2 = np.asarray(box, dtype=np.float32).tolist()
    return x2 > x1 and y2 > y1


def box_iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(N, M) intersection over union of boxes (N, 4) with boxes (M, 4), xyxy; without area 0."""
    boxes, others = (np.asarray(b, dtype=np.float64).reshape(-1, 4) for b in (boxes, others))
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = (high - low).clip(0).prod(axis=-1)
    areas, other_areas = ((b[:, 2:] - b[:, :2]).prod(axis=-1) for b in (boxes, others))
    return common / np.maximum(areas[:, None] + other_areas - common, 1e-9)


PixelGrid = Literal["published", "udp"]
"""Which input coordinates an extent's borders fall on: 0 and W (published), or the centres of the
first and last pixel, 0 and W - 1 (udp), so that a mirrored crop is the crop's own mirror image."""


WarpArithmetic = Literal["installed", "opencv4"]
"""How crops are interpolated: as the installed OpenCV does (version 5 exactly, version 4 by source
coordinates rounded to 1/32 pixel), or as OpenCV 4 did whatever is installed."""


def grid_span(size: Size, grid: PixelGrid) -> np.ndarray:
    """(2,) float64: the input coordinates of an extent's far corner; the near one is at 0, 0."""
    return np.array(size, dtype=np.float64) - (1 if grid == "udp" else 0)


def box_center_extent(
    boxes: np.ndarray, size: Size, padding: float = BOX_PADDING
) -> tuple[np.ndarray, np.ndarray]:
    """Centre (..., 2) and padded extent (..., 2) in image pixels of the crops of boxes (..., 4).

    The shorter side grows until the box has the aspect ratio of `size`, then both are padded.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    center = (boxes[..., :2] + boxes[..., 2:]) / 2
    return center, fix_aspect(boxes[..., 2:] - boxes[..., :2], size) * padding


def fix_aspect(extent: np.ndarray, size: Size) -> np.ndarray:
    """The smallest extents (..., 2) that hold `extent` and have the aspect ratio of `size`."""
    extent = np.asarray(extent, dtype=np.float64)
    aspect = size[0] / size[1]
    width = np.maximum(extent[..., 0], extent[..., 1] * aspect)
    return np.stack([width, width / aspect], axis=-1)


@dataclass(frozen=True, eq=False)
class Crop:
    """The affine map from image pixels to input pixels, with its inverse.

    matrix is (2, 3) float64, image -> input; size is that of the input. Mirroring lives in the
    matrix: a crop reflected about its centre equals the crop of the flipped image.
    """

    matrix: np.ndarray
    size: Size

    @classmethod
    def around(
        cls,
        center: np.ndarray,
        extent: np.ndarray,
        size: Size,
        *,
        rotation: float = 0.0,
        mirrored: bool = False,
        grid: PixelGrid = "published",
    ) -> "Crop":
        """The crop whose input centre shows image point `center` (2,).

        A similarity driven by the *width* of `extent` (2,), in image pixels: `extent[0]` fills the
        input's width. rotation turns the picture counter-clockwise; with `mirrored` the image is
        reflected about the centre first, so rotation then acts on the mirrored picture. On the udp
        grid both axes then shrink by one pixel in their length.
        """
        width, height = size
        span = grid_span(size, grid)
        scale = width / float(extent[0])
        angle = np.deg2rad(rotation)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        linear = np.array([[cos, sin], [-sin, cos]]) * (span / size)[:, None]
        if mirrored:
            linear[:, 0] = -linear[:, 0]
        offset = span / 2 - linear @ np.asarray(center, dtype=np.float64)
        return cls(np.column_stack([linear, offset]), (width, height))

    @classmethod
    def of_box(
        cls,
        box: np.ndarray,
        size: Size,
        padding: float = BOX_PADDING,
        grid: PixelGrid = "published",
    ) -> "Crop":
        """The upright crop of a box (4,) xyxy, as evaluation and prediction take it."""
        center, extent = box_center_extent(box, size, padding)
        return cls.around(center, extent, size, grid=grid)

    @property
    def mirrored(self) -> bool:
        """Whether left and right of the picture are exchanged (negative determinant)."""
        (a, b), (c, d) = self.matrix[:, :2].tolist()
        return a * d < b * c

    def to_input(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) in image pixels -> input pixels, float64."""
        return np.asarray(points, dtype=np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def to_image(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) in input pixels -> image pixels, float64."""
        shifted = np.asarray(points, dtype=np.float64) - self.matrix[:, 2]
        return shifted @ np.linalg.inv(self.matrix[:, :2]).T

    def warp(self, image: np.ndarray, arithmetic: WarpArithmetic = "installed") -> np.ndarray:
        """The input picture (h, w, 3) uint8: bilinear, black outside the image."""
        if arithmetic == "opencv4":
            return warp_by_32nds(image, self.matrix, self.size)
        return cv2.warpAffine(
            image,
            self.matrix,
            self.size,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(0, 0, 0),
        )


def warp_by_32nds(image: np.ndarray, matrix: np.ndarray, size: Size) -> np.ndarray:
    """`Crop.warp` (h, w, 3) bit for bit as OpenCV 4 does it, by which the published figures came.

    Source coordinates are rounded to 1/32 pixel, by way of 1/1024; the rest is whole numbers.
    """
    width, height = size
    inverse = np.linalg.inv(np.vstack([matrix, (0, 0, 1)]))
    columns, rows = np.arange(width), np.arange(height)[:, None]
    x, y = (
        (np.rint(1024 * a * columns) + np.rint(1024 * (b * rows + c)) + 16).astype(np.int64) >> 5
        for a, b, c in inverse[:2]
    )
    total = np.full((height, width, image.shape[2]), 512, np.int64)
    for dy in (0, 1):
        for dx in (0, 1):
            column, row = (x >> 5) + dx, (y >> 5) + dy
            weight = np.abs(32 * (1 - dx) - (x & 31)) * np.abs(32 * (1 - dy) - (y & 31))
            inside = (column >= 0) & (column < image.shape[1])
            inside &= (row >= 0) & (row < image.shape[0])
            pixels = image[row.clip(0, image.shape[0] - 1), column.clip(0, image.shape[1] - 1)]
            total += pixels * (weight * inside)[..., None]
    return (total >> 10).astype(np.uint8)


def to_image(keypoints: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Keypoints (B, K, 2) in input pixels -> image pixels, float64, by each crop's (B, 2, 3)."""
    matrices = np.asarray(matrices, dtype=np.float64)
    shifted = np.asarray(keypoints, dtype=np.float64) - matrices[:, None, :, 2]
    inverse = np.linalg.inv(matrices[:, :, :2])
    return shifted @ inverse.transpose(0, 2, 1)
