"""DARK: a Gaussian at the exact place, a peak read out by a Newton step on the log of the map.

Source: Zhang et al. (Distribution-Aware Coordinate Representation for Human Pose Estimation,
CVPR 2020), with the arithmetic of MMPose 1.x. The grid and the flip alignment are those of the
published Gaussian codec.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from pose.codecs.gaussian import (
    GaussianCodec,
    find_peaks,
    gaussian_maps,
    in_reach,
    neighbourhood,
)

LOG_FLOOR = 1e-10
"""Values below this count as this before the logarithm is taken."""


@dataclass(frozen=True)
class DarkCodec(GaussianCodec):
    """Heatmaps (B, K, h, w) as of GaussianCodec, but unrounded in both directions."""

    @property
    def blur_kernel(self) -> int:
        """Side of the blur before decoding in cells: 11 at sigma 2, 17 at sigma 3."""
        return max(2 * round(3 * self.sigma) - 1, 3)

    def encode(
        self, keypoints: torch.Tensor, labelled: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets over the whole map; all zero where unlabelled or out of reach."""
        center = keypoints / self.stride
        weights = (labelled.bool() & in_reach(center, self.heatmap_size, self.sigma)).float()
        maps = gaussian_maps(center, self.heatmap_size, self.sigma, window=None)
        return maps * weights[..., None, None], weights

    def decode(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The highest cell plus -Hessian^-1 gradient of the blurred map's logarithm there.

        The step is taken where the peak is more than one cell from the border's neighbour and the
        Hessian can be inverted; scores are the maxima before blurring.
        """
        cells, scores = find_peaks(maps)
        log = blur(maps, self.blur_kernel).clamp(min=LOG_FLOOR).log()
        f = neighbourhood(log, cells, radius=2)
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


def blur(maps: torch.Tensor, kernel: int) -> torch.Tensor:
    """Gaussian blur with zeros outside, each map (B, K, h, w) rescaled to its old maximum.

    The standard deviation is the one OpenCV derives from a kernel size: 0.3((k-1)/2 - 1) + 0.8.
    """
    sigma = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    offsets = torch.arange(kernel, device=maps.device, dtype=maps.dtype) - (kernel - 1) / 2
    profile = torch.exp(-(offsets**2) / (2 * sigma**2))
    profile = profile / profile.sum()
    flat = maps.flatten(0, 1)[:, None]
    blurred = F.conv2d(flat, profile.view(1, 1, 1, -1), padding=(0, kernel // 2))
    blurred = F.conv2d(blurred, profile.view(1, 1, -1, 1), padding=(kernel // 2, 0))
    blurred = blurred[:, 0].unflatten(0, maps.shape[:2])
    top = blurred.amax(dim=(-2, -1), keepdim=True)
    old = maps.amax(dim=(-2, -1), keepdim=True)
    return blurred * torch.where(top > 0, old / top.clamp(min=1e-30), torch.ones_like(top))
