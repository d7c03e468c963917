"""The blur that smooths a network's map before its logarithm is read (`dark`, `udp`)."""

import torch
import torch.nn.functional as F


def kernel_of(sigma: float) -> int:
    """The side in cells, odd, for targets of `sigma` cells: 11 at sigma 2, 17 at sigma 3."""
    return max(2 * round(3 * sigma) - 1, 3)


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
