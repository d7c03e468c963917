"""Crops that the device warps: a worker hands over the pixels that each can show, as they are.

The arithmetic is that of `Crop.warp` with OpenCV 5, exact bilinear and black outside, in float32;
where a value lies half way between two grey levels it may come out as either.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import torch

from pose.data.parts import Part
from pose.geometry import Crop, Size
from pose.structures import PoseBatch


@dataclass(frozen=True, eq=False)
class Window:
    """What a crop shows of a part of a photograph, cut straight."""

    pixels: np.ndarray
    """(h, w, 3) uint8 RGB; around it all is black."""
    inverse: np.ndarray
    """(2, 3) float64, input -> window."""

    @classmethod
    def of(cls, part: Part, crop: Crop) -> "Window":
        """The pixels between which those of `crop`, one of the photograph, are interpolated."""
        linear, offset = np.hsplit(part.crop(crop).matrix, [2])
        back = np.linalg.inv(linear)
        width, height = crop.size
        corners = np.array([[0, width - 1, 0, width - 1], [0, 0, height - 1, height - 1]])
        seen = back @ (corners - offset)
        limit = part.pixels.shape[1::-1]
        left, top = (int(v) for v in np.floor(seen.min(axis=1)).clip(0, np.array(limit) - 1))
        right, bottom = (int(v) for v in np.floor(seen.max(axis=1)).clip(0, limit) + 2)
        inverse = np.hstack([back, -back @ offset - [[left], [top]]])
        return cls(part.pixels[top : max(bottom, top + 1), left : max(right, left + 1)], inverse)


@dataclass(frozen=True, eq=False)
class WindowBatch:
    """B windows on their way to the device that warps them, with the labels of a `PoseBatch`."""

    pixels: torch.Tensor
    """(P, 3) uint8 RGB: the windows one after the other, each row by row."""
    layout: torch.Tensor
    """(B, 3) int64: at which pixel a window begins, its width, its height."""
    inverses: torch.Tensor
    """(B, 2, 3) float32, input -> window."""
    size: Size
    """Of the input."""
    keypoints: torch.Tensor
    labelled: torch.Tensor
    matrices: torch.Tensor
    index: torch.Tensor

    def to(self, device: torch.device) -> PoseBatch:
        """The crops, warped on `device`, with their labels there; matrices and index stay."""
        pixels, layout, inverses, keypoints, labelled = (
            tensor.to(device, non_blocking=True)
            for tensor in (self.pixels, self.layout, self.inverses, self.keypoints, self.labelled)
        )
        images = warp_windows(pixels, layout, inverses, self.size)
        return PoseBatch(images, keypoints, labelled, self.matrices, self.index)

    def pin_memory(self) -> "WindowBatch":
        """What the loader calls so that copies to a GPU overlap with its work."""
        tensors: dict[str, Any] = {
            name: value.pin_memory()
            for name, value in vars(self).items()
            if isinstance(value, torch.Tensor)
        }
        return replace(self, **tensors)


def lay_out(windows: Sequence[Window]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`pixels`, `layout` and `inverses` of a `WindowBatch`."""
    sizes = np.array([window.pixels.shape[1::-1] for window in windows], np.int64).reshape(-1, 2)
    ends = sizes.prod(axis=1).cumsum()
    pixels = np.empty((ends[-1] if len(ends) else 0, 3), np.uint8)
    layout = np.column_stack([ends - sizes.prod(axis=1), sizes])
    for window, (start, width, height) in zip(windows, layout.tolist(), strict=True):
        pixels[start : start + width * height].reshape(height, width, 3)[:] = window.pixels
    inverses = np.array([window.inverse for window in windows], np.float32).reshape(-1, 2, 3)
    return torch.from_numpy(pixels), torch.from_numpy(layout), torch.from_numpy(inverses)


def warp_windows(
    pixels: torch.Tensor, layout: torch.Tensor, inverses: torch.Tensor, size: Size
) -> torch.Tensor:
    """Crops (B, 3, H, W) uint8 of the windows that `pixels`, `layout` and `inverses` tell of, in
    the order of memory in which networks are fastest (channels last)."""
    device = pixels.device
    columns = torch.arange(size[0], device=device)
    rows = torch.arange(size[1], device=device)[:, None]
    x, y = (
        a[:, None, None] * columns + b[:, None, None] * rows + c[:, None, None]
        for a, b, c in inverses.permute(1, 2, 0)
    )
    start, width, height = (column[:, None, None] for column in layout.T)
    left, top = x.floor(), y.floor()
    crops = torch.zeros(*x.shape, 3, device=device)
    for dy, dx in product((0, 1), repeat=2):
        column, row = left + dx, top + dy
        weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
        weight *= (column >= 0) & (column < width) & (row >= 0) & (row < height)
        column = column.long().clamp_(min=0).minimum(width - 1)
        row = row.long().clamp_(min=0).minimum(height - 1)
        crops += pixels[start + row * width + column] * weight[..., None]
    return crops.round_().to(torch.uint8).permute(0, 3, 1, 2)
