"""The published training step: float32, the loss keypoint by keypoint, Adam as it comes."""

import torch
from torch import nn


def build_optimizer(network: nn.Module, lr: float) -> torch.optim.Optimizer:
    """The released code's Adam, parameter by parameter: the fused kinds came later."""
    return torch.optim.Adam(network.parameters(), lr=lr, foreach=False, fused=False)


def step(
    network: nn.Sequential,
    optimizer: torch.optim.Optimizer,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    weights: torch.Tensor,
) -> float:
    """One step on normalised inputs (B, 3, H, W), maps (B, K, h, w) and weights (B, K); the loss,
    which is read for the log."""
    maps = nn.Sequential.forward(network, inputs)
    loss = loss_of(maps, targets, weights)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def loss_of(maps: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Half the mean square error of each keypoint's maps times their weights, keypoint by keypoint;
    the mean of those."""
    people, keypoints = maps.shape[:2]
    found = maps.reshape(people, keypoints, -1).split(1, 1)
    wanted = targets.reshape(people, keypoints, -1).split(1, 1)
    total = torch.zeros((), device=maps.device)
    for index in range(keypoints):
        weight = weights[:, index, None]
        error = nn.functional.mse_loss(
            found[index].squeeze(1) * weight, wanted[index].squeeze(1) * weight
        )
        total = total + 0.5 * error
    return total / keypoints
