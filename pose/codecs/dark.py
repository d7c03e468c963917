"""DARK: a Gaussian at the exact place, a peak read out by a Newton step on the log of the map.

Source: Zhang et al. (Distribution-Aware Coordinate Representation for Human Pose Estimation,
CVPR 2020), with the arithmetic of MMPose 1.x. The grid and the flip alignment are those of the
published Gaussian codec.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from pose.codecs.cells import Cells, as_they_are, mirrored_and_shifted
from pose.codecs.gaussian import gaussian_maps, in_reach
from pose.codecs.peaks import find_peaks, log_neighbourhood
from pose.geometry import PixelGrid

LOG_FLOOR = 1e-10
"""Values below this count as this before the logarithm is taken."""


@dataclass(frozen=True)
class DarkCodec(Cells):
    """Heatmaps (B, K, h, w) as of GaussianCodec, but unrounded in both directions."""

    blur_kernel: int = 11
    """Side of the blur before decoding, odd, in cells."""

    pixel_grid: ClassVar[PixelGrid] = "published"
    unflip = staticmethod(mirrored_and_shifted)
    heat = staticmethod(as_they_are)

    def encode(
        self, keypoints: torch.Tensor, labelled: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets over the whole map; all zero where unlabelled or out of reach."""
        center = keypoints / self.stride
        weights = (labelled.bool() & in_reach(center, self.heatmap_size, self.sigma)).float()
        maps = gaussian_maps(center, self.heatmap_size, self.sigma)
        return maps * weights[..., None, None], weights

    def decode(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The highest cell plus -Hessian^-1 gradient of the blurred map's logarithm there.

        The step is taken where the peak is more than one cell from the border's neighbour and the
        Hessian can be inverted; scores are the maxima before blurring.
        """
        cells, scores = find_peaks(maps)
        f = log_neighbourhood(maps, cells, 2, kernel=self.blur_kernel, low=LOG_FLOOR)
        dx = (f[..., 2, 3] - f[..., 2, 1]) / 2
        dy = (f[..., 3, 2] - f[..., 1, 2]) / 2
        dxx = (f[..., 2, 4] - 2 * f[..., 2, 2] + f[..., 2, 0]) / 4
        dyy = (f[..., 4, 2] - 2 * f[..., 2, 2] + f[..., 0, 2]) / 4
        dxy = (f[..., 3, 3] - f[..., 1, 3] - f[..., 3, 1] + f[..., 1, 1]) / 4
        det = dxx * dyy - dxy**2
        width, height = self.heatmap_size
        x, y = cells.unbind(-1)
        inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2) & (det != 0)
        safe = torch.where(inside, det, torch.ones_like(det))
        step = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], dim=-1) / safe[..., None]
        return (cells + torch.where(inside[..., None], step, 0.0)) * self.stride, scores
