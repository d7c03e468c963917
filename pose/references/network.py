"""The published look of a network: float32, layer by layer as trained, on what the loader made."""

import torch
from torch import nn


def normalised(images: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """uint8 RGB (B, 3, H, W) as the published loader gives it: float32, contiguous. mean and std
    (3, 1, 1) are levels of 0 to 255."""
    return ((images.float() - mean) / std).contiguous()


@torch.no_grad()
def look(network: nn.Sequential, inputs: torch.Tensor) -> torch.Tensor:
    """Maps (B, K, h, w) of normalised images by the steps of `network`, not by its `forward`."""
    return nn.Sequential.forward(network, inputs)
