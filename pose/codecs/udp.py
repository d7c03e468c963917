"""UDP: Gaussians at the exact place on a grid whose mirror image is itself, read by a Newton step.

Source: Huang et al. (The Devil Is in the Details: Delving Into Unbiased Data Processing for Human
Pose Estimation, CVPR 2020), with the arithmetic of MMPose 1.x. Lengths are counted between pixel
centres: cell 0 shows input pixel 0, the last cell the last pixel, and so do crop and image.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch

from pose.codecs.cells import Cells, as_they_are, mirrored
from pose.codecs.gaussian import gaussian_maps, in_reach, nearest_cell
from pose.codecs.peaks import find_peaks, log_neighbourhood
from pose.geometry import PixelGrid, Size

LOWEST, HIGHEST = 1e-3, 50.0
"""Blurred values are cut to this range before the logarithm is taken."""

RIDGE = 1.2e-7
"""Added to the Hessian's diagonal, so that a flat map has an inverse."""


@dataclass(frozen=True)
class UdpCodec(Cells):
    """Heatmaps (B, K, h, w) as of GaussianCodec, unrounded and on the unbiased grid."""

    blur_kernel: int = 11
    """Side of the blur before decoding, odd, in cells."""

    pixel_grid: ClassVar[PixelGrid] = "udp"
    unflip = staticmethod(mirrored)
    heat = staticmethod(as_they_are)

    def encode(
        self, keypoints: torch.Tensor, labelled: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets centred on the exact place; window and weight are those of the nearest cell."""
        center = keypoints / cell_pitch(self.input_size, self.heatmap_size, keypoints)
        nearest = nearest_cell(center)
        weights = (labelled.bool() & in_reach(nearest, self.heatmap_size, self.sigma)).float()
        maps = gaussian_maps(center, self.heatmap_size, self.sigma, window_center=nearest)
        return maps * weights[..., None, None], weights

    def decode(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The highest cell plus -Hessian^-1 gradient of the blurred map's logarithm, everywhere.

        Beyond the border the border value repeats; scores are the maxima before blurring.
        """
        cells, scores = find_peaks(maps)
        cuts = {"low": LOWEST, "high": HIGHEST}
        f = log_neighbourhood(maps, cells, 1, kernel=self.blur_kernel, **cuts)
        middle, left, right = f[..., 1, 1], f[..., 1, 0], f[..., 1, 2]
        above, below = f[..., 0, 1], f[..., 2, 1]
        dx, dy = (right - left) / 2, (below - above) / 2
        dxx = right - 2 * middle + left + RIDGE
        dyy = below - 2 * middle + above + RIDGE
        corners = f[..., 2, 2] + f[..., 0, 0]
        dxy = (corners + 2 * middle - right - left - below - above) / 2
        determinant = dxx * dyy - dxy**2
        step = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], dim=-1)
        step = torch.where(determinant[..., None] == 0, 0.0, step / determinant[..., None])
        return (cells + step) * cell_pitch(self.input_size, self.heatmap_size, cells), scores


def cell_pitch(input_size: Size, heatmap_size: Size, like: torch.Tensor) -> torch.Tensor:
    """(2,) input pixels from one cell to the next, counted between centres, as `like` is held."""
    pairs = zip(input_size, heatmap_size, strict=True)
    return like.new_tensor([(pixels - 1) / (cells - 1) for pixels, cells in pairs])
