"""Integral regression: the point is the expectation of its cell under the softmax of the map.

Source: Sun et al. (Integral Human Pose Regression, ECCV 2018), in two dimensions. A loss on the
points reaches every cell, so no shape of map is asked for. An expectation has no rounding behind
which a shift could hide: the grid is the unbiased one of `udp`, its own mirror image.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from pose.codecs.cells import Cells, mirrored
from pose.codecs.gaussian import gaussian_maps
from pose.codecs.udp import cell_pitch
from pose.geometry import PixelGrid

LOWEST_WEIGHT = 1e-30
"""Of a cell in a target: its logarithm is finite, its share of an expectation is nothing."""


@dataclass(frozen=True)
class IntegralCodec(Cells):
    """Maps (B, K, h, w) of logits with h, w = input size / stride; sigma in cells, for scores."""

    pixel_grid: ClassVar[PixelGrid] = "udp"
    unflip = staticmethod(mirrored)

    def encode(
        self, keypoints: torch.Tensor, labelled: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps whose expectation is the point: it is shared between the four cells about it.

        All 0 where unlabelled or where the nearest cell lies on no map; a point beyond the centres
        of the outermost cells is drawn to them. The weight (B, K) is then 0 and 1.
        """
        center = keypoints / cell_pitch(self.input_size, self.heatmap_size, keypoints)
        last = center.new_tensor(self.heatmap_size) - 1
        inside = ((center > -0.5) & (center < last + 0.5)).all(dim=-1)
        weights = (labelled.bool() & inside).float()
        center = torch.minimum(center.clamp(min=0), last)
        axes = []
        for axis, length in enumerate(self.heatmap_size):
            cells = torch.arange(length, device=center.device, dtype=center.dtype)
            share = 1 - (cells - center[..., axis, None]).abs()
            axes.append(share.clamp(min=LOWEST_WEIGHT).log())
        maps = axes[1][..., :, None] + axes[0][..., None, :]
        return maps * weights[..., None, None], weights

    def decode(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The expected cell; its score is the expectation of exp(-d^2 / (2 sigma^2)).

        With d the distance in cells from the decoded point: 1 where all probability lies in one
        cell, about 0 where it is spread out or split between two places.
        """
        points = self.points(maps)
        near = gaussian_maps(
            points / cell_pitch(self.input_size, self.heatmap_size, points),
            self.heatmap_size,
            self.sigma,
        )
        return points, (_probabilities(maps) * near).sum(dim=(-2, -1)).clamp(max=1)

    def points(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, K, 2) input pixels, with a gradient to every cell."""
        probabilities = _probabilities(maps)
        expected = []
        for dim, length in zip((-2, -1), self.heatmap_size, strict=True):
            cells = torch.arange(length, device=maps.device, dtype=maps.dtype)
            expected.append((probabilities.sum(dim=dim) * cells).sum(dim=-1))
        return torch.stack(expected, dim=-1) * cell_pitch(self.input_size, self.heatmap_size, maps)

    def heat(self, maps: torch.Tensor) -> torch.Tensor:
        """(B, K, h, w): the probability, as high as the score at its peak."""
        probabilities = _probabilities(maps)
        top = probabilities.amax(dim=(-2, -1), keepdim=True)
        return probabilities / top * self.decode(maps)[1][..., None, None]


def _probabilities(maps: torch.Tensor) -> torch.Tensor:
    """The softmax over the cells of each map (B, K, h, w)."""
    return maps.flatten(2).softmax(dim=-1).view_as(maps)
