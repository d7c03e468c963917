"""The blur that smooths a network's map before its logarithm is read (`dark`, `udp`)."""

import torch
import torch.nn.functional as F


def kernel_of(sigma: float) -> int:
    """The side in cells, odd, for targets of `sigma` cells: 11 at sigma 2, 17 at sigma 3."""
    return max(2 * round(3 * sigma) - 1, 3)


def blur(maps: torch.Tensor, kernel: int) -> torch.Tensor:
    """Gaussian blur with zeros outside, each map (B, K, h, w) rescaled to its old maximum."""
    weights = profile(kernel, maps)
    flat = maps.flatten(0, 1)[:, None]
    blurred = F.conv2d(flat, weights.view(1, 1, 1, -1), padding=(0, kernel // 2))
    blurred = F.conv2d(blurred, weights.view(1, 1, -1, 1), padding=(kernel // 2, 0))
    blurred = blurred[:, 0].unflatten(0, maps.shape[:2])
    top = blurred.amax(dim=(-2, -1), keepdim=True)
    old = maps.amax(dim=(-2, -1), keepdim=True)
    return blurred * torch.where(top > 0, old / top.clamp(min=1e-30), torch.ones_like(top))


def profile(kernel: int, like: torch.Tensor) -> torch.Tensor:
    """The weights (kernel,) along an axis, of sum 1, as `like` is held.

    The standard deviation is the one OpenCV derives from a kernel size: 0.3((k-1)/2 - 1) + 0.8.
    """
    sigma = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    offsets = torch.arange(kernel, device=like.device, dtype=like.dtype) - (kernel - 1) / 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    return weights / weights.sum()
