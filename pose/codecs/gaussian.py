"""The published codec: a Gaussian centred on a whole cell, a peak read out with a quarter offset.

Source: Xiao, Wu, Wei (Simple Baselines for Human Pose Estimation and Tracking, ECCV 2018) and Sun
et al. (Deep High-Resolution Representation Learning for Human Pose Estimation, CVPR 2019), with
the arithmetic of their released code. Cell x shows input pixel stride * x: no half-cell offset.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from pose.codecs.cells import Cells, as_they_are, mirrored_and_shifted
from pose.codecs.peaks import find_peaks, neighbourhood
from pose.geometry import PixelGrid, Size

WINDOW = 3.0
"""A target's Gaussian is cut off at this many sigmas."""

QUARTER = 0.25
"""The decoded point moves this many cells towards the higher neighbour."""


@dataclass(frozen=True)
class GaussianCodec(Cells):
    """Heatmaps (B, K, h, w) with h, w = input size / stride; sigma in cells."""

    offset_gate: Literal["both", "each"] = "both"
    """Where the quarter offset is taken: where both axes allow it (published), or axis by axis
    (MMPose 1.x: along an axis that is more than a cell from its borders, off the first row and
    column)."""

    pixel_grid: ClassVar[PixelGrid] = "published"
    unflip = staticmethod(mirrored_and_shifted)
    heat = staticmethod(as_they_are)

    def encode(
        self, keypoints: torch.Tensor, labelled: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets with maximum 1 at the nearest cell; all zero where unlabelled or out of reach."""
        center = nearest_cell(keypoints / self.stride)
        weights = (labelled.bool() & in_reach(center, self.heatmap_size, self.sigma)).float()
        maps = gaussian_maps(center, self.heatmap_size, self.sigma, window_center=center)
        return maps * weights[..., None, None], weights

    def decode(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The highest cell (the first of equals), a quarter cell towards its higher neighbours.

        The offset is taken where the peak is more than one cell from every border, or as
        `offset_gate` says. An empty map (nothing above 0) gives (0, 0).
        """
        cells, scores = find_peaks(maps)
        width, height = self.heatmap_size
        x, y = cells.unbind(-1)
        free_x, free_y = (x > 1) & (x < width - 1), (y > 1) & (y < height - 1)
        if self.offset_gate == "each":
            inside = torch.stack([free_x & (y > 0), free_y & (x > 0)], dim=-1)
        else:
            inside = (free_x & free_y)[..., None]
        near = neighbourhood(maps, cells, radius=1)
        slope = torch.stack(
            [near[..., 1, 2] - near[..., 1, 0], near[..., 2, 1] - near[..., 0, 1]], dim=-1
        )
        return (cells + QUARTER * slope.sign() * inside) * self.stride, scores


def gaussian_maps(
    center: torch.Tensor,
    heatmap_size: Size,
    sigma: float,
    window_center: torch.Tensor | None = None,
) -> torch.Tensor:
    """exp(-d^2 / (2 sigma^2)) about centres (B, K, 2) in cells -> (B, K, h, w).

    Cells more than `WINDOW` sigmas from `window_center` along either axis are 0; None: no window.
    """
    axes = []
    for axis, length in enumerate(heatmap_size):
        cells = torch.arange(length, device=center.device, dtype=center.dtype)
        profile = torch.exp(-((cells - center[..., axis, None]) ** 2) / (2 * sigma**2))
        if window_center is not None:
            distance = (cells - window_center[..., axis, None]).abs()
            profile = profile * (distance <= WINDOW * sigma)
        axes.append(profile)
    return axes[1][..., :, None] * axes[0][..., None, :]


def nearest_cell(points: torch.Tensor) -> torch.Tensor:
    """The whole cell of points in cells, as the published code rounds: halves up, towards zero."""
    return torch.trunc(points + 0.5)


def in_reach(center: torch.Tensor, heatmap_size: Size, sigma: float) -> torch.Tensor:
    """(B, K) bool: whether the window about a centre (B, K, 2) touches the map."""
    reach = WINDOW * sigma
    size = torch.tensor(heatmap_size, device=center.device)
    return ((center - reach < size) & (center + reach + 1 >= 0)).all(dim=-1)
